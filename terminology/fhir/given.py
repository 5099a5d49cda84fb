"""The parameters of a terminology operation, read exactly: known names, right cardinality, right kind of value.

Names are R4's and those that HL7's terminology ecosystem adds (tx-resource, system-version ...). Names that begin with
"x-" or "_" and the names in PASSED_OVER are let through unused; any other unknown name is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from terminology.fhir.canonical import split
from terminology.fhir.concept import value_of
from terminology.fhir.problem import invalid
from terminology.fhir.scope import Scope
from terminology.fhir.shape import mended
from terminology.fhir.shelf import Overlay, Shelf

Json = dict[str, Any]
VERSIONS = frozenset(
    ("system-version", "check-system-version", "force-system-version", "default-valueset-version", "valueset-version",
     "tx-resource", "useSupplement")
)  # fmt: skip
MANY = VERSIONS | {"property", "designation", "exclude-system", "dependency", "cache-id"}
PASSED_OVER = frozenset(
    ("cache-id", "profile-url", "uuid", "limitedExpansion", "incomplete-ok", "diagnostics", "includeAlternateCodes",
     "default-to-latest-version", "abstract-ok", "mode", "lenient-display-validation", "for-ui")
)  # fmt: skip
_RESOURCES = ("CodeSystem", "ValueSet", "ConceptMap")
MAX_TX_RESOURCES = 200


class Given:
    """`parameters` are Parameters.parameter elements. Raises TxError (400) for what is wrong with them."""

    def __init__(self, parameters: Iterable[Any], known: frozenset[str], *, lenient: bool = False) -> None:
        self._values: dict[str, list[Any]] = {}
        for part in parameters:
            if not isinstance(part, dict) or not isinstance(part.get("name"), str) or not part["name"]:
                raise invalid("every parameter needs a name")
            name = part["name"]
            if name not in known and name not in VERSIONS:
                if name in PASSED_OVER or name.startswith(("x-", "_")) or lenient:
                    continue
                raise invalid("unknown parameter; known are " + ", ".join(sorted(known | VERSIONS)))
            self._values.setdefault(name, []).append(_single(part))
        for name, values in self._values.items():
            if len(values) > 1 and name not in MANY:
                raise invalid(f"the parameter {name} is given twice")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        value = self._values.get(name, [""])[0]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid(f"{name} must be a string")
        return str(value)

    def texts(self, name: str) -> list[str]:
        values = self._values.get(name, [])
        if any(not isinstance(v, str) for v in values):
            raise invalid(f"{name} must be a string")
        return list(values)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._values.get(name, [default])[0]
        if isinstance(value, bool):
            return value
        if str(value).lower() not in ("true", "false"):
            raise invalid(f"{name} must be true or false")
        return str(value).lower() == "true"

    def whole(self, name: str) -> int | None:
        """A whole number from 0, None when not given."""
        if name not in self._values:
            return None
        value = self._values[name][0]
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise invalid(f"{name} must be a whole number from 0")
        return int(text)

    def part(self, name: str) -> Json | None:
        """A complex value (Coding, CodeableConcept, a resource)."""
        if name not in self._values:
            return None
        value = self._values[name][0]
        if not isinstance(value, dict):
            raise invalid(f"{name} must be a complex value; send it in a Parameters resource")
        return value

    def resource(self, name: str, type_: str) -> Json | None:
        found = self.part(name)
        if found is not None and found.get("resourceType") != type_:
            raise invalid(f"{name} must be a {type_} resource")
        return mended(found, _refuse) if found is not None else None

    def scope(self, shelf: Shelf, more: Iterable[Json] = ()) -> Scope:
        """The shelf with the resources of the question, and its version rules."""
        extra = self._values.get("tx-resource", [])
        if any(not isinstance(r, dict) for r in extra):
            raise invalid("tx-resource must be a resource")
        if len(extra) > MAX_TX_RESOURCES:
            raise invalid(f"more than {MAX_TX_RESOURCES} tx-resources")
        extra = [*more, *(mended(r, _refuse) for r in extra if r.get("resourceType") in _RESOURCES)]
        scope = Scope(
            Overlay(shelf, extra) if extra else shelf,
            _canonicals(self.texts("system-version")), _canonicals(self.texts("check-system-version")),
            _canonicals(self.texts("force-system-version")), _canonicals(self._value_set_versions()),
        )  # fmt: skip
        scope.want_supplements(self.texts("useSupplement"))
        return scope

    def _value_set_versions(self) -> list[str]:
        """default-valueset-version, and valueset-version as it was called before 1.7.6 of HL7's tests."""
        return [*self.texts("valueset-version"), *self.texts("default-valueset-version")]


def _refuse(what: str) -> None:
    raise invalid(what)


def _single(part: Json) -> Any:
    value = part["resource"] if "resource" in part else value_of(part)
    if value is None or sum(k.startswith("value") or k == "resource" for k in part) != 1:
        raise invalid(f"the parameter {str(part.get('name'))[:40]} needs one value")
    return value


def _canonicals(values: Iterable[str]) -> dict[str, str]:
    found = {}
    for value in values:
        url, version = split(value)
        if not url or not version:
            raise invalid("a version rule must be written as system|version")
        found[url] = version
    return found


def contained_in(value_set: Json) -> list[Json]:
    """Contained resources can be referred to by "#id"."""
    found = []
    for resource in value_set.get("contained") or ():
        if isinstance(resource, dict) and resource.get("id"):
            found.append({**resource, "url": f"#{resource['id']}"})
            found.append(resource)
    return found
