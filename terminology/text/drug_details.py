"""What a drug's text says beside its name: strength, form, route, frequency.

A strength is a number with a unit ("10 mg", "40 mg/0.8 mL", "5 mg/325 mg", "0.1 %"). A bare number behind the name
("Lipitor 20", "Norco 10-325") is read as milligrams, as prescribers mean it, and said to be assumed; where a dose in
milligrams is no sensible reading (insulin, inhalers, drops) the number is given as written, without a unit.
"""

from __future__ import annotations

from collections.abc import Sequence

from terminology.text.patterns import pattern

_NUMBER = r"\d{1,7}(?:[.,]\d{1,4})?"
_UNIT = r"mcg|mg|gm|g|ug|meq|mmol|units|unit|iu|u|ml|%"
STRENGTH = pattern(
    "drug-strength",
    rf"(?<![a-z0-9.,])({_NUMBER}) ?({_UNIT})"
    rf"(?:[/-] ?(?:({_NUMBER}) ?)?(ml|h|hr|actuation|act|dose|kg|{_UNIT}))?(?![a-z0-9])",
)
BARE = pattern("drug-bare-strength", rf"(?<![a-z0-9.,/-])({_NUMBER})(?:[/-]({_NUMBER}))?(?![a-z0-9.,%/-])")
_FORMS = {
    "tab": "tablet", "tabs": "tablet", "tablet": "tablet", "tablets": "tablet", "cap": "capsule", "caps": "capsule",
    "capsule": "capsule", "capsules": "capsule", "soln": "solution", "solution": "solution", "susp": "suspension",
    "suspension": "suspension", "inj": "injection", "injection": "injection", "pen": "pen injector",
    "flexpen": "pen injector", "kwikpen": "pen injector", "patch": "patch", "cream": "cream",
    "ointment": "ointment", "oint": "ointment", "gel": "gel", "inhaler": "inhaler", "hfa": "inhaler",
    "mdi": "inhaler", "neb": "nebulizer", "nebs": "nebulizer", "drops": "drops", "gtt": "drops", "spray": "spray",
    "suppository": "suppository", "er": "extended release", "xr": "extended release", "xl": "extended release",
    "sr": "extended release", "cr": "extended release", "la": "extended release", "dr": "delayed release",
    "ec": "delayed release", "cd": "extended release", "xt": "extended release", "xm": "extended release",
    "diskus": "inhaler", "respimat": "inhaler", "ellipta": "inhaler",
    "odt": "disintegrating tablet", "sl": "sublingual",
}  # fmt: skip
_ROUTES = {
    "po": "oral", "oral": "oral", "orally": "oral", "mouth": "oral", "sq": "subcutaneous", "sc": "subcutaneous",
    "subq": "subcutaneous", "subcut": "subcutaneous", "subcutaneous": "subcutaneous", "iv": "intravenous",
    "im": "intramuscular", "topical": "topical", "inhaled": "inhalation", "inh": "inhalation", "nasal": "nasal",
    "eye": "ophthalmic", "eyes": "ophthalmic", "ear": "otic", "intranasal": "nasal", "pr": "rectal",
    "sublingual": "sublingual", "transdermal": "transdermal",
}  # fmt: skip
_FREQUENCIES = {
    "daily": "daily", "qd": "daily", "qday": "daily", "od": "daily", "bid": "twice daily",
    "tid": "three times daily", "qid": "four times daily", "qhs": "at bedtime", "hs": "at bedtime",
    "nightly": "at bedtime", "bedtime": "at bedtime", "qam": "every morning", "am": "every morning",
    "qpm": "every evening", "weekly": "weekly", "qweek": "weekly", "monthly": "monthly", "prn": "as needed",
    "q4h": "every 4 hours", "q6h": "every 6 hours", "q8h": "every 8 hours", "q12h": "every 12 hours",
    "qod": "every other day",
}  # fmt: skip
_SPELLED = {
    "unit": "units",
    "u": "units",
    "iu": "units",
    "gm": "g",
    "ug": "mcg",
    "ml": "mL",
    "meq": "mEq",
    "hr": "h",
}
_EACH = frozenset(("ml", "h", "hr", "actuation", "act", "dose", "kg"))  # what an amount may stand "per"
_NOT_STRENGTH = frozenset(
    ("tab", "tabs", "tablet", "tablets", "cap", "caps", "capsule", "capsules", "puff", "puffs", "spray", "sprays",
     "drop", "drops", "times", "x", "days", "day", "weeks", "week", "refills", "refill", "hours", "hour", "months",
     "inhalations")
)  # fmt: skip
_DEVICES = frozenset(
    ("inhaler", "hfa", "mdi", "diskus", "respimat", "ellipta", "neb", "nebs", "drops", "gtt", "ophth", "otic", "cream",
     "ointment", "oint", "gel", "spray", "pen", "flexpen", "kwikpen", "patch")
)  # fmt: skip
WORDS = frozenset((*_FORMS, *_ROUTES, *_FREQUENCIES, "allergy", "allergic", "take", "with", "food", "every"))


def parse_details(
    folded: str, tokens: Sequence[tuple[str, int, int]], *, behind: int = 0, milligrams: bool = True
) -> tuple[tuple[str, str], ...]:
    """Strength, form, route, frequency as far as they are written, each at most once.

    `behind`: where the drug's name ends in `folded`. `milligrams`: whether a bare number may mean milligrams.
    """
    found: dict[str, str] = {}
    device = any(t in _DEVICES for t, _, _ in tokens)
    if strength := _written(folded, behind):
        found["strength"] = strength
    elif number := _bare(folded, tokens, behind):
        assumed = milligrams and not device
        found["strength"] = f"{number} mg" if assumed else number
        found["strength-unit"] = "mg assumed: none was written" if assumed else "not written"
    for token, _, _ in tokens:
        for name, table in (("form", _FORMS), ("route", _ROUTES), ("frequency", _FREQUENCIES)):
            if token in table:
                found.setdefault(name, table[token])
    return tuple(found.items())


def _written(folded: str, behind: int) -> str:
    match = STRENGTH.search(folded, behind) or STRENGTH.search(folded)
    if match is None:
        return ""
    amount, unit, per, each = match.groups()
    text = f"{_plain(amount)} {_SPELLED.get(unit, unit)}"
    if each is None:
        return text
    if per is not None and each not in _EACH:  # "5 mg/325 mg": two ingredients
        return f"{text}/{_plain(per)} {_SPELLED.get(each, each)}"
    return f"{text}/{_plain(per) + ' ' if per else ''}{_SPELLED.get(each, each)}"


def _bare(folded: str, tokens: Sequence[tuple[str, int, int]], behind: int) -> str:
    for match in BARE.finditer(folded, behind):
        after = next((t for t, start, _ in tokens if start >= match.end()), "")
        if after in _NOT_STRENGTH or folded[match.end() : match.end() + 2] in ("st", "nd", "th"):
            continue
        before = [t for t, _, end in tokens if end <= match.start() and end > behind]
        if before and before[-1] in ("take", "x", "every", "q", "for", "#", "age", "aged"):
            continue
        second = f"/{_plain(match[2])}" if match[2] else ""
        return _plain(match[1]) + second
    return ""


def _plain(number: str) -> str:
    return number.replace(",", "")
