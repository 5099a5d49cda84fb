"""CDA data types -> FHIR R4 elements (CD-4 to CD-6). One `Clerk` per document collects the issues."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fhir_twin.errors import Severity
from fhir_twin.fhir.systems import DATA_ABSENT_REASON_CODES
from fhir_twin.intake.ccda_xml import XSI_TYPE, Node, attribute, each, find, words
from fhir_twin.intake.findings import Findings
from fhir_twin.intake.hl7v2_types import Json, as_code, kept
from fhir_twin.intake.moments import fhir_moment
from fhir_twin.intake.numbers import quantity, read_number
from fhir_twin.intake.site import Site, made_id
from fhir_twin.model.codes import UCUM

_OID = re.compile(r"[0-2](\.(0|[1-9]\d{0,30})){1,40}\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
# nullFlavor -> data-absent-reason (C-CDA on FHIR).
ABSENT = {
    "UNK": "unknown",
    "NASK": "not-asked",
    "ASKU": "asked-unknown",
    "NAV": "temp-unknown",
    "NA": "not-applicable",
    "MSK": "masked",
    "NINF": "negative-infinity",
    "PINF": "positive-infinity",
    "OTH": "unsupported",
}


def absent(node: Node | None) -> Json:
    """dataAbsentReason of a nullFlavor."""
    code = ABSENT.get(attribute(node, "nullFlavor"), "unknown")
    return {"coding": [{"system": DATA_ABSENT_REASON_CODES, "code": code}]}


@dataclass(slots=True, repr=False)
class Clerk:
    """What reading one document needs. person: id of the Patient; key: who that is."""

    site: Site
    narrative: dict[str, str]
    key: str = ""
    person: str = ""
    findings: Findings = field(default_factory=Findings)
    _ids: dict[str, int] = field(default_factory=dict)

    def note(self, severity: Severity, code: str, text: str, where: str = "") -> None:
        self.findings.add(severity, code, text, where)

    # --- identity ------------------------------------------------------------------------------------

    def system(self, root: str) -> str:
        if root in self.site.authorities:
            return self.site.authorities[root]
        if _OID.match(root):
            return self.site.tables.oids.get(root, f"urn:oid:{root}")
        return f"urn:uuid:{root.lower()}" if _UUID.match(root) else ""

    def identifier(self, node: Node) -> Json:
        """II -> Identifier; {} for a null or malformed one."""
        root, extension = attribute(node, "root"), attribute(node, "extension")
        system = self.system(root)
        if attribute(node, "nullFlavor") or not system:
            return {}
        if extension:
            return {"system": system, "value": extension}
        value = f"urn:oid:{root}" if _OID.match(root) else system
        return {"system": "urn:ietf:rfc:3986", "value": value}

    def identifiers(self, node: Node) -> list[Json]:
        return [i for n in each(node, "id") if (i := self.identifier(n))]

    def resource_id(self, kind: str, node: Node, *otherwise: str) -> str:
        """From the entry's first id with its code and time: vendors use one id for several entries."""
        given = self.identifiers(node)
        first = (given[0]["system"], given[0]["value"]) if given else (self.key,)
        made = made_id(kind, *first, *otherwise)
        times = self._ids.get(made, 0)
        self._ids[made] = times + 1
        return made_id(kind, made, str(times)) if times else made

    @property
    def subject(self) -> Json:
        return {"reference": f"Patient/{self.person}"}

    # --- codes and texts -----------------------------------------------------------------------------

    def text(self, node: Node | None) -> str:
        """Text of an ED or ST: what its reference points to in the narrative, else its own words."""
        if node is None:
            return ""
        reference = find(node, "reference")
        pointed = attribute(reference, "value")
        if pointed.startswith("#") and (found := self.narrative.get(pointed[1:])):
            return found
        return words(node)

    def concept(self, node: Node | None) -> Json:
        """CD, CE, CO ... -> CodeableConcept: code, translations, original text."""
        if node is None:
            return {}
        codings = [c for n in (node, *each(node, "translation")) if (c := self._coding(n))]
        text = self.text(find(node, "originalText"))
        shown = text or next((c["display"] for c in codings if "display" in c), "")
        return kept(coding=codings, text=shown or attribute(node, "displayName"))

    def _coding(self, node: Node) -> Json:
        code = as_code(attribute(node, "code"))
        if not code or attribute(node, "nullFlavor"):
            return {}
        return kept(
            system=self.system(attribute(node, "codeSystem")),
            code=code,
            display=attribute(node, "displayName"),
        )

    def table(self, name: str, node: Node | None) -> str:
        """A code's meaning by a table of mappings/ccda, its translations included."""
        for n in (node, *each(node, "translation")) if node is not None else ():
            if found := self.site.tables.get(f"cda-{name}", attribute(n, "code")):
                return found
        return ""

    # --- times ---------------------------------------------------------------------------------------

    def moment(self, node: Node | None) -> str:
        """TS -> date or dateTime."""
        text = attribute(node, "value")
        found = fhir_moment(text, self.site.zone) if text else ""
        if text and not found:
            self.note("warning", "value", "a time that is no timestamp was left out")
        return found

    def span(self, node: Node | None) -> tuple[str, str, bool]:
        """(start, end, is an end said, even if unknown) of an IVL_TS; a point in time is its start."""
        if node is None:
            return "", "", False
        low, high = find(node, "low"), find(node, "high")
        start = self.moment(low) or self.moment(node) or self.moment(find(node, "center"))
        ended = high is not None and attribute(high, "nullFlavor") not in ("NI", "NA", "PINF")
        return start, self.moment(high), ended

    # --- values --------------------------------------------------------------------------------------

    def amount(self, node: Node | None, *, ucum: bool = True) -> Json:
        """PQ -> Quantity; {} without a number. ucum: false where senders write "tablets" for a unit."""
        found = read_number(attribute(node, "value")) if node is not None else None
        if found is None:
            return {}
        unit = attribute(node, "unit")
        if unit in ("", "1"):
            return quantity(found[0], found[1], "")
        proper = re.fullmatch(r"[!-~]{1,60}", unit) is not None  # UCUM is printable ASCII without blanks
        return quantity(found[0], found[1], unit, unit, UCUM if proper and ucum else "")

    def value(self, node: Node) -> Json:
        """{"valueQuantity": ...} and the like by xsi:type (CD-5); {"dataAbsentReason"} for a null."""
        kind = attribute(node, XSI_TYPE).rpartition(":")[2]
        reader = {
            "PQ": self._pq, "MO": self._pq, "IVL_PQ": self._ivl_pq, "INT": self._int, "REAL": self._real,
            "BL": self._bool, "TS": self._ts, "IVL_TS": self._ivl_ts, "RTO": self._ratio, "RTO_PQ_PQ": self._ratio,
            **dict.fromkeys(("CD", "CE", "CO", "CV", "CS"), self._code),
        }.get(kind, self._words)  # fmt: skip
        made = reader(node)
        return made or {"dataAbsentReason": absent(node)}

    def _pq(self, node: Node) -> Json:
        made = self.amount(node)
        if not made and (text := self.text(find(node, "originalText")) or words(node)):
            return {"valueString": text}
        return {"valueQuantity": made} if made else {}

    def _ivl_pq(self, node: Node) -> Json:
        low, high = find(node, "low"), find(node, "high")
        a, b = self.amount(low), self.amount(high)
        if a and b:
            return {"valueRange": {"low": a, "high": b}} if a["value"] <= b["value"] else {}
        if a:
            return {
                "valueQuantity": {**a, "comparator": ">" if attribute(low, "inclusive") == "false" else ">="}
            }
        if b:
            return {
                "valueQuantity": {**b, "comparator": "<" if attribute(high, "inclusive") == "false" else "<="}
            }
        return self._pq(node)

    def _code(self, node: Node) -> Json:
        made = self.concept(node)
        return {"valueCodeableConcept": made} if made else {}

    def _int(self, node: Node) -> Json:
        text = attribute(node, "value")
        return {"valueInteger": int(text)} if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else {}

    def _real(self, node: Node) -> Json:
        found = read_number(attribute(node, "value"))
        return {"valueQuantity": quantity(*found, "")} if found else {}

    def _bool(self, node: Node) -> Json:
        text = attribute(node, "value").lower()
        return {"valueBoolean": text == "true"} if text in ("true", "false") else {}

    def _ts(self, node: Node) -> Json:
        made = self.moment(node)
        return {"valueDateTime": made} if made else {}

    def _ivl_ts(self, node: Node) -> Json:
        start, end, _ = self.span(node)
        return {"valuePeriod": kept(start=start, end=end)} if start or end else {}

    def _ratio(self, node: Node) -> Json:
        a, b = self.amount(find(node, "numerator")), self.amount(find(node, "denominator"))
        return {"valueRatio": {"numerator": a, "denominator": b}} if a and b else {}

    def _words(self, node: Node) -> Json:
        text = self.text(node) or attribute(node, "value")
        found = read_number(text)
        if found is not None:
            return {"valueQuantity": quantity(*found, "")}
        return {"valueString": text} if text else {}

    # --- people --------------------------------------------------------------------------------------

    def author_time(self, node: Node) -> str:
        return self.moment(find(node, "author", "time"))

    def somebody(self, node: Node | None) -> Json:
        """assignedEntity, assignedAuthor -> a Reference by identifier and display."""
        if node is None:
            return {}
        name = find(node, "assignedPerson", "name")
        organization = find(node, "representedOrganization", "name")
        given = self.identifiers(node)
        return kept(identifier=given[0] if given else None, display=words(name) or words(organization))

    def name(self, node: Node) -> Json:
        use = {"L": "official", "C": "usual", "P": "nickname", "A": "nickname", "BR": "maiden", "M": "maiden"}
        return kept(
            use=use.get(attribute(node, "use").split(" ")[0], ""),
            family=" ".join(w for n in each(node, "family") if (w := words(n))),
            given=[w for n in each(node, "given") if (w := words(n))],
            prefix=[w for n in each(node, "prefix") if (w := words(n))],
            suffix=[w for n in each(node, "suffix") if (w := words(n))],
            text="" if len(node) else words(node),
        )

    def address(self, node: Node) -> Json:
        if attribute(node, "nullFlavor"):
            return {}
        use = {"H": "home", "HP": "home", "HV": "home", "WP": "work", "TMP": "temp", "BAD": "old"}
        made = kept(
            line=[w for n in each(node, "streetAddressLine") if (w := words(n))],
            city=words(find(node, "city")), state=words(find(node, "state")), district=words(find(node, "county")),
            postalCode=words(find(node, "postalCode")), country=words(find(node, "country")),
        )  # fmt: skip
        return kept(use=use.get(attribute(node, "use").split(" ")[0], ""), **made) if made else {}

    def telecom(self, node: Node) -> Json:
        text = attribute(node, "value")
        if not text or attribute(node, "nullFlavor"):
            return {}
        scheme, colon, rest = text.partition(":")
        system = {"tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url"}.get(
            scheme.lower(), ""
        )
        value = rest.strip() if colon and system in ("phone", "fax", "email") else text
        uses = {"HP": "home", "H": "home", "HV": "home", "WP": "work", "MC": "mobile", "TMP": "temp"}
        return kept(
            system=system or "phone", value=value, use=uses.get(attribute(node, "use").split(" ")[0], "")
        )


def is_negated(node: Node) -> bool:
    """negationInd of the entry itself."""
    return attribute(node, "negationInd").lower() in ("true", "1")


def related(node: Node, template: str) -> list[Node]:
    """Entries of an entryRelationship that carry a template."""
    found: list[Any] = []
    for relation in each(node, "entryRelationship"):
        found += [
            child
            for child in relation
            if f"{template}" in {attribute(t, "root") for t in each(child, "templateId")}
        ]
    return found
