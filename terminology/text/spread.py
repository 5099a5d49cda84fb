"""Spread cancer: "metastatic pancreatic cancer" is the primary tumour and, beside it, a secondary one.

ICD-10-CM Official Guidelines I.C.2: a primary malignancy that has spread keeps its own code, with a code of C77 to C79
for each secondary site; C79.9 where the site is not told ("metastatic cancer NOS"). Bone, brain, liver and the other
sites of `_OFTEN_SECONDARY` named alone ("metastatic liver cancer") are read as the secondary site.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from terminology.text.normalise import raw_tokens
from terminology.text.problems import Ranked, Token
from terminology.text.words import BOUNDARIES

SPREAD = frozenset(
    ("metastatic", "metastasis", "metastases", "mets", "met", "metastasized", "metastasised", "metastasizing")
)
_TO = frozenset(("to", "in", "involving"))
_FROM = frozenset(("from", "of"))
_WITH = frozenset(("with", "w", "w/", "and", "&"))
_TUMOUR = frozenset(
    ("cancer", "ca", "carcinoma", "adenocarcinoma", "sarcoma", "melanoma", "lymphoma", "tumor", "tumour", "malignancy",
     "neoplasm", "seminoma", "neuroblastoma", "mesothelioma", "nsclc", "sclc", "rcc", "hcc", "crc", "scc", "gist",
     "leiomyosarcoma", "liposarcoma", "osteosarcoma", "cholangiocarcinoma")
)  # fmt: skip
_OFTEN_SECONDARY = frozenset(
    ("bone", "bony", "brain", "diaphragm", "heart", "liver", "hepatic", "lymph", "node", "nodes", "mediastinum",
     "mediastinal", "meninges", "meningeal", "leptomeningeal", "peritoneum", "peritoneal", "pleura", "pleural",
     "retroperitoneum", "retroperitoneal", "spinal", "spine")
)  # fmt: skip
_SPLIT = frozenset(("and", "&", "/", "+", ",", ";"))
_UNTOLD = "C79.9"
_MOST = 5  # secondary sites of one phrase


@dataclass(frozen=True, slots=True)
class Parts:
    """Tokens of the primary tumour, and the words of every secondary site (none: not told)."""

    primary: tuple[Token, ...]
    sites: tuple[tuple[str, ...], ...]


def parts(tokens: Sequence[Token]) -> Parts | None:
    """What a phrase with a word of SPREAD says; None where it has none, or names only a secondary tumour."""
    words = [t for t, _, _ in tokens]
    at = next((i for i, w in enumerate(words) if w in SPREAD), -1)
    if at < 0:
        return None
    before, after = list(tokens[:at]), list(tokens[at + 1 :])
    if after and after[0][0] in _TO:
        return _made(before, after[1:])
    if after and after[0][0] in _FROM:
        return _from(before, after[1:])
    link = next((i for i, (t, _, _) in enumerate(before) if t in _WITH), -1)
    if link > 0 and _names_tumour(before[:link]):  # "colon cancer with liver mets"
        return _made(before[:link], before[link + 1 :])
    if any(t == "from" for t, _, _ in after):  # "metastatic disease of bone from prostate cancer"
        return None
    rest = [*before, *after]
    to = next(
        (i for i, (t, _, _) in enumerate(rest) if t == "to"), len(rest)
    )  # "metastatic colon cancer to liver"
    primary, sites = rest[:to], rest[to + 1 :]
    if any(t in _OFTEN_SECONDARY for t, _, _ in primary):
        return None
    return _made(primary, sites)


def _from(before: Sequence[Token], after: Sequence[Token]) -> Parts | None:
    """ "bone mets from prostate cancer", "metastasis of breast cancer"."""
    to = next((i for i, (t, _, _) in enumerate(after) if t == "to"), len(after))
    primary, sites = after[:to], [*before, *after[to + 1 :]]
    return _made(primary, sites)


def _made(primary: Sequence[Token], sites: Sequence[Token]) -> Parts | None:
    kept = [t for t in primary if t[0] not in BOUNDARIES and t[0] not in SPREAD]
    if not _names_tumour(kept):
        return None
    found: list[tuple[str, ...]] = []
    group: list[str] = []
    for word in (*(t for t, _, _ in sites), ","):
        if word in _SPLIT:
            if group:
                found.append(tuple(group))
            group = []
        elif word not in SPREAD and word not in BOUNDARIES and word != "the":
            group.append(word)
    return Parts(tuple(kept), tuple(found[:_MOST]))


def _names_tumour(tokens: Sequence[Token]) -> bool:
    return any(t in _TUMOUR for t, _, _ in tokens)


def ranked(
    same: str,
    tokens: Sequence[Token],
    rank: Callable[[str, Sequence[Token]], Ranked],
    code: Callable[[int], str],
) -> Ranked | None:
    """The primary tumour with the codes of the secondary ones in `also`; None where this rule has nothing to say.
    `code` gives the text of a code's number."""
    said = parts(tokens)
    if said is None:
        return None
    primary = rank(same, said.primary)
    if not primary.leaves or code(primary.leaves[0].code)[0] != "C":
        return None
    if code(primary.leaves[0].code)[:3] in ("C77", "C78", "C79"):
        return None
    also = tuple(dict.fromkeys(_secondary(site, rank, code) for site in said.sites)) or (_UNTOLD,)
    step = f"spread cancer: the primary tumour, and {', '.join(also)}"
    return replace(primary, steps=(*primary.steps, step), also=also)


def _secondary(
    site: Sequence[str], rank: Callable[[str, Sequence[Token]], Ranked], code: Callable[[int], str]
) -> str:
    text = f"secondary malignant neoplasm of {' '.join(site)}"
    found = rank(text, raw_tokens(text))
    best = code(found.leaves[0].code) if found.leaves else ""
    return best if best[:3] in ("C77", "C78", "C79") else _UNTOLD
