"""The shape of what is read of CodeSystem, ValueSet and ConceptMap: elements of another are told, and taken out.

Everything behind this gate may rely on strings being strings and lists being lists. Elements that are not read may
hold what they like. In a resource that comes with a question a wrong element is an error; in an import, a defect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Told = Callable[[str], None]
MAX_DEPTH = 60

_CODING: Json = {"system": str, "version": str, "code": str, "display": str}
_EXTENSION: Json = {"url": str}
_EXTENSION["extension"] = [_EXTENSION]
_DESIGNATION: Json = {"language": str, "use": _CODING, "value": str, "extension": [_EXTENSION]}
_CONCEPT: Json = {
    "code": str, "display": str, "definition": str, "designation": [_DESIGNATION], "property": [{"code": str}],
    "extension": [_EXTENSION],
}  # fmt: skip
_CONCEPT["concept"] = [_CONCEPT]
_HEAD: Json = {
    "resourceType": str, "id": str, "url": str, "version": str, "name": str, "title": str, "status": str,
    "experimental": bool, "date": str, "publisher": str, "language": str, "copyright": str, "description": str,
    "extension": [_EXTENSION],
}  # fmt: skip
_LISTED: Json = {"code": str, "display": str, "designation": [_DESIGNATION], "extension": [_EXTENSION]}
_PART: Json = {
    "system": str, "version": str, "concept": [_LISTED], "valueSet": [str], "extension": [_EXTENSION],
    "filter": [{"property": str, "op": str, "value": str}],
}  # fmt: skip
_ROW: Json = {
    "system": str, "version": str, "code": str, "display": str, "abstract": bool, "inactive": bool,
    "designation": [_DESIGNATION],
}  # fmt: skip
_ROW["contains"] = [_ROW]
_PRODUCT: Json = {"property": str, "attribute": str, "system": str, "value": None, "display": str}
_TARGET: Json = {
    "code": str, "display": str, "equivalence": str, "relationship": str, "comment": str, "product": [_PRODUCT],
    "dependsOn": [_PRODUCT],
}  # fmt: skip
_GROUP: Json = {
    "source": str, "target": str,
    "element": [{"code": str, "display": str, "noMap": bool, "target": [_TARGET]}],
    "unmapped": {"mode": str, "code": str, "display": str, "url": str, "otherMap": str},
}  # fmt: skip
_SHAPES: dict[str, Json] = {
    "CodeSystem": {
        **_HEAD, "caseSensitive": bool, "content": str, "supplements": str, "versionNeeded": bool,
        "property": [{"code": str, "uri": str, "type": str}], "concept": [_CONCEPT],
    },
    "ValueSet": {
        **_HEAD, "contained": [{"resourceType": str, "id": str}],
        "compose": {"inactive": bool, "include": [_PART], "exclude": [_PART], "extension": [_EXTENSION]},
        "expansion": {"contains": [_ROW], "total": None},
    },
    "ConceptMap": {
        **_HEAD, "group": [_GROUP], "sourceUri": str, "sourceCanonical": str, "targetUri": str, "targetCanonical": str,
        "sourceScopeUri": str, "sourceScopeCanonical": str, "targetScopeUri": str, "targetScopeCanonical": str,
    },
}  # fmt: skip


def mended(resource: Json, told: Told) -> Json:
    """The resource without elements of the wrong shape; each is told with its path. Other types are left alone."""
    type_ = resource.get("resourceType")
    shape = _SHAPES.get(type_) if isinstance(type_, str) else None
    if shape is None:
        return resource
    found = _object(resource, shape, str(type_), told, 0)
    contained = found.get("contained")
    if contained:
        found["contained"] = [mended(c, told) for c in contained]
    return found


def _object(value: Json, shape: Json, path: str, told: Told, depth: int) -> Json:
    found: Json = {}
    for name, inner in value.items():
        wanted = shape.get(name)
        if wanted is None:
            found[name] = inner
            continue
        good = _fitting(inner, wanted, f"{path}.{name}", told, depth + 1)
        if good is not None:
            found[name] = good
    return found


def _fitting(value: Any, wanted: Any, path: str, told: Told, depth: int) -> Any:
    """The value, mended inside; None when it is to be left out."""
    if depth > MAX_DEPTH:
        told(f"{path.partition('.')[0]} is nested too deeply (more than {MAX_DEPTH} levels)")
        return None
    if isinstance(wanted, list):
        if not isinstance(value, list):
            told(f"{path} must be a list")
            return None
        rows = (_fitting(row, wanted[0], path, told, depth) for row in value)
        return [row for row in rows if row is not None]
    if isinstance(wanted, dict):
        if isinstance(value, dict):
            return _object(value, wanted, path, told, depth)
        told(f"{path} must be an object")
        return None
    if wanted is bool and value in ("true", "false"):
        return value == "true"  # JSON that was once XML
    if isinstance(value, wanted) and (wanted is not str or _is_text(value)):
        return value
    told(f"{path} must be a {'boolean' if wanted is bool else 'string'}")
    return None


def _is_text(value: str) -> bool:
    """Lone surrogates and NUL cannot be stored or sent."""
    return not any("\ud800" <= c <= "\udfff" or c == "\x00" for c in value)
