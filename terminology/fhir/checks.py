"""The single checks of a validation: does the code exist, is it active, is the display one of its names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.concept import CodeSystem, Entry, standards_status
from terminology.fhir.languages import Languages, display, valid_displays
from terminology.fhir.problem import TxIssue
from terminology.fhir.selection import dicts

Json = dict[str, Any]


@dataclass(slots=True)
class Checked:
    """What was found out about one coding. unsure: the value set could not be looked at; broken: it never can."""

    url: str
    code: str
    version: str
    inside: bool = False
    unsure: bool = False
    broken: bool = False
    inside_fragment: bool = False
    entry: Entry | None = None
    display: str = ""
    found_version: str = ""
    normalized: str = ""
    unknown: str = ""
    caused_by: str = ""
    issues: list[TxIssue] = field(default_factory=list)


NO_SYSTEM = (
    "Coding has no system. A code with no system has no defined meaning, and it cannot be validated. A system "
    "should be provided"
)
NO_CODE = "Coding has no code, so it cannot be validated. A code should be provided"
NEITHER = "Coding has no system and no code, so there is nothing to validate"


def incomplete(coding: Json, path: str, *, inferred: bool = False) -> TxIssue | None:
    """What a coding lacks, said once; only its sender knows whether that matters, so it is a warning."""
    system, code = coding.get("system") or inferred, coding.get("code")
    if system and code:
        return None
    text = NEITHER if not system and not code else NO_CODE if not code else NO_SYSTEM
    return TxIssue("warning", "invalid", "invalid-data", text, path)


def unknown_code(system: CodeSystem, code: str, path: str) -> TxIssue:
    """A fragment does not hold all codes: what is missing there may still be right (a warning)."""
    version = f" version '{system.version}'" if system.version else ""
    text = f"Unknown code '{code}' in the CodeSystem '{system.url}'{version}"
    if system.head.get("content") == "fragment":
        text = text.replace("Unknown code", "Unknown Code", 1)
        text += " - note that the code system is labeled as a fragment, so the code may be valid in some other fragment"
        return TxIssue("warning", "code-invalid", "invalid-code", text, path, silent=True)
    return TxIssue("error", "code-invalid", "invalid-code", text, path)


def check_state(entry: Entry, active_only: bool, path: str) -> list[TxIssue]:
    """An inactive code where only active ones count."""
    if not (active_only and entry.inactive):
        return []
    text = f"The concept '{entry.code}' is valid but is not active"
    return [TxIssue("error", "business-rule", "code-rule", text, path)]


def comment_state(entry: Entry, path: str, *, excluded: bool = False) -> list[TxIssue]:
    """A word about a concept that is inactive or deprecated. excluded: it was left out for being inactive."""
    if entry.status == "deprecated" and not entry.inactive:
        text = f"The concept '{entry.code}' is deprecated and its use should be reviewed"
        return [TxIssue("warning", "business-rule", "code-comment", text, path)]
    statuses = [entry.status] if entry.status in ("retired", "deprecated", "withdrawn") else []
    if entry.inactive and (not statuses or excluded):
        statuses.insert(0, "inactive")
    return [
        TxIssue(
            "warning", "business-rule", "code-comment",
            f"The concept '{entry.code}' has a status of {status} and its use should be reviewed", path,
        )
        for status in dict.fromkeys(statuses)
    ]  # fmt: skip


def comment_presence(entry: Entry, url: str, own: Json, name: str, path: str) -> list[TxIssue]:
    """A value set may mark one of its concepts as deprecated or withdrawn (the standards status of include.concept)."""
    status = standards_status(own)
    if status not in ("deprecated", "withdrawn"):
        return []
    text = (
        f"The presence of the concept '{entry.code}' in the system '{url}' in the value set {name} is marked with a "
        f"status of {status} and its use should be reviewed"
    )
    return [TxIssue("warning", "business-rule", "code-comment", text, path, silent=True)]


def check_display(
    checked: Checked, system: CodeSystem, entry: Entry, given: str, languages: Languages, path: str, *,
    lenient: bool, own: Json,
) -> list[TxIssue]:  # fmt: skip
    """Names are compared without regard to case; white space must be as written (a warning names the difference)."""
    named = valid_displays(entry, system.language, languages)
    named += [
        (str(d.get("language", "")), str(d["value"])) for d in dicts(own.get("designation")) if d.get("value")
    ]
    named += [(system.language, str(own["display"]))] if own.get("display") else []
    if any(given.casefold() == text.casefold() for _, text in named):
        return _outdated(entry, given, path)
    severity = "warning" if lenient else "error"
    folded = " ".join(given.split()).casefold()
    spaced = any(" ".join(text.split()).casefold() == folded for _, text in named)
    what = "Wrong whitespace in Display Name" if spaced else "Wrong Display Name"
    head = f"{what} '{given}' for {system.url}#{checked.code}. "
    asked = f" (for the language(s) '{languages.written or '--'}')"
    if named:
        return [TxIssue(severity, "invalid", "invalid-display", head + _choices(named) + asked, path)]
    return _no_display(system, entry, given, languages, path, head, severity)


def _outdated(entry: Entry, given: str, path: str) -> list[TxIssue]:
    """A name that was withdrawn is still valid, with a warning that names what to say instead."""
    old = {str(d.get("value", "")).casefold(): standards_status(d) for d in entry.designations}
    status = old.get(given.casefold(), "")
    if status not in ("deprecated", "withdrawn") or given.casefold() == entry.display.casefold():
        return []
    current = [str(d["value"]) for d in entry.designations if not standards_status(d)]
    better = ", ".join(dict.fromkeys(([entry.display] if entry.display else []) + current))
    text = (
        f"'{given}' is no longer considered a correct display for code '{entry.code}' (status = {status}). The correct "
        f"display is one of {better}"
    )
    return [TxIssue("warning", "invalid", "display-comment", text, path)]


def _choices(named: list[tuple[str, str]]) -> str:
    shown = list(
        dict.fromkeys(f"'{text}'" + (f" ({language})" if language else "") for language, text in named)
    )
    if len(shown) == 1:
        return f"Valid display is {shown[0]}"
    return f"Valid display is one of {len(shown)} choices: {', '.join(shown[:-1])} or {shown[-1]}"


def _no_display(
    system: CodeSystem, entry: Entry, given: str, languages: Languages, path: str, head: str,
    severity: str,
) -> list[TxIssue]:  # fmt: skip
    """There is no name in the language asked for: the default one is right, with a word about it."""
    asked = languages.written
    default = display(entry, system.language, Languages())
    if given.casefold() == default.casefold():
        named = f"{system.url}#{entry.code}"
        text = (
            f"There are no valid display names found for the code {named} for language(s) '{asked}'. The display is "
            f"'{default}' which is the default language display"
        )
        return [TxIssue("information", "invalid", "invalid-display", text, path)]
    text = f"{head}There are no valid display names found for language(s) '{asked}'. Default display is '{default}'"
    return [TxIssue(severity, "invalid", "invalid-display", text, path)]
