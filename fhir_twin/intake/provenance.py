"""Where the resources of a message came from (V2-10): one Provenance for each patient of a message."""

from __future__ import annotations

from fhir_twin.fhir.systems import HOME
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.site import made_id

_AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
EPOCH = "1970-01-01T00:00:00Z"  # recorded is required; a message without MSH-7 says no time


def provenance(scribe: Scribe, person: str, resources: list[Json]) -> Json:
    """The sender composed it, we assembled it; the message is the source entity, known by MSH-10."""
    msh = scribe.message.msh
    sent = scribe.moment(msh.v(7), msh, "7")
    recorded = sent if len(sent) > 10 else f"{sent}T00:00:00Z" if len(sent) == 10 else EPOCH
    number = scribe.message.control_id
    targets = [f"Patient/{person}", *(f"{r['resourceType']}/{r['id']}" for r in resources)]
    sender = ", ".join(words for words in (msh.v(3), msh.v(4)) if words) or "unknown sender"
    return kept(
        resourceType="Provenance",
        id=made_id("Provenance", scribe.sender, number, person, sent),
        target=[{"reference": each} for each in targets],
        recorded=recorded,
        activity={"text": f"{scribe.message.code}^{scribe.message.event} HL7 v2 message, made FHIR"},
        agent=[
            agent("author", sender, sender),
            agent("assembler", "fhir-twin intake", sender),
        ],
        entity=[
            {
                "role": "source",
                "what": {
                    "identifier": {"system": f"{HOME}/hl7v2/control-id", "value": number},
                    "display": "HL7 v2 message",
                },
            }
        ],
    )


def agent(code: str, who: str, behalf: str) -> Json:
    """Who had a part in it; software acts on behalf of the organisation that sent the data (E3)."""
    return {
        "type": {"coding": [{"system": _AGENT, "code": code}]},
        "who": {"display": who},
        "onBehalfOf": {"display": behalf},
    }
