"""Our answers in the form that older copies of HL7's terminology tests expect.

The only whole copies in a package registry end with release 1.7.0 (December 2024). What later releases reversed or
reworded is done here as the later ones ask; to see that nothing but that differs, each change is taken back from an
answer before it is compared again. A case that passes so is counted apart, with the names of the changes.

Sources: input/pagecontent/test-history.md ("HISTORY") and requirements.md of HL7/fhir-tx-ecosystem-ig, or the expected
response of the same name in tests/ of that repository, as read in November 2026.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Change = Callable[[Json, Json], None]
_ISSUE = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"


def status_of_inactive(actual: Json, expected: Json) -> None:
    """HISTORY 1.9.3: "a server that knows a concept is inactive SHALL say why, so the status property is no longer
    optional in an expansion" (before, it was not expected)."""
    for answer in (actual, expected):
        expansion = answer.get("expansion") or {}
        for element in (expansion, *_rows(expansion)):
            if "property" in element:
                element["property"] = [p for p in element["property"] if p.get("code") != "status"]
                if not element["property"]:
                    del element["property"]


def deprecated_is_active(actual: Json, expected: Json) -> None:
    """HISTORY 1.9.3: "a status of deprecated no longer makes a concept inactive"."""
    for row in _rows(actual.get("expansion") or {}):
        statuses = [p.get("valueCode") for p in row.get("property", ()) if p.get("code") == "status"]
        if "deprecated" in statuses:
            row["inactive"] = True


def word_about_inactive(actual: Json, expected: Json) -> None:
    """HISTORY 1.9.2: "Warnings for status / retired / inactive codes"; requirements.md, Inactive Codes: "$validate-code
    ... SHALL include a warning". And "The concept 'x' is valid but is not active", in the message too, where it was
    "The code 'x' ..." (tests/validation/simple-coding-bad-code-inactive-response-parameters.json)."""
    _drop_issues(actual, lambda kind, text: kind == "code-comment" and " has a status of " in text)
    _reword(actual, r"The concept ('[^']*' is valid but is not active)", r"The code \1")
    _same_message(actual, expected, "is valid but is not active")


def versions_in_words(actual: Json, expected: Json) -> None:
    """ "Valid versions: 0.1.0" where it was "[0.1.0]", "No versions of this code system are known" where it was "[]";
    the version and display that are known are told, and the include's version is named
    (tests/version/simple-coding-bad-version1-response-parameters.json,
    tests/validation/simple-codeableconcept-bad-version2-response-parameters.json)."""
    if not any(" could not be found, so the code cannot be validated" in t for t in _texts(actual)):
        return
    _drop_issues(
        actual, lambda kind, text: kind == "vs-invalid" and "is different to the one in the value" in text
    )
    _reword(actual, r"Valid versions: ([^\[;]+)", r"Valid versions: [\1]")
    _reword(actual, "No versions of this code system are known", "Valid versions: []")
    for answer in (actual, expected):
        known = ("version", "display", "code", "system", "x-unknown-system")
        answer["parameter"] = [p for p in answer["parameter"] if p["name"] not in known]


def unable_to_check(actual: Json, expected: Json) -> None:
    """tests/errors/errors-unknown-system1-response.json, and tests/validation/simple-coding-bad-import-response-
    parameters.json: the issue "Unable to check whether the code is in the value set ..." is gone."""
    _drop_issues(expected, lambda kind, text: kind == "vs-invalid" and _is_unable(text))


def language_fallback(actual: Json, expected: Json) -> None:
    """tests/display/validation-right-de-en-response-parameters.json: "There are no valid display names found ..." as
    invalid-display and in the message, where it was a display-comment beside the message. Only the fact is compared."""
    marks = [i for i in _issues(actual) if "which is the default language display" in i["details"]["text"]]
    wanted = [i for i in _issues(expected) if "is the default display" in i["details"]["text"]]
    if len(marks) == len(wanted) == 1:
        marks[0]["details"] = copy.deepcopy(wanted[0]["details"])
        actual["parameter"] = [p for p in actual["parameter"] if p["name"] != "message"]


def lookup_parameters(actual: Json, expected: Json) -> None:
    """tests/simple/simple-lookup2-response-parameters.json: definition is a parameter of $lookup and was a property;
    abstract is told of abstract concepts."""
    for part in actual.get("parameter", ()):
        if part.get("name") == "definition":
            text = part.pop("valueString")
            body = [{"name": "code", "valueCode": "definition"}, {"name": "value", "valueString": text}]
            part.update(name="property", part=body)
    for answer in (actual, expected):
        if "parameter" in answer:
            answer["parameter"] = [p for p in answer["parameter"] if p["name"] != "abstract"]


def said_of_each_coding(actual: Json, expected: Json) -> None:
    """tests/other/validation-dual-filter-out-response-parameters.json: that one coding of several is not in the value
    set stands among the issues, and no longer in the message too."""
    more = [
        i["details"]["text"]
        for i in _issues(actual)
        if i["details"]["coding"][0]["code"] == "this-code-not-in-vs"
    ]
    for part in actual.get("parameter", ()):
        if part["name"] == "message":
            part["valueString"] = "; ".join(sorted({*part["valueString"].split("; "), *more}))


def version_of_a_concept(actual: Json, expected: Json) -> None:
    """tests/permutations/simple-good-cc2-isa-response-parameters.json: the version that the codings of a concept were
    looked up in is told where none of them is in the value set."""
    if not any(p["name"] == "version" for p in expected.get("parameter", ())) and "parameter" in actual:
        actual["parameter"] = [p for p in actual["parameter"] if p["name"] != "version"]


def own_designation(actual: Json, expected: Json) -> None:
    """tests/language/expand-xform-de-multi-en-default-response-valueSet.json, tests/simple/simple-lookup-response-
    parameters.json: among designations the own display is "preferredForLanguage" where it was "display"."""
    before = {"system": "http://terminology.hl7.org/CodeSystem/designation-usage", "code": "display"}
    for part in actual.get("parameter", ()):
        for inner in part.get("part", ()):
            if (inner.get("valueCoding") or {}).get("code") == "preferredForLanguage":
                inner["valueCoding"] = dict(before)
    for row in _rows(actual.get("expansion") or {}):
        for designation in row.get("designation", ()):
            if (designation.get("use") or {}).get("code") == "preferredForLanguage":
                designation["use"] = dict(before)


def circles(actual: Json, expected: Json) -> None:
    """tests/big/expand-circle-outcome.json, and tests/valueset-version/coding-indirect-zero-pinned-wrong-response-
    parameters.json: a circle is coded vs-invalid, a missing value set not-found, where neither had a code."""
    for issue, wanted in zip(actual.get("issue", ()), expected.get("issue", ()), strict=False):
        if "coding" not in wanted["details"]:
            issue["details"].pop("coding", None)
            if "Unable to find included value set" in wanted["details"].get("text", ""):
                named = re.search(r"'(.*)\|(.*)'", issue["details"]["text"])
                if named and all(f"'{part}'" in wanted["details"]["text"] for part in named.groups()):
                    issue["code"], issue["details"]["text"] = wanted["code"], wanted["details"]["text"]


CHANGES: tuple[Change, ...] = (
    deprecated_is_active, status_of_inactive, word_about_inactive, versions_in_words, unable_to_check,
    language_fallback, lookup_parameters, own_designation, said_of_each_coding, circles,
    version_of_a_concept,
)  # fmt: skip


def older_forms(actual: Json, expected: Json, fits: Callable[[Json, Json], bool]) -> list[str]:
    """The fewest changes (one, or all those that matter together) that make the answer fit; [] when none do."""

    def passes(changes: list[Change]) -> bool:
        pair = copy.deepcopy(actual), copy.deepcopy(expected)
        for change in changes:
            change(*pair)
        return fits(*pair)

    for change in CHANGES:
        if passes([change]):
            return [change.__name__]
    needed = list(CHANGES)
    if not passes(needed):
        return []
    for change in CHANGES:
        fewer = [c for c in needed if c is not change]
        if passes(fewer):
            needed = fewer
    return [change.__name__ for change in needed]


def _texts(answer: Json) -> list[str]:
    return [issue["details"]["text"] for issue in _issues(answer)]


def _is_unable(text: str) -> bool:
    return text.startswith(("Unable to check whether the code is in the value set", "$external:2:"))


def _same_message(actual: Json, expected: Json, fragment: str) -> None:
    """Takes the sentences with the fragment out of the message where the template's message has none."""
    wanted = next((p["valueString"] for p in expected.get("parameter", ()) if p["name"] == "message"), "")
    for part in actual.get("parameter", ()):
        if part["name"] == "message" and fragment not in wanted and not wanted.startswith("$"):
            part["valueString"] = "; ".join(t for t in part["valueString"].split("; ") if fragment not in t)


def _rows(expansion: Json) -> list[Json]:
    found: list[Json] = []
    stack = list(expansion.get("contains", ()))
    while stack:
        row = stack.pop()
        found.append(row)
        stack += row.get("contains", ())
    return found


def _issues(answer: Json) -> list[Json]:
    outcomes = [p["resource"] for p in answer.get("parameter", ()) if p.get("name") == "issues"]
    return [issue for outcome in outcomes for issue in outcome["issue"]]


def _drop_issues(answer: Json, which: Callable[[str, str], bool]) -> None:
    """Takes issues out, and their texts out of the message."""
    gone = []
    for part in list(answer.get("parameter", ())):
        if part.get("name") != "issues":
            continue
        kept = []
        for issue in part["resource"]["issue"]:
            kinds = [c.get("code") for c in issue["details"].get("coding", ()) if c.get("system") == _ISSUE]
            text = issue["details"]["text"]
            (gone if kinds and which(str(kinds[0]), text) else kept).append(issue)
        part["resource"]["issue"] = kept
        if not kept:
            answer["parameter"].remove(part)
    texts = {i["details"]["text"] for i in gone}
    for part in list(answer.get("parameter", ())):
        if part.get("name") == "message" and texts:
            left = [t for t in part["valueString"].split("; ") if t not in texts]
            part["valueString"] = "; ".join(left)
            if not left:
                answer["parameter"].remove(part)


def _reword(answer: Json, pattern: str, by: str) -> None:
    for issue in _issues(answer):
        issue["details"]["text"] = re.sub(pattern, by, issue["details"]["text"])
    for part in answer.get("parameter", ()):
        if part.get("name") == "message":
            part["valueString"] = re.sub(pattern, by, part["valueString"])
