"""Search parameters in and out of URLs: encoding, escaping, and what a self link says was applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

Params: TypeAlias = Mapping[str, str | Sequence[str]]


def encode(params: Params) -> str:
    """application/x-www-form-urlencoded; a list value repeats the parameter (AND). `|`, `,`, `+` and blanks are
    escaped (RD-5); the same text serves as query and as POST body."""
    pairs = [(k, v) for k, value in params.items() for v in ([value] if isinstance(value, str) else value)]
    return "&".join(f"{quote(k, safe=':_-.')}={quote(v, safe='')}" for k, v in pairs)


def escape(value: str) -> str:
    """A value that must not be read as several: `\\` `,` `|` `$` are escaped inside search values (R4 search)."""
    for character in "\\,|$":
        value = value.replace(character, "\\" + character)
    return value


def token(system: str, value: str) -> str:
    """system|value; a value without a system matches any system."""
    return f"{escape(system)}|{escape(value)}" if system else escape(value)


def applied(link: str) -> frozenset[str] | None:
    """Names of the parameters in a self link, without modifiers; None when it has no query (then it says
    nothing, as with POST searches and paging ids)."""
    query = urlsplit(link).query
    names = frozenset(k.split(":")[0].split(".")[0] for k, _ in parse_qsl(query, keep_blank_values=True))
    return names or None
