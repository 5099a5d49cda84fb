"""Acknowledgements: original mode (AA AE AR) and enhanced mode (CA CE CR, then AA AE AR) (V2-3).

MSH-15 and MSH-16 choose enhanced mode: each says when the sender wants that kind of answer (AL always, NE never, ER on
error or reject, SU on success). Where both are empty there is one answer, always.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from fhir_twin.intake.hl7v2 import Delimiters, Message

_TEXT = {
    "100": "Segment sequence error", "101": "Required field missing", "102": "Data type error",
    "103": "Table value not found", "104": "Value too long", "200": "Unsupported message type",
    "201": "Unsupported event code", "202": "Unsupported processing id", "203": "Unsupported version id",
    "204": "Unknown key identifier", "205": "Duplicate key identifier", "206": "Application record locked",
    "207": "Application internal error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message. code: A(ccepted), E(rror) or R(ejected). error, text, location: of the ERR segment;
    text holds no patient data."""

    code: str = "A"
    error: str = ""
    text: str = ""
    location: str = ""


def acknowledge(message: Message | None, verdict: Verdict, now: datetime) -> list[bytes]:
    """The answers to send, in order, CR-terminated; [] where the sender wants none. message: None when not even
    MSH could be read: the answer then says what is known, which is nothing."""
    if message is not None and message.code == "ACK":
        return []  # an acknowledgement is never acknowledged
    if message is None:
        return [_ack(None, f"A{verdict.code}", verdict, now)]
    accept, application = message.msh.v(15).upper(), message.msh.v(16).upper()
    if not accept and not application:
        return [_ack(message, f"A{verdict.code}", verdict, now)]
    answers = []
    if _wanted(accept, verdict.code):
        answers.append(_ack(message, f"C{verdict.code}", verdict, now))
    if _wanted(application, verdict.code):
        answers.append(_ack(message, f"A{verdict.code}", verdict, now))
    return answers


def _wanted(condition: str, code: str) -> bool:
    return {"AL": True, "ER": code != "A", "SU": code == "A"}.get(condition, False)


def _ack(message: Message | None, code: str, verdict: Verdict, now: datetime) -> bytes:
    d = message.reader.delimiters if message is not None else Delimiters()
    f, c = d.field, d.component or "^"
    signs = (d.component + d.repetition + d.escape + d.subcomponent + d.truncation) or "^~\\&"
    raw = [message.msh.raw(n) for n in range(22)] if message is not None else [""] * 22
    event = message.event if message is not None else ""
    kind = c.join(("ACK", event, "ACK")) if event else "ACK"
    number = secrets.token_hex(10)
    header = [
        "MSH", signs, raw[5], raw[6], raw[3], raw[4], now.strftime("%Y%m%d%H%M%S%z"), "", kind, number,
        raw[11] or "P", raw[12] or "2.5.1", "", "", "", "", "", raw[18],
    ]  # fmt: skip
    lines = [f.join(header).rstrip(f), f.join(("MSA", code, raw[10]))]
    if verdict.code != "A":
        location = verdict.location.replace("^", c)
        condition = c.join((verdict.error, _TEXT.get(verdict.error, "Error"), "HL70357"))
        lines.append(f.join(("ERR", "", location, condition, "E", "", "", "", _escaped(verdict.text, d))))
    text = "\r".join(lines) + "\r"
    codec = message.reader.codec if message is not None else "utf-8"
    return text.encode(codec if codec != "utf-8-sig" else "utf-8", "replace")


def _escaped(text: str, d: Delimiters) -> str:
    """Our own words between the sender's delimiters."""
    if not d.escape:
        return "".join(
            " " if sign in (d.field, d.component, d.repetition, d.subcomponent) else sign for sign in text
        )
    pairs = ((d.escape, "E"), (d.field, "F"), (d.component, "S"), (d.repetition, "R"), (d.subcomponent, "T"))
    known = {sign: f"{d.escape}{letter}{d.escape}" for sign, letter in pairs if sign}
    return "".join(known.get(sign, sign) for sign in text)
