"""A small synthetic C-CDA document for tests."""

from __future__ import annotations

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="CDA.xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<templateId root="2.16.840.1.113883.10.20.22.1.2"/><id root="1.2.3.4" extension="D1"/>
<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Summary</title>
<effectiveTime value="20260301120000+0000"/>
<recordTarget><patientRole><id root="1.2.3" extension="77"/><addr use="HP"><city>Town</city></addr>
<patient><name use="L"><given>JANE</given><family>DOE</family></name><administrativeGenderCode code="F"/>
<birthTime value="19600504"/></patient></patientRole></recordTarget>
<custodian><assignedCustodian><representedCustodianOrganization><name>Clinic</name></representedCustodianOrganization>
</assignedCustodian></custodian><component><structuredBody>"""
_TAIL = "</structuredBody></component></ClinicalDocument>"
_EMPTY = (
    '<component><section><code code="11450-4" codeSystem="2.16.840.1.113883.6.1"/><text>none</text></section>'
    "</component>"
)


def document(encoding: str = "utf-8", *sections: str) -> bytes:
    return (_HEAD + ("".join(sections) or _EMPTY) + _TAIL).encode(encoding)


def section(code: str, *entries: str, text: str = "") -> str:
    rows = "".join(f"<entry>{e}</entry>" for e in entries)
    head = f'<code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><title>t</title><text>{text}</text>'
    return f"<component><section>{head}{rows}</section></component>"
