"""The front door of feeds: a message in, the acknowledgement out, and between the two it is on disk (V2-3, H2, H3).

    bytes -> tokenizer -> type, version, processing id -> maps (tried) -> durable store -> AA or CA

What cannot be read is refused at once with the reason, so that the sender can tell somebody; AA means kept. Nothing
that goes back quotes the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from fhir_twin import log
from fhir_twin.errors import Busy, Conflict, InvalidInput, Issue, TooCostly, TwinError
from fhir_twin.intake.ccda import read_ccda
from fhir_twin.intake.hl7v2 import MAX_BYTES, Message, parse_message
from fhir_twin.intake.hl7v2_ack import Verdict, acknowledge
from fhir_twin.intake.hl7v2_map import V2Refusal, map_message
from fhir_twin.intake.site import Site


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """What is to be kept. lane: the patient whose order it keeps; key: what the sender knows it by."""

    kind: str
    lane: str
    key: str
    body: bytes
    meta: dict[str, str] = field(default_factory=dict)


# Durable when it returns; whether it was there before. Raises Busy, Conflict, TwinError.
Keep = Callable[[Letter], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """verdict and the acknowledgements to send, in order."""

    verdict: Verdict
    replies: tuple[bytes, ...]


class Reception:
    """Thread-safe when `keep` is. clock: the time that goes into acknowledgements."""

    def __init__(
        self, keep: Keep, site: Site, clock: Callable[[], datetime], *, max_bytes: int = MAX_BYTES
    ) -> None:
        self._keep = keep
        self._site = site
        self._clock = clock
        self.max_bytes = max_bytes

    def hl7v2(self, data: bytes) -> Answer:
        """Never raises for what a sender can do."""
        try:
            message = parse_message(data, max_bytes=self.max_bytes)
        except (InvalidInput, TooCostly) as error:
            log.event("intake.unreadable", bytes=len(data))
            code = "104" if isinstance(error, TooCostly) else "100"
            return self._answer(None, Verdict("R", code, error.message))
        return self._answer(message, self._take(message, data))

    def ccda(self, data: bytes) -> tuple[bool, tuple[Issue, ...]]:
        """(kept before?, what was found in it). Raises InvalidInput, TooCostly, Busy, StoreError."""
        said = read_ccda(data, self._site)
        persons = sorted({u.person.key for u in said.updates})
        again = self._keep(Letter("ccda", lane_of(persons), "", data, {"event": said.type}))
        log.event("intake.kept", type="ccda", duplicate=again, bytes=len(data))
        return again, said.issues

    def too_large(self) -> Answer:
        """For a frame that the listener gave up."""
        return self._answer(None, Verdict("R", "104", "the message is larger than this service takes"))

    def _take(self, message: Message, data: bytes) -> Verdict:
        try:
            said = map_message(message, self._site)
            msh = message.msh
            sender = "|".join((msh.raw(3), msh.raw(4)))
            persons = sorted({u.person.key for u in said.updates})
            key = hashlib.sha256(
                "\x1f".join((sender, message.control_id)).encode("utf-8", "replace")
            ).hexdigest()
            letter = Letter("hl7v2", lane_of(persons), key, data, {"event": said.type})
            again = self._keep(letter)
        except V2Refusal as error:
            return Verdict("R" if error.reject else "E", error.error, error.message, error.location)
        except Conflict as error:
            return Verdict("E", "205", error.message, "MSH^1^10")
        except Busy as error:  # not taken: the sender is to try again (AR: temporarily unable)
            return Verdict("R", "207", error.message)
        except InvalidInput as error:
            return Verdict("E", "102", error.message)
        except TwinError as error:
            log.failure("intake.refused", error)
            return Verdict("R", "207", "the message could not be kept; try again")
        except Exception as error:  # noqa: BLE001 - an error of ours must not look like an accepted message
            log.failure("intake.bug", error)
            return Verdict("E", "207", "an error of ours; the message was not kept")
        log.event("intake.kept", type="hl7v2", duplicate=again, bytes=len(data))
        return Verdict("A")

    def _answer(self, message: Message | None, verdict: Verdict) -> Answer:
        return Answer(verdict, tuple(acknowledge(message, verdict, self._clock())))


def lane_of(persons: list[str]) -> str:
    """One patient's messages keep their order; the key itself is not stored. Messages about several have none: what
    they say is ordered by its own times."""
    if len(persons) != 1:
        return ""
    return "feed/" + hashlib.sha256(persons[0].encode("utf-8", "replace")).hexdigest()[:40]
