"""Small synthetic v2 messages for the intake tests."""

from __future__ import annotations

from typing import Any

from fhir_twin.intake.hl7v2 import parse_message
from fhir_twin.intake.hl7v2_map import Mapped, map_message
from fhir_twin.intake.site import Site

PID = "PID|1||123^^^HOSP^MR||DOE^JANE^^^^^L||19600504|F"


def message(
    *lines: str, kind: str = "ORU^R01", number: str = "M1", head: str = "", sent: str = "20260301120000"
) -> bytes:
    header = head or f"MSH|^~\\&|LAB|HOSP|TWIN|HERE|{sent}||{kind}|{number}|P|2.5.1"
    return ("\r".join((header, *lines)) + "\r").encode("utf-8")


def mapped(*lines: str, **more: Any) -> Mapped:
    return map_message(parse_message(message(*lines, **more)), Site())


def made(result: Mapped, kind: str) -> list[dict[str, Any]]:
    return [r for u in result.updates for r in u.resources if r["resourceType"] == kind]


def value_of(kind: str, value: str, unit: str = "mg/dL", **more: str) -> dict[str, Any]:
    """The Observation of one OBX."""
    row = f"OBX|1|{kind}|2345-7^Glucose^LN||{value}|{unit}|||||{more.get('status', 'F')}|||20260301"
    [found] = made(mapped(PID, "OBR|1||F1|2345-7^Glucose^LN", row), "Observation")
    return found
