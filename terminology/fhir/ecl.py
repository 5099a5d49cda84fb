"""A subset of SNOMED CT's Expression Constraint Language, compiled to one SQL condition on concept c.

Supported: concept references with optional |term|, the operators < << > >> <! >! ^ and *, conjunction (AND, ","),
disjunction (OR), MINUS, parentheses, and attribute refinements (": attribute = value", several with ","; groups in
braces are read without their grouping). http://snomed.org/ecl. Whatever else is written is refused, never guessed.
"""

# ruff: noqa: S608, S105 (every value goes in as a parameter; what is formatted in are words of this file)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from terminology.fhir.problem import TxError, TxIssue

MAX_LENGTH = 2_000
MAX_DEPTH = 20
_OPERATORS = ("<<!", ">>!", "<<", ">>", "<!", ">!", "<", ">", "^")
Sql = tuple[str, list[Any]]
# "*" is every concept: below, above or beside it are those that have a parent, a child, a member.
_EVERYTHING = {
    "": "1", "<<": "1", ">>": "1", "<<!": "1", ">>!": "1",
    "<": "c.id in (select child from edge)", "<!": "c.id in (select child from edge)",
    ">": "c.id in (select parent from edge)", ">!": "c.id in (select parent from edge)",
    "^": "c.id in (select concept from property where name = 'member-of')",
}  # fmt: skip

_WALK = (
    "(with recursive walk(n) as (select id from concept where {start} union select e.{far} from edge e "
    "join walk w on e.{near} = w.n) select n from walk)"
)


def where(text: str) -> tuple[Any, ...]:
    """(sql, *values): a condition on `c.id`. Raises TxError (400) for what is not understood."""
    reader = _Reader(_tokens(text))
    sql, values = reader.expression(0)
    if reader.peek():
        raise _refused(text)
    return (sql, *values)


def _refused(what: str) -> TxError:
    text = f"The expression constraint '{what[:100]}' cannot be read, or uses a part of ECL that is not supported"
    return TxError(TxIssue("error", "invalid", "vs-invalid", text), status=400)


def _tokens(text: str) -> list[str]:
    if len(text) > MAX_LENGTH:
        raise _refused(text)
    found: list[str] = []
    place = 0
    while place < len(text):
        letter = text[place]
        operator = next((o for o in _OPERATORS if text.startswith(o, place)), "")
        if letter.isspace():
            place += 1
        elif letter == "|":  # a term is a comment
            end = text.find("|", place + 1)
            if end < 0:
                raise _refused(text)
            place = end + 1
        elif letter.isdigit() and letter.isascii():
            end = place
            while end < len(text) and text[end].isdigit():
                end += 1
            found.append(text[place:end])
            place = end
        elif letter.isalpha():
            end = place
            while end < len(text) and text[end].isalpha():
                end += 1
            found.append(text[place:end].upper())
            place = end
        else:
            found.append(operator or ("!=" if text.startswith("!=", place) else letter))
            place += len(found[-1])
    return found


class _Reader:
    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens, self.place = tokens, 0

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise _refused(" ".join(self.tokens))
        self.place += 1
        return token

    def expression(self, depth: int) -> Sql:
        """refined (AND refined)* | refined (OR refined)* | refined MINUS refined. Operators are not mixed."""
        if depth > MAX_DEPTH:
            raise _refused("nested too deeply")
        sql, values = self.refined(depth)
        word = self.peek()
        if word not in ("AND", "OR", "MINUS", ","):
            return sql, values
        joiner = {"AND": "and", ",": "and", "OR": "or", "MINUS": "and not"}[word]
        while self.peek() == word:
            self.take()
            more, more_values = self.refined(depth)
            sql, values = f"{sql} {joiner} {more}", values + more_values
            if word == "MINUS":
                break
        return f"({sql})", values

    def refined(self, depth: int) -> Sql:
        sql, values = self.simple(depth)
        if self.peek() != ":":
            return sql, values
        self.take(":")
        joiner = ""
        while True:
            more, more_values = self.group(depth)
            sql, values = f"{sql} {joiner or 'and'} {more}", values + more_values
            if self.peek() not in (",", "AND"):
                return f"({sql})", values
            self.take()

    def group(self, depth: int) -> Sql:
        """attribute = value, or several in braces (all of them; on which role group they stand is not looked at)."""
        if self.peek() != "{":
            return self.attribute(depth)
        self.take("{")
        sql, values = self.attribute(depth)
        while self.peek() in (",", "AND"):
            self.take()
            more, more_values = self.attribute(depth)
            sql, values = f"{sql} and {more}", values + more_values
        self.take("}")
        return f"({sql})", values

    def attribute(self, depth: int) -> Sql:
        name, name_values = self.simple(depth + 1)
        operator = self.take()
        if operator not in ("=", "!="):
            raise _refused(operator)
        target, target_values = self.simple(depth + 1)
        names = f"(select c.code from concept c where {name})"
        targets = f"(select c.code from concept c where {target})"
        inner = f"select p.concept from property p where p.name in {names} and p.value {{}}in {targets}"
        sql = f"c.id in ({inner.format('' if operator == '=' else 'not ')})"
        return sql, name_values + target_values

    def simple(self, depth: int) -> Sql:
        operator = self.take() if self.peek() in _OPERATORS else ""
        token = self.take()
        if token == "(":
            sql, values = self.expression(depth + 1)
            self.take(")")
            if not operator:
                return sql, values
            return _applied(operator, f"id in (select c.id from concept c where {sql})", values)
        if token == "*":
            return _EVERYTHING[operator], []
        if not token.isdigit():
            raise _refused(token)
        if operator == "^":
            return "c.id in (select concept from property where name = 'member-of' and value = ?)", [token]
        return _applied(operator, "code = ?", [token])


def _applied(operator: str, start: str, values: list[Any]) -> Sql:
    """`start` is a condition on the concepts to begin from."""
    seeds = f"(select id from concept where {start})"
    if not operator:
        return f"c.id in {seeds}", values
    if operator == "^":
        codes = f"(select code from concept where {start})"
        return f"c.id in (select concept from property where name = 'member-of' and value in {codes})", values
    down = operator[0] == "<"
    near, far = ("parent", "child") if down else ("child", "parent")
    if operator in ("<!", ">!"):
        return f"c.id in (select {far} from edge where {near} in {seeds})", values
    if operator in ("<<!", ">>!"):
        one = f"c.id in (select {far} from edge where {near} in {seeds})"
        return f"({one} or c.id in {seeds})", values * 2
    walk = _WALK.format(start=start, near=near, far=far)
    if len(operator) == 2:
        return f"c.id in {walk}", values
    return f"(c.id in {walk} and c.id not in {seeds})", values * 2
