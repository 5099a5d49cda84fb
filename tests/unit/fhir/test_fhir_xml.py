"""R4 XML: round trips (interop E13), and what must be refused (security.md 5.3 rows 29 to 33, 36)."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import BASE, plan

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.xml import FHIR, from_xml, to_xml

Json = dict[str, Any]
SHARED = (
    Path(os.environ.get("FHIR_TWIN_SHARED", Path(__file__).parents[4] / "shared")) / "data" / "synthea-30"
)


def same(one: Any, other: Any) -> bool:
    """Equal as FHIR JSON; the narrative as XML, numbers as numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same_div(one[k], other[k]) if k == "div" else same(one[k], other[k]) for k in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return Decimal(str(one)) == Decimal(str(other))
    return bool(one == other)


def _same_div(one: str, other: str) -> bool:
    return etree.tostring(etree.fromstring(one), method="c14n") == etree.tostring(
        etree.fromstring(other), method="c14n"
    )


def test_every_resource_that_we_write_comes_back_equal() -> None:
    """E13."""
    bundle = write_plan(plan(), base=BASE)
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert same(from_xml(to_xml(resource)), resource), resource["resourceType"]
    assert same(from_xml(to_xml(bundle)), bundle)


def test_order_is_that_of_the_definition() -> None:
    """XML order is fixed by R4 whatever the order of the JSON."""
    goal = {
        "description": {"text": "x"},
        "target": [{"dueDate": "2026-01-01"}],
        "subject": {"display": "y", "reference": "Patient/1"},
        "lifecycleStatus": "proposed",
        "id": "1",
        "resourceType": "Goal",
    }
    root = etree.fromstring(to_xml(goal))
    names = [etree.QName(c).localname for c in root]
    assert names == ["id", "lifecycleStatus", "description", "subject", "target"]
    assert [etree.QName(c).localname for c in root[3]] == ["reference", "display"]


def test_a_resource_of_the_specification_read_by_hand() -> None:
    """Written out by hand from the rules of xml.html: attributes, primitive extensions, lists with gaps."""
    xml = f"""<?xml version="1.0" encoding="UTF-8"?>
    <Patient xmlns="{FHIR}">
      <id value="p1"/>
      <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>A &amp; B</p></div></text>
      <contained><Organization><id value="o1"/><name value="Org"/></Organization></contained>
      <extension url="http://x.example/e"><valueDecimal value="1.10"/></extension>
      <active value="true"/>
      <name id="n1"><family value="Fam"/><given value="Ann"/><given>
        <extension url="http://x.example/g"><valueString value="?"/></extension></given><given value="Bea"/></name>
      <birthDate id="b" value="1960-01"><extension url="http://x.example/b"><valueInteger value="3"/></extension>
      </birthDate>
      <multipleBirthInteger value="2"/>
    </Patient>""".encode()
    assert from_xml(xml) == {
        "resourceType": "Patient",
        "id": "p1",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>A &amp; B</p></div>',
        },
        "contained": [{"resourceType": "Organization", "id": "o1", "name": "Org"}],
        "extension": [{"url": "http://x.example/e", "valueDecimal": Decimal("1.10")}],
        "active": True,
        "name": [
            {
                "id": "n1",
                "family": "Fam",
                "given": ["Ann", None, "Bea"],
                "_given": [None, {"extension": [{"url": "http://x.example/g", "valueString": "?"}]}, None],
            }
        ],
        "birthDate": "1960-01",
        "_birthDate": {"id": "b", "extension": [{"url": "http://x.example/b", "valueInteger": 3}]},
        "multipleBirthInteger": 2,
    }
    assert same(from_xml(to_xml(from_xml(xml))), from_xml(xml))


def test_digits_are_kept() -> None:
    """Row 36, MDL-6: 1.10 in and out."""
    observation = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("7.10")}}
    xml = to_xml(observation)
    assert b'value="7.10"' in xml
    assert str(from_xml(xml)["valueQuantity"]["value"]) == "7.10"


def test_real_patients_survive() -> None:
    """Every resource of real-shaped records: JSON to XML and back is the same JSON."""
    files = sorted(SHARED.glob("*.json.gz"))[:4]
    if not files:
        pytest.skip("the sample records (synthea-30) are not on this machine")
    seen = set()
    for file in files:
        for entry in json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)["entry"][:60]:
            resource = entry["resource"]
            seen.add(resource["resourceType"])
            assert same(from_xml(to_xml(resource)), resource), resource["resourceType"]
    assert len(seen) > 5


def test_what_was_read_is_valid() -> None:
    care_plan = next(
        e["resource"]
        for e in write_plan(plan(), base=BASE)["entry"]
        if e["resource"]["resourceType"] == "CarePlan"
    )
    urns = {e["fullUrl"]: e["resource"]["resourceType"] for e in write_plan(plan(), base=BASE)["entry"]}
    assert validate_resource(from_xml(to_xml(care_plan)), urns) == ()


NAMESPACE = b'xmlns="http://hl7.org/fhir"'
LAUGHS = b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10))
HOSTILE = {
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b'<Patient XMLNS><id value="&e;"/></Patient>',
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]><Patient XMLNS/>',
    "internal entity": b'<!DOCTYPE x [<!ENTITY e "hello">]><Patient XMLNS><id value="&e;"/></Patient>',
    "lower case doctype": b"<!doctype x><Patient XMLNS/>",
    "billion laughs": b'<!DOCTYPE x [<!ENTITY a0 "ha">'
    + LAUGHS
    + b']><Patient XMLNS><id value="&a9;"/></Patient>',
    "xinclude": b'<Patient XMLNS><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/></Patient>',
    "stylesheet": b'<?xml-stylesheet href="x"?><Patient XMLNS/>',
    "deep": b"<Patient XMLNS>" + b"<extension>" * 300_000,
    "deep and closed": b"<Patient XMLNS>"
    + b'<extension url="u">' * 200
    + b"</extension>" * 200
    + b"</Patient>",
    "many attributes": b"<Patient XMLNS " + b" ".join(b'a%d="1"' % i for i in range(200_000)) + b"/>",
    "utf-16": "<Patient XMLNS/>".encode("utf-16"),
    "declared utf-7": b'<?xml version="1.0" encoding="UTF-7"?><Patient XMLNS/>',
    "declared latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?><Patient XMLNS/>',
    "wrong encoding": b'<Patient XMLNS><id value="\xe9"/></Patient>',
    "nul": b'<Patient XMLNS><id value="a\x00"/></Patient>',
    "empty": b"",
    "not xml": b"{}",
    "no namespace": b"<Patient/>",
    "other namespace": b'<Patient xmlns="urn:hl7-org:v3"/>',
    "unknown type": b"<Nothing XMLNS/>",
    "data type": b"<Quantity XMLNS/>",
    "unknown element": b'<Patient XMLNS><nope value="1"/></Patient>',
    "unknown attribute": b'<Patient XMLNS><active value="true" onclick="x"/></Patient>',
    "twice": b'<Patient XMLNS><active value="true"/><active value="false"/></Patient>',
    "bad boolean": b'<Patient XMLNS><active value="TRUE"/></Patient>',
    "bad integer": b'<Patient XMLNS><multipleBirthInteger value="1e400"/></Patient>',
    "bad decimal": b'<Observation XMLNS><valueQuantity><value value="NaN"/></valueQuantity></Observation>',
    "text in between": b'<Patient XMLNS>hello<active value="true"/></Patient>',
    "empty primitive": b"<Patient XMLNS><active/></Patient>",
    "two resources": b"<Patient XMLNS><contained><Patient/><Patient/></contained></Patient>",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_xml_is_refused_fast_and_without_echo(name: str) -> None:
    data = HOSTILE[name].replace(b"XMLNS", NAMESPACE)
    start = time.process_time()
    with pytest.raises((InvalidInput, TooCostly)) as caught:
        from_xml(data)
    assert time.process_time() - start < 1.0
    assert "passwd" not in caught.value.message
    assert "root:" not in caught.value.message


def test_too_large() -> None:
    with pytest.raises(TooCostly):
        from_xml(b" " * 101, max_bytes=100)


def test_long_text_node_is_refused_or_read() -> None:
    """Row 32: a 15 MB value either passes whole or is refused in words."""
    xml = b'<Patient XMLNS><id value="' + b"a" * 15_000_000 + b'"/></Patient>'
    with contextlib.suppress(InvalidInput, TooCostly):
        assert len(from_xml(xml.replace(b"XMLNS", NAMESPACE))["id"]) == 15_000_000


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "nope": 1},
        {"resourceType": "Nothing"},
        {"resourceType": 3},
        {"resourceType": "Patient", "name": {"family": "x"}},
        {"resourceType": "Patient", "active": "true"},
        {"resourceType": "Patient", "multipleBirthInteger": True},
        {"resourceType": "Patient", "id": "a\x00"},
        {"resourceType": "Patient", "maritalStatus": "M"},
        {"resourceType": "Patient", "text": {"status": "generated", "div": "<div><p></div>"}},
        {
            "resourceType": "Patient",
            "text": {"status": "generated", "div": '<!DOCTYPE x [<!ENTITY e "y">]><div>&e;</div>'},
        },
    ],
)
def test_json_that_cannot_be_written(resource: Json) -> None:
    with pytest.raises(InvalidInput):
        to_xml(resource)
