"""Coverage-guided fuzzing of the readers: python tests/fuzz/fuzz_readers.py READER [libFuzzer options]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import atheris

with atheris.instrument_imports(include=["fhir_twin.intake", "fhir_twin.fhir"]):
    from fhir_twin.errors import TwinError
    from fhir_twin.fhir.open_input import bundles_in
    from fhir_twin.fhir.read import read_chart
    from fhir_twin.fhir.xml import from_xml
    from fhir_twin.intake.ccda import read_ccda
    from fhir_twin.intake.hl7v2 import parse_message, split_batch
    from fhir_twin.intake.hl7v2_map import map_message
    from fhir_twin.intake.mllp import Frames
    from fhir_twin.intake.reception import Reception
    from fhir_twin.intake.site import Site

SITE = Site(accept=frozenset("PTD"))
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
RECEPTION = Reception(lambda _: False, SITE, lambda: AS_OF)
HEAD = b"MSH|^~\\&|A|B|C|D|20260301||%s|1|P|2.5\rPID|1||1^^^H^MR||A^B||1960|F\r"
KINDS = (
    b"ORU^R01",
    b"ADT^A01",
    b"ADT^A40",
    b"VXU^V04",
    b"RDE^O11",
    b"RAS^O17",
    b"RDS^O13",
    b"ORM^O01",
    b"MDM^T02",
)
CDA = (
    b'<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><recordTarget>'
    b'<patientRole><id root="1.2" extension="1"/></patientRole></recordTarget><component><structuredBody><component>'
    b'<section><code code="%s"/><entry>%s</entry></section></component></structuredBody></component></ClinicalDocument>'
)
SECTIONS = (b"11450-4", b"48765-2", b"10160-0", b"30954-2", b"29762-2", b"10157-6", b"47519-4", b"11369-6")


def hl7v2(data: bytes) -> None:
    """The message as it comes, and as the rest of one with a head."""
    for message in (*split_batch(data), HEAD % KINDS[(data[0] if data else 0) % len(KINDS)] + data[1:]):
        try:
            for update in map_message(parse_message(message), SITE).updates:
                read_chart(update.bundle(), AS_OF)
        except TwinError:
            continue
        finally:
            RECEPTION.hl7v2(message)


def mllp(data: bytes) -> None:
    """However a stream is cut, the same frames come out."""
    cut = data[0] if data else 0
    whole, parts = Frames(10_000), Frames(10_000)
    first = whole.feed(data)
    second = parts.feed(data[:cut]) + parts.feed(data[cut:])
    assert first == second


def ccda(data: bytes) -> None:
    for document in (data, CDA % (SECTIONS[(data[0] if data else 0) % len(SECTIONS)], data[1:])):
        try:
            for update in read_ccda(document, SITE).updates:
                read_chart(update.bundle(), AS_OF)
        except TwinError:
            continue


def fhir_json(data: bytes) -> None:
    try:
        for each in bundles_in(data).patients:
            read_chart(each.bundle, AS_OF, patient=each.patient)
    except TwinError:
        return


def fhir_xml(data: bytes) -> None:
    try:
        from_xml(data)
    except TwinError:
        return


READERS: dict[str, Callable[[bytes], None]] = {
    f.__name__: f for f in (hl7v2, mllp, ccda, fhir_json, fhir_xml)
}

if __name__ == "__main__":
    reader = READERS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, reader)
    atheris.Fuzz()
