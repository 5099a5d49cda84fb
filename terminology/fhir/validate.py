"""CodeSystem/$validate-code and ValueSet/$validate-code. https://hl7.org/fhir/R4/valueset-operation-validate-code.html

A negative answer is an answer (result false and why), never an error (OP-3). What R4 does not define but HL7's
terminology ecosystem asks for (code, system, version, issues ...) comes beside R4's three parameters.
"""

from __future__ import annotations

from typing import Any

from terminology.fhir.canonical import joined
from terminology.fhir.checks import (
    Checked,
    check_display,
    check_state,
    comment_presence,
    comment_state,
    incomplete,
    unknown_code,
)
from terminology.fhir.concept import CodeSystem, Entry
from terminology.fhir.languages import display
from terminology.fhir.members import Member, Members
from terminology.fhir.problem import TxError, TxIssue
from terminology.fhir.scope import Scope, UnknownSystem, UnknownValueSet
from terminology.fhir.selection import dicts
from terminology.fhir.verdict import Question, verdict
from terminology.fhir.versions import check_versions, included

Json = dict[str, Any]
END = "the code cannot be validated"


def in_system(scope: Scope, url: str, question: Question) -> Json:
    """Whether a code system has the code(s)."""
    scope.end = END
    checked = [_in_system(scope, url, question, place) for place in range(len(question.codings))]
    return verdict(scope, question, checked, [], None)


def in_value_set(scope: Scope, value_set: Json, question: Question) -> Json:
    """Whether a value set has the code(s); of a CodeableConcept one coding is enough. Raises TxError when the value set
    itself cannot be read (a circle, a missing supplement)."""
    scope.end, scope.checking = END, False
    members = Members(scope)
    members.want_supplements(value_set)
    checked: list[Checked] = []
    for place in range(len(question.codings)):
        checked.append(_in_value_set(members, value_set, question, place))
        if any(c.broken for c in checked):
            break
    name = _named(value_set)
    more: list[TxIssue] = []
    if question.form == "CodeableConcept" and not any(c.inside or c.broken or c.unsure for c in checked):
        text = f"No valid coding was found for the value set '{name}'"
        more.append(TxIssue("error", "code-invalid", "not-in-vs", text))
    return verdict(scope, question, checked, more, value_set)


def _in_system(scope: Scope, url: str, question: Question, place: int) -> Checked:
    coding = question.codings[place]
    code, version = str(coding.get("code", "")), str(coding.get("version") or "")
    system_url = url or str(coding.get("system") or "")
    checked = Checked(system_url, code, version)
    lacking = incomplete({"system": system_url, "code": code}, _whole(question, place))
    if lacking is not None:
        checked.issues.append(lacking)
        return checked
    if scope.is_supplement(system_url):
        text = f"CodeSystem {system_url} is a supplement, so can't be used as a value in Coding.system"
        checked.issues.append(
            TxIssue("error", "invalid", "invalid-data", text, question.path(place, "system"))
        )
        return checked
    try:
        system = scope.system(system_url, version)
    except UnknownSystem as error:
        checked.unknown = joined(error.url, error.version if error.known else "")
        checked.issues.append(
            TxIssue("error", "not-found", "not-found", error.words(END), question.path(place, "system"))
        )
        return checked
    _look(checked, system, system.find(code), question, place)
    checked.inside = checked.entry is not None or checked.inside_fragment
    if checked.entry is not None:
        checked.issues += comment_state(checked.entry, _whole(question, place))
    return checked


def _whole(question: Question, place: int) -> str:
    return question.path(place, "") if question.form != "code" else "code"


def _in_value_set(members: Members, value_set: Json, question: Question, place: int) -> Checked:
    scope, coding = members.scope, question.codings[place]
    code, version = str(coding.get("code") or ""), str(coding.get("version") or "")
    url = str(coding.get("system") or "")
    checked = Checked(url, code, version)
    name = _named(value_set)
    infer = question.infer_system and question.form == "code"
    lacking = incomplete(coding, question.path(place, ""), inferred=infer)
    if lacking is not None:
        checked.issues.append(lacking)
        if not code:
            checked.unsure = True  # nothing was asked of the value set
            return checked
    if not url and infer:
        having, urls = _inferred(members, value_set, code)
        checked.url = url = having[0] if len(having) == 1 else ""
        if not url:
            text = f"The System URI could not be determined for the code '{code}' in the ValueSet '{name}'"
            text += _why_not_inferred(having, urls)
            where = question.path(place, "code")
            checked.issues.append(TxIssue("error", "not-found", "cannot-infer", text, where))
    include = included(members, value_set, url, version) if url and "compose" in value_set else None
    if include is not None:
        check_versions(members, include, checked, lambda part: question.path(place, part))
    member = None if checked.unsure else _member(members, value_set, checked, question, place)
    if checked.broken:
        return checked
    if url and not question.membership_only:
        _look_up(scope, value_set, checked, member, question, place)
    _settle(checked, member, value_set, question, place)
    if not checked.inside and not checked.unsure and not checked.inside_fragment:
        checked.issues.append(_outside(checked, coding, question, place, name))
    checked.inside = checked.inside or (checked.inside_fragment and _takes_all(value_set, url))
    return checked


def _settle(checked: Checked, member: Member | None, value_set: Json, question: Question, place: int) -> None:
    """Membership, and what is to be said about a concept that is no longer in use."""
    where, whole = question.path(place, "code"), _whole(question, place)
    checked.inside = member is not None
    if member is not None:
        state = check_state(member.entry, question.active_only, where)
        checked.inside = not state and (question.abstract or not member.entry.abstract)
        name = _named(value_set)
        marked = comment_presence(member.entry, member.system.url, member.own, name, where)
        checked.issues += [*state, *comment_state(member.entry, whole), *marked]
    elif checked.entry is not None and checked.entry.inactive and _only_active(value_set):
        state = check_state(checked.entry, True, where)
        checked.issues += [*state, *comment_state(checked.entry, whole, excluded=True)]


def _takes_all(value_set: Json, url: str) -> bool:
    """Whether the value set has the whole code system: of a fragment, codes that are not in it may be in it."""
    includes = dicts((value_set.get("compose") or {}).get("include"))
    return any(i.get("system") == url and not i.get("filter") and not i.get("concept") for i in includes)


def _member(
    members: Members, value_set: Json, checked: Checked, question: Question, place: int
) -> Member | None:
    """The member, or None; what keeps the value set from being looked at is noted in `checked`."""
    if not checked.url:
        return None
    try:
        return members.find(value_set, checked.url, checked.code)
    except UnknownSystem as error:
        if error.url == checked.url:
            checked.unsure = True
            checked.caused_by = joined(error.url, error.version)
            where = question.path(place, "system")
            checked.issues.append(TxIssue("error", "not-found", "not-found", error.words(END), where))
        return None
    except UnknownValueSet as error:
        checked.broken = checked.unsure = True
        checked.issues += error.issues
        return None


def _look_up(
    scope: Scope, value_set: Json, checked: Checked, member: Member | None, question: Question, place: int
) -> None:
    """The code in its own code system, whether the value set has it or not."""
    if member is not None:
        _look(checked, member.system, member.entry, question, place, member)
        return
    where = question.path(place, "system")
    if checked.unsure:
        _show_anyway(scope, checked, question)
        return
    if scope.shelf.versions("ValueSet", checked.url):
        text = f"The Coding references a value set, not a code system ('{checked.url}')"
        checked.issues.append(TxIssue("error", "invalid", "invalid-data", text, where))
        return
    if ":" not in checked.url:
        text = "Coding.system must be an absolute reference, not a local reference"
        checked.issues.append(TxIssue("error", "invalid", "invalid-data", text, where, silent=True))
    if scope.is_supplement(checked.url):
        text = f"CodeSystem {checked.url} is a supplement, so can't be used as a value in Coding.system"
        checked.issues.append(TxIssue("error", "invalid", "invalid-data", text, where))
        return
    version = _included_version(value_set, checked.url) or checked.version
    try:
        system = scope.system(checked.url, version)
    except UnknownSystem as error:
        checked.unknown = joined(error.url, error.version if error.known else "")
        text = error.words(END, plain=True)
        checked.issues.append(TxIssue("error", "not-found", "not-found", text, where))
        return
    _look(checked, system, system.find(checked.code), question, place)


def _show_anyway(scope: Scope, checked: Checked, question: Question) -> None:
    """The version that the value set means is not there: the newest one's display still helps a person."""
    system = scope.resolved(checked.url, checked.version) or scope.resolved(checked.url, "")
    entry = system.find(checked.code) if system else None
    if system is not None and entry is not None:
        checked.entry, checked.found_version = entry, system.version
        checked.display = display(entry, system.language, question.languages) or entry.display


def _look(
    checked: Checked, system: CodeSystem, entry: Entry | None, question: Question, place: int,
    member: Member | None = None,
) -> None:  # fmt: skip
    checked.found_version = system.version
    if entry is None:
        checked.issues.append(unknown_code(system, checked.code, question.path(place, "code")))
        if system.head.get("content") == "fragment":
            checked.inside_fragment = True
        return
    checked.entry = entry
    more = list(dicts(member.own.get("designation"))) if member else []
    checked.display = display(entry, system.language, question.languages, more) or entry.display
    if entry.code != checked.code:
        checked.normalized = entry.code
        name = joined(system.url, system.version)
        text = (
            f"The code '{checked.code}' differs from the correct code '{entry.code}' by case. Although the code system "
            f"'{name}' is case insensitive, implementers are strongly encouraged to use the correct case anyway"
        )
        issue = TxIssue(
            "information", "business-rule", "code-rule", text, question.path(place, "code"), silent=True
        )
        checked.issues.append(issue)
    given = question.codings[place].get("display")
    if given:
        where = question.path(place, "display")
        checked.issues += check_display(checked, system, entry, str(given), question.languages, where,
                                        lenient=question.lenient_display, own=member.own if member else {})  # fmt: skip


def _outside(checked: Checked, coding: Json, question: Question, place: int, name: str) -> TxIssue:
    version = f"|{checked.version}" if checked.version else ""
    shown = f" ('{coding['display']}')" if coding.get("display") else ""
    text = f"The provided code '{checked.url}{version}#{checked.code}{shown}' was not found in the value set '{name}'"
    where = question.path(place, "code")
    if question.form == "CodeableConcept":
        return TxIssue("information", "code-invalid", "this-code-not-in-vs", text, where, silent=True)
    return TxIssue("error", "code-invalid", "not-in-vs", text, where)


def _inferred(members: Members, value_set: Json, code: str) -> tuple[list[str], list[str]]:
    """(code systems of the value set that have the code in it, all that it draws on)."""
    urls = dict.fromkeys(
        str(i["system"]) for i in dicts((value_set.get("compose") or {}).get("include")) if i.get("system")
    )
    found = []
    for url in urls:
        try:
            if members.find(value_set, url, code) is not None:
                found.append(url)
        except TxError:
            continue
    return found, list(urls)


def _why_not_inferred(having: list[str], urls: list[str]) -> str:
    if having:
        return f": value set expansion has multiple matches: [{', '.join(sorted(having))}]"
    return f": the code is in none of [{', '.join(urls)}]" if urls else ""


def _included_version(value_set: Json, url: str) -> str:
    for include in dicts((value_set.get("compose") or {}).get("include")):
        if include.get("system") == url and include.get("version"):
            return str(include["version"])
    return ""


def _named(value_set: Json) -> str:
    """As messages name it; one that was sent along may have no url."""
    return joined(str(value_set.get("url") or ""), str(value_set.get("version") or "")) or "(unidentified)"


def _only_active(value_set: Json) -> bool:
    return (value_set.get("compose") or {}).get("inactive") is False
