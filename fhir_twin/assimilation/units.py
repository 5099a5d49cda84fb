"""UCUM units, exactly: the part of the grammar that measurements use, and printed spellings as an alias table.

A unit is a factor (a Fraction, so that mg/dL -> g/L -> mg/dL is the same number) times powers of base units.
Annotations in braces carry no meaning and are dropped (UCUM 2.1 section 6). Amount of substance, equivalents and
international units are base units of their own: turning them into mass needs the analyte (UN-2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from fhir_twin.model.biomarker import Analyte

_PREFIX = {"k": 3, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "M": 6, "G": 9, "h": 2}
_F = Fraction
# atom -> (factor, base powers, takes prefixes). Pressure in pascal, volume in cubic metre, mass in gram.
_ATOMS: dict[str, tuple[Fraction, tuple[tuple[str, int], ...], bool]] = {
    "g": (_F(1), (("g", 1),), True),
    "L": (_F(1, 1000), (("m", 3),), True),
    "l": (_F(1, 1000), (("m", 3),), True),
    "m": (_F(1), (("m", 1),), True),
    "s": (_F(1), (("s", 1),), True),
    "min": (_F(60), (("s", 1),), False),
    "h": (_F(3600), (("s", 1),), False),
    "d": (_F(86400), (("s", 1),), False),
    "wk": (_F(604800), (("s", 1),), False),
    "a": (_F(31557600), (("s", 1),), False),
    "mol": (_F(1), (("mol", 1),), True),
    "eq": (_F(1), (("eq", 1),), True),
    "osm": (_F(1), (("osm", 1),), True),
    "[IU]": (_F(1), (("IU", 1),), True),
    "[iU]": (_F(1), (("IU", 1),), True),
    "U": (_F(1, 60_000_000), (("mol", 1), ("s", -1)), True),
    "kat": (_F(1), (("mol", 1), ("s", -1)), True),
    "Pa": (_F(1), (("Pa", 1),), True),
    "m[Hg]": (_F("133322.387415"), (("Pa", 1),), True),
    "Cel": (_F(1), (("K", 1),), False),
    "%": (_F(1, 100), (), False),
    "[ppth]": (_F(1, 1000), (), False),
    "[in_i]": (_F("0.0254"), (("m", 1),), False),
    "[ft_i]": (_F("0.3048"), (("m", 1),), False),
    "[lb_av]": (_F("453.59237"), (("g", 1),), False),
    "[oz_av]": (_F("28.349523125"), (("g", 1),), False),
    "[stone_av]": (_F("6350.29318"), (("g", 1),), False),
    "Hz": (_F(1), (("s", -1),), True),
}
_TERM = re.compile(r"(10[*^][+-]?\d+|[^./]+)|([./])")
_EXPONENT = re.compile(r"^(.*?[^\d+-])([+-]?\d+)$")


@dataclass(frozen=True, slots=True)
class Unit:
    """factor x product of base^power. cancelled: bases that stand above and below the line, so that mg/g is not
    taken for a bare fraction, nor an infusion rate (ng/kg/min) for a frequency."""

    factor: Fraction
    powers: tuple[tuple[str, int], ...]
    cancelled: tuple[str, ...] = ()

    def same_kind(self, other: Unit) -> bool:
        return self.powers == other.powers and self.cancelled == other.cancelled


@dataclass(frozen=True, slots=True)
class Converted:
    """A value in the analyte's canonical unit, or the reason why there is none; flags say what was done."""

    value: float | None
    reason: str = ""
    flags: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def parse_unit(code: str) -> Unit | None:
    """A UCUM code to a Unit; None when it is not (the part we read of) UCUM. "" and "1" are dimensionless."""
    bare = re.sub(r"\{[^{}]*\}", "", code).strip()
    if bare in ("", "1"):
        return Unit(_F(1), ())
    factor, powers, sign, expect = _F(1), dict[str, int](), 1, True
    above, below = set[str](), set[str]()
    bare = bare.rstrip("/.") if code.rstrip().endswith("}") else bare
    if re.search(r"\d\.\d", bare):  # "1.73" is a printed decimal, not the product of 1 and 73
        return None
    position = 0
    for match in _TERM.finditer(bare):
        if match.start() != position:
            return None
        position = match.end()
        if match.group(2):
            if expect and (match.group(2) == "." or match.start() > 0):
                return None
            sign, expect = (-1 if match.group(2) == "/" else 1), True
            continue
        atom = _atom(match.group(1)) if expect else None
        if atom is None:
            return None
        factor *= atom.factor**sign
        for base, power in atom.powers:
            powers[base] = powers.get(base, 0) + sign * power
            (above if sign * power > 0 else below).add(base)
        expect = False
    if expect or position != len(bare):
        return None
    return Unit(factor, tuple(sorted((b, p) for b, p in powers.items() if p)), tuple(sorted(above & below)))


def _atom(text: str) -> Unit | None:
    ten = re.fullmatch(r"10[*^]([+-]?\d+)", text)
    if ten:
        return Unit(_F(10) ** int(ten.group(1)), ())
    if text == "1":
        return Unit(_F(1), ())
    if text.isascii() and text.isdigit():  # "150" as a unit is a strength or a slip, not a hundred and fifty
        return None
    power = 1
    found = _lookup(text)
    if found is None:
        split = _EXPONENT.match(text)
        found = _lookup(split.group(1)) if split else None
        power = int(split.group(2)) if split else 1
    if found is None:
        return None
    factor, bases = found
    return Unit(factor**power, tuple((b, p * power) for b, p in bases))


def _lookup(symbol: str) -> tuple[Fraction, tuple[tuple[str, int], ...]] | None:
    if symbol in _ATOMS:
        factor, bases, _ = _ATOMS[symbol]
        return factor, bases
    atom = _ATOMS.get(symbol[1:])
    if atom is None or not atom[2] or symbol[0] not in _PREFIX:
        return None
    return atom[0] * _F(10) ** _PREFIX[symbol[0]], atom[1]


_MICRO = re.compile(r"\bmc(?=g\b|mol\b|[lL]\b|[uU]\b)")  # the safe spelling of micro: mcg, mcL, mcmol


def fold(text: str) -> str:
    """The key under which a printed unit is looked up when its exact spelling is unknown."""
    return re.sub(r"\s+", "", text).casefold()


def ucum_code(text: str, aliases: Mapping[str, str]) -> str | None:
    """The UCUM code of a printed unit: as it stands, by its alias, or by its alias without case and blanks."""
    clean = " ".join(text.replace("µ", "u").replace("μ", "u").replace("²", "2").split())
    clean = _MICRO.sub("u", clean)
    for candidate in (clean, clean.strip("()[] ") if "[" not in clean else clean):
        if candidate in aliases:
            return aliases[candidate]
        if candidate and parse_unit(candidate) is not None:
            return candidate
        if fold(candidate) in aliases:
            return aliases[fold(candidate)]
    return None


def to_canonical(value: float, code: str, analyte: Analyte) -> float | None:
    """`value` in UCUM unit `code` -> the analyte's canonical unit; None when the unit cannot be of this analyte.

    The analyte's own rules (molar mass, IFCC line) go first, because "mmol/mol" is also a plain fraction."""
    bare = re.sub(r"\{[^{}]*\}", "", code)
    for rule in analyte.rules:
        if re.sub(r"\{[^{}]*\}", "", rule.unit) == bare:
            return value * rule.factor + rule.offset
    given, wanted = parse_unit(code), parse_unit(analyte.unit)
    if given is None or wanted is None:
        return None
    if given.same_kind(wanted):
        return value if given.factor == wanted.factor else value * float(given.factor / wanted.factor)
    for rule in analyte.rules:
        known = parse_unit(rule.unit)
        if known is not None and known.powers and known.same_kind(given):
            return value * float(given.factor / known.factor) * rule.factor + rule.offset
    return None


def convert(
    value: float, unit: str, unit_code: str, is_ucum: bool, analyte: Analyte, aliases: Mapping[str, str]
) -> Converted:
    """One reported number to the analyte's canonical unit, by OB-6 and UN-1..3; nothing is guessed silently.

    A UCUM code goes first; a printed unit by its alias; when both are there and disagree the value is not used.
    No unit: used only if all of the analyte's units that give a plausible number give the same, and flagged."""
    if not unit.strip() and not unit_code.strip():
        return _infer(value, analyte)
    coded, flags = _read_code(unit_code, is_ucum, aliases)
    printed = ucum_code(unit, aliases) if unit.strip() else None
    if coded is None and printed is None:
        return Converted(None, "unknown-unit")
    if coded is None:
        flags = ("unit-from-text",)
    result = to_canonical(value, coded or printed or "", analyte)
    if result is None:
        return Converted(None, "unit-not-of-analyte", flags)
    if coded is not None and printed is not None:
        other = to_canonical(value, printed, analyte)
        if other is not None and abs(other - result) > 1e-9 * max(abs(other), abs(result), 1e-12):
            return Converted(None, "unit-conflict", flags)
    if _plausible(result, analyte):
        return Converted(result, "", flags)
    return _implausible(value, coded or printed or "", analyte, flags)


def _read_code(
    unit_code: str, is_ucum: bool, aliases: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    if not unit_code.strip():
        return None, ()
    if is_ucum and parse_unit(unit_code) is not None:
        return unit_code, ()
    return ucum_code(unit_code, aliases), ("unit-alias",)


def _implausible(value: float, code: str, analyte: Analyte, flags: tuple[str, ...]) -> Converted:
    """UN-3: a number that only makes sense in another of the analyte's units is called mislabelled, not fixed."""
    others = [u for u in _units(analyte) if u != code and _fits(value, u, analyte)]
    return Converted(None, "mislabelled-unit" if others else "implausible", flags)


def _infer(value: float, analyte: Analyte) -> Converted:
    """OB-6: a weight of 172 may be kilograms or pounds; a potassium of 4.5 is the same in mmol/L and meq/L."""
    converted = [to_canonical(value, u, analyte) for u in _units(analyte)]
    fitting = [c for c in converted if c is not None and _plausible(c, analyte)]
    bare = [to_canonical(value, u, analyte) for u, low, high in analyte.unlabelled if low <= value <= high]
    fitting += [c for c in bare if c is not None]
    if not fitting or max(fitting) - min(fitting) > 1e-9 * abs(max(fitting)):
        return Converted(None, "missing-unit")
    return Converted(fitting[0], "", ("unit-inferred",))


def _units(analyte: Analyte) -> tuple[str, ...]:
    """Every unit in use for the analyte: canonical, those with a rule of their own, those that UCUM converts."""
    return (analyte.unit, *(rule.unit for rule in analyte.rules), *analyte.other_units)


def _fits(value: float, unit: str, analyte: Analyte) -> bool:
    converted = to_canonical(value, unit, analyte)
    return converted is not None and _plausible(converted, analyte)


def _plausible(value: float, analyte: Analyte) -> bool:
    return analyte.plausible[0] <= value <= analyte.plausible[1]
