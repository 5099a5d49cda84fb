"""HL7 v2 data types -> FHIR R4 elements (IG: data type maps). One `Scribe` per message collects the issues."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fhir_twin.errors import Severity
from fhir_twin.fhir.systems import HOME
from fhir_twin.intake.findings import Findings
from fhir_twin.intake.hl7v2 import Message, Rep, Segment
from fhir_twin.intake.moments import fhir_moment
from fhir_twin.intake.site import Site
from fhir_twin.model.check_digits import loinc_digit
from fhir_twin.model.codes import LOINC, UCUM

Json = dict[str, Any]
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def kept(**elements: Any) -> Json:
    """The elements that hold something (False and 0 do), without the empty members of lists."""
    found = {}
    for name, value in elements.items():
        if isinstance(value, list):
            value = [each for each in value if each not in _EMPTY]
        if value not in _EMPTY:
            found[name.rstrip("_")] = value
    return found


def as_code(text: str) -> str:
    """A FHIR code: no blanks at its ends, single ones inside."""
    return " ".join(text.split())


def _identifier_type(kind: str) -> Json:
    """A code of table 0203, or the sender's own word."""
    if re.fullmatch(r"[A-Z]{1,6}\d?", kind):
        return {"coding": [{"system": IDENTIFIER_TYPES, "code": kind}]}
    return {"text": kind} if kind else {}


@dataclass(slots=True, repr=False)
class Scribe:
    """What mapping one message needs, and what it found wrong."""

    message: Message
    site: Site
    findings: Findings = field(default_factory=Findings)

    def note(
        self, severity: Severity, code: str, text: str, segment: Segment | None = None, at: str = ""
    ) -> None:
        where = f"{segment.name}[{segment.index}]{at and '-' + at}" if segment else at
        self.findings.add(severity, code, text, where)

    @property
    def sender(self) -> str:
        """Sending facility, else application: the authority of ids that name none."""
        msh = self.message.msh
        for n in (4, 3):
            if system := self.authority(msh.first(n), 1, 2, 3):
                return system
        return f"{HOME}/authority/unknown-sender"

    # --- times ---------------------------------------------------------------------------------------

    def local(self, kind: str) -> str:
        """The system of codes or numbers that only this sender knows."""
        return f"{HOME}/{kind}/{quote(self.sender.removeprefix(f'{HOME}/authority/'), safe='')}"

    def moment(self, text: str, segment: Segment, at: str) -> str:
        """FHIR date or dateTime, "" (and an issue) for what is none."""
        if not text:
            return ""
        found = fhir_moment(text, self.site.zone)
        if not found:
            self.note("warning", "value", "not a timestamp; it was left out", segment, at)
        return found

    def day(self, text: str, segment: Segment, at: str) -> str:
        return self.moment(text, segment, at)[:10]

    # --- identifiers ---------------------------------------------------------------------------------

    def authority(self, rep: Rep, namespace: int, universal: int, kind: int) -> str:
        return self.site.authority(rep.c(namespace), rep.c(universal), rep.c(kind))

    def assigner(self, rep: Rep, n: int) -> str:
        """System of component n, an HD given by subcomponents."""
        return self.site.authority(rep.s(n, 1), rep.s(n, 2), rep.s(n, 3))

    def identifier(self, rep: Rep) -> Json:
        """CX -> Identifier; without an authority the sender's."""
        value = rep.c(1)
        if not value:
            return {}
        kind = as_code(rep.c(5))
        return kept(
            type_=_identifier_type(kind),
            system=self.assigner(rep, 4) or self.assigner(rep, 6) or self.sender,
            value=value,
        )

    def entity(self, rep: Rep) -> Json:
        """EI -> Identifier; without an authority the sender's."""
        value = rep.c(1)
        if not value:
            return {}
        system = self.authority(rep, 2, 3, 4) or self.sender
        return {"system": system, "value": value}

    # --- codes ---------------------------------------------------------------------------------------

    def concept(self, rep: Rep, *, guess: str = "") -> Json:
        """CWE, CE, CNE, CF, IS -> CodeableConcept: both triplets, original text. guess: system when none is named."""
        codings = [c for first in (1, 4, 10) if (c := self._coding(rep, first, guess if first == 1 else ""))]
        shown = [rep.whole(9), rep.whole(2), rep.whole(5)]
        text = next((t for t in shown if t), "")
        return kept(coding=codings, text=text or ("" if codings else rep.c(1)))

    def _coding(self, rep: Rep, first: int, guess: str) -> Json:
        code, display, name = as_code(rep.c(first)), rep.whole(first + 1), rep.c(first + 2)
        if not code:
            return {}
        oid = rep.c({1: 14, 4: 17, 10: 20}[first])
        system = self.site.tables.system(oid) if oid else ""
        system = system or self.site.tables.system(name) or ("" if name else guess)
        if not system and not name and loinc_digit(code) and code[:-2].isdigit():
            system = LOINC  # no system named, but the form and the check digit of LOINC
        if not system and name:
            system = f"{HOME}/hl7v2/{quote(name, safe='')}"
        return kept(system=system or self.local("codes"), code=code, display=display)

    def codes_of(self, concept: Json, system: str) -> list[str]:
        return [c["code"] for c in concept.get("coding", ()) if c.get("system") == system]

    # --- people --------------------------------------------------------------------------------------

    def name(self, rep: Rep) -> Json:
        """XPN -> HumanName."""
        given = [g for g in (rep.c(2), *rep.c(3).split()) if g]
        use = self.site.tables.get("name-use", rep.c(7))
        return kept(
            use=use, family=rep.c(1), given=given, prefix=[p for p in (rep.c(5),) if p],
            suffix=[s for s in (rep.c(4), rep.c(6)) if s],
        )  # fmt: skip

    def address(self, rep: Rep) -> Json:
        """XAD -> Address."""
        street = rep.c(1) or " ".join(x for x in (rep.s(1, 3), rep.s(1, 2)) if x)
        return kept(
            use=self.site.tables.get("address-use", rep.c(7)),
            line=[x for x in (street, rep.c(2)) if x],
            city=rep.c(3), district=rep.c(9), state=rep.c(4), postalCode=rep.c(5), country=rep.c(6),
        )  # fmt: skip

    def telecom(self, rep: Rep) -> Json:
        """XTN -> ContactPoint: number as written, or from its parts; e-mail in component 4."""
        use = self.site.tables.get("telecom-use", rep.c(2))
        system = self.site.tables.get("telecom-system", rep.c(3))
        mail = rep.c(4) if "@" in rep.c(4) else rep.c(1) if "@" in rep.c(1) else ""
        if mail:
            return kept(system="email", value=mail, use=use)
        parts = [rep.c(n) for n in (5, 6, 7)]
        number = rep.c(1) or rep.c(12) or " ".join(p for p in parts if p)
        if number and rep.c(8) and not rep.c(1):
            number += f" ext {rep.c(8)}"
        use = "mobile" if rep.c(3) == "CP" and use in ("", "home") else use
        return kept(system=system or "phone", value=number, use=use) if number else {}

    def person(self, rep: Rep) -> Json:
        """XCN or CNN -> a Reference by identifier and display: who it was, without claiming a resource."""
        words = " ".join(x for x in (rep.c(6), rep.c(3), rep.c(4), rep.c(2), rep.c(5)) if x)
        value = rep.c(1)
        system = self.assigner(rep, 9) or self.sender
        return kept(identifier={"system": system, "value": value} if value else None, display=words)

    # --- amounts -------------------------------------------------------------------------------------

    def unit(self, rep: Rep) -> Json:
        """Unit elements of a Quantity. UCUM only when the sender says so; else the unit as written."""
        code, words, name = rep.whole(1), rep.whole(2), rep.c(3).upper()
        if self.site.tables.system(rep.c(3)) == UCUM and code:
            return {"unit": words or code, "system": UCUM, "code": as_code(code)}
        if self.site.tables.system(rep.c(6)) == UCUM and rep.c(4):
            return {"unit": words or code or rep.c(4), "system": UCUM, "code": as_code(rep.c(4))}
        local = name in ("L", "LOCAL") or code.isdigit()  # a number is the row of somebody's table, no unit
        return kept(unit=(words if local and words else code) or words)
