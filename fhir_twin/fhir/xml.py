"""R4 XML to the JSON form and back (https://hl7.org/fhir/R4/xml.html, json.html), by the definitions in `validate`.

Input is hostile until proven otherwise: UTF-8 only, no document type, no entities, no processing instructions, bounded
size and depth; an element or attribute that R4 does not define is refused, never dropped. Numbers keep their digits
(Decimal), the narrative its markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from lxml import etree

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.fhir.narrative import XHTML
from fhir_twin.fhir.validate import Element, elements

Json = dict[str, Any]

FHIR = "http://hl7.org/fhir"
MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
_DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
_FORBIDDEN = re.compile(r"<!DOCTYPE|<!ENTITY|<\?(?!xml[ \t\r\n])|XInclude", re.IGNORECASE)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})", re.ASCII)


def from_xml(data: bytes, *, max_bytes: int = MAX_BYTES) -> Json:
    """One resource from its XML. Raises InvalidInput (with the rule, not the text) and TooCostly."""
    if len(data) > max_bytes:
        raise TooCostly("the XML is larger than this service reads")
    text = _decoded(data)
    if _FORBIDDEN.search(text):
        raise InvalidInput("XML with DOCTYPE, entities, includes or processing instructions is not allowed")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise InvalidInput("the XML is not well-formed") from None
    return _resource(root, 0)


def to_xml(resource: Json) -> bytes:
    """The XML of one resource (UTF-8, with declaration). Raises InvalidInput for what R4 does not define."""
    root = etree.Element(f"{{{FHIR}}}{_type(resource)}", nsmap={None: FHIR})  # type: ignore[dict-item]
    _fill(root, {k: v for k, v in resource.items() if k != "resourceType"}, _type(resource))
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _decoded(data: bytes) -> str:
    """FHIR XML is UTF-8. Anything else is refused rather than guessed at."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    declared = _DECLARED.match(data)
    if declared and declared[1].lower() not in (b"utf-8", b"utf8"):
        raise InvalidInput("FHIR XML must be UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the XML is not UTF-8") from None
    if "\x00" in text:
        raise InvalidInput("the XML holds NUL characters")
    return text


# --- reading -----------------------------------------------------------------------------------------


def _resource(node: etree._Element, depth: int) -> Json:
    name = etree.QName(node)
    if name.namespace != FHIR:
        raise InvalidInput("the root of a resource must be in the FHIR namespace")
    members = _members(node, name.localname, depth)
    return {"resourceType": name.localname, **members}


def _members(node: etree._Element, kind: str, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise InvalidInput("the XML is nested too deeply")
    definitions = _definitions(kind)
    result: Json = _attributes(node, kind, definitions)
    if (node.text or "").strip() or any((child.tail or "").strip() for child in node):
        raise InvalidInput("text between elements is not allowed")
    for child in node:
        name = etree.QName(child)
        definition = definitions.get(name.localname)
        if definition is None or name.namespace != (XHTML if definition.kind == "xhtml" else FHIR):
            raise InvalidInput("the XML holds an element that R4 does not define")
        _add(result, definition, child, depth)
    return result


def _attributes(node: etree._Element, kind: str, definitions: dict[str, Element]) -> Json:
    """Only `id` of an element and `url` of an extension are attributes."""
    allowed = {"id"} if "." in kind else set()
    if kind.endswith(".Extension"):
        allowed.add("url")
    found = _few(node)
    if not found.keys() <= allowed & definitions.keys():
        raise InvalidInput("the XML holds an attribute that R4 does not define")
    return dict(found)


def _few(node: etree._Element) -> dict[str, str]:
    """FHIR elements have two attributes at most; listing very many takes quadratic time (row 32)."""
    if len(node.attrib) > 2:
        raise InvalidInput("the XML holds an attribute that R4 does not define")
    return {str(k): str(v) for k, v in node.attrib.items()}


def _add(result: Json, definition: Element, child: etree._Element, depth: int) -> None:
    name = definition.name
    value, extra = _value(child, definition, depth)
    if not definition.many:
        if name in result or f"_{name}" in result:
            raise InvalidInput("an element that may stand once stands twice")
        result |= {name: value} if value is not None else {}
        result |= {f"_{name}": extra} if extra else {}
        return
    values = result.setdefault(name, [])
    values.append(value)
    if extra or f"_{name}" in result:
        extras = result.setdefault(f"_{name}", [None] * (len(values) - 1))
        extras.append(extra or None)


def _value(node: etree._Element, definition: Element, depth: int) -> tuple[Any, Json]:
    """(value, id and extensions of a primitive)."""
    if definition.kind == "xhtml":
        return _markup(node), {}
    if definition.kind == "resource":
        if len(node) != 1 or node.attrib:
            raise InvalidInput("exactly one resource is expected here")
        return _resource(node[0], depth + 1), {}
    if "." in definition.kind:
        return _members(node, definition.kind, depth + 1), {}
    return _primitive(node, definition.kind, depth)


def _markup(node: etree._Element) -> str:
    copy = etree.fromstring(etree.tostring(node, with_tail=False))
    etree.cleanup_namespaces(copy)
    return etree.tostring(copy, encoding="unicode")


def _primitive(node: etree._Element, kind: str, depth: int) -> tuple[Any, Json]:
    attributes = _few(node)
    if not attributes.keys() <= {"id", "value"} or (node.text or "").strip():
        raise InvalidInput("a primitive holds its value in the attribute `value`")
    extension = Element("extension", True, "fhir.resources.R4B.extension.Extension")
    extra: Json = {"id": attributes["id"]} if "id" in attributes else {}
    for child in node:
        if etree.QName(child) != etree.QName(FHIR, "extension"):
            raise InvalidInput("a primitive holds nothing but extensions")
        _add(extra, extension, child, depth + 1)
    text = attributes.get("value")
    if text is None and not extra:
        raise InvalidInput("a primitive needs a value or an extension")
    return (None if text is None else _typed(text, kind)), extra


def _typed(text: str, kind: str) -> Any:
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "decimal" and _DECIMAL.fullmatch(text):
        return Decimal(text)
    if kind != "string" or not text:
        raise InvalidInput(f"not a valid {kind if text else 'value: it is empty'}")
    return text


# --- writing -----------------------------------------------------------------------------------------


def _type(resource: Json) -> str:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not re.fullmatch(r"[A-Z][A-Za-z]{1,60}", type_):
        raise InvalidInput("the resource says no type")
    return type_


def _definitions(kind: str) -> dict[str, Element]:
    try:
        return elements(kind)
    except LookupError:
        raise InvalidInput("not a resource type of R4") from None


def _fill(node: etree._Element, value: Json, kind: str) -> None:
    definitions = _definitions(kind)
    if not {k.removeprefix("_") for k in value} <= definitions.keys():
        raise InvalidInput("the JSON holds an element that R4 does not define")
    for name, definition in definitions.items():
        if name not in value and f"_{name}" not in value:
            continue
        if "." in kind and (name == "id" or (name == "url" and kind.endswith(".Extension"))):
            node.set(name, _text(value[name], "string"))
            continue
        for one, extra in _pairs(value.get(name), value.get(f"_{name}"), definition.many):
            _write(node, definition, one, extra)


def _pairs(value: Any, extra: Any, many: bool) -> Iterator[tuple[Any, Any]]:
    if not many:
        yield value, extra
        return
    values = value if isinstance(value, list) else []
    extras = extra if isinstance(extra, list) else []
    if (value is not None and not isinstance(value, list)) or (
        extra is not None and not isinstance(extra, list)
    ):
        raise InvalidInput("an element that repeats must be a list")
    for i in range(max(len(values), len(extras))):
        yield (values[i] if i < len(values) else None), (extras[i] if i < len(extras) else None)


def _write(node: etree._Element, definition: Element, value: Any, extra: Any) -> None:
    if definition.kind == "xhtml":
        node.append(_parsed_markup(value))
        return
    child = etree.SubElement(node, f"{{{FHIR}}}{definition.name}")
    if definition.kind == "resource" or "." in definition.kind:
        if not isinstance(value, dict):
            raise InvalidInput("an object is expected where R4 has a complex type")
        if definition.kind == "resource":
            inner = etree.SubElement(child, f"{{{FHIR}}}{_type(value)}")
            _fill(inner, {k: v for k, v in value.items() if k != "resourceType"}, _type(value))
        else:
            _fill(child, value, definition.kind)
        return
    if isinstance(extra, dict):
        _fill(child, extra, "fhir.resources.R4B.element.Element")
    if value is not None:
        child.set("value", _text(value, definition.kind))


def _parsed_markup(div: Any) -> etree._Element:
    if not isinstance(div, str) or _FORBIDDEN.search(div):
        raise InvalidInput("the narrative is not well-formed XHTML")
    try:
        return etree.fromstring(div, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (etree.XMLSyntaxError, ValueError):
        raise InvalidInput("the narrative is not well-formed XHTML") from None


def _text(value: Any, kind: str) -> str:
    if kind == "boolean" and isinstance(value, bool):
        return "true" if value else "false"
    if (
        kind in ("integer", "decimal")
        and isinstance(value, int | float | Decimal)
        and not isinstance(value, bool)
    ):
        text = str(value)
        if _DECIMAL.fullmatch(text):
            return text
    if kind != "string" or not isinstance(value, str):
        raise InvalidInput(f"not a valid {kind}")
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", value):
        raise InvalidInput("a text holds a character that XML cannot carry")
    return value
