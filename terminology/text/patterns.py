"""Every regular expression of this package, in one registry, so that a test can time all of them.

A pattern may not run super-linearly: no nested quantifiers, no two neighbouring quantifiers that can eat the same
characters. tests/unit/terminology/test_term_patterns.py times each at 10,000 and 20,000 hostile characters.
"""

from __future__ import annotations

import re

REGISTRY: dict[str, re.Pattern[str]] = {}


def pattern(name: str, expression: str, flags: int = 0) -> re.Pattern[str]:
    """Compile and register. Raises ValueError when a name is used twice."""
    if name in REGISTRY:
        raise ValueError(f"pattern {name} is registered twice")
    REGISTRY[name] = re.compile(expression, flags)
    return REGISTRY[name]


# One raw token: letters and digits, inner punctuation kept ("w/o", "c-section", "x-ray", "7.5"), or a boundary mark.
RAW = pattern("raw-token", r"w/(?=\s)|[a-z0-9]+(?:[.'/&+_-][a-z0-9]+)*[%+]?|[,;:()\[\]\n]|[&+@/](?=\s)|\?")
PIECE = pattern("piece", r"[a-z]+|\d+[a-z]?(?![a-z0-9])|\d+")
SEPARATOR = pattern("separator", r"[.'/&+_-]")
TAG = pattern("html-tag", r"</?[a-zA-Z][^<>]{0,300}>|<!--[^<>]{0,300}-->")
ENTITY = pattern("html-entity", r"&(?:#\d{1,6}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")
CODE_NOTE = pattern("code-note", r"^([^()]{3,160}) \(([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)(?:\.?-)?\)$")
PARENTHESIS = pattern("parenthesis", r" ?\([^()]{0,120}\)")
SIGN = pattern("plus-minus-sign", r"(^|[,:;.\n] ?|(?<=[^,:;.\n]) )\(([-+])\)(?=[ ,;.\n]|$)")
UNSPECIFIED_CAUSE = pattern("unspecified-cause", r" due to unspecified [a-z ]{1,60}(?= of )")
NUMBERED = pattern("numbered-item", r"(?:^|(?<=\s))(\d{1,2})[.)](?=\s)")
UNSAID = pattern("unsaid", r",? ?(?:unspecified|not specified) as(?: to)? [^,;]{1,200}")
ICD_CODE = pattern("icd-code", r"^[A-Za-z]\d[0-9A-Za-z](?:\.?[0-9A-Za-z]{1,4})?$")
