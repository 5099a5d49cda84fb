"""Hand-made plans for the tests of writing, and a small FHIR server in memory. Synthetic patients only."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fhir_twin.errors import Conflict, Forbidden, InvalidInput, NotSupported, UpstreamTimeout
from fhir_twin.model.codes import LOINC, RXNORM, SNOMED, Coding, Concept
from fhir_twin.model.plan import Citation, Finding, Plan, ProposedGoal, Reason, Recommendation
from fhir_twin.model.scenario import EventRisk, Question, Rejection, RiskChange, Scenario
from fhir_twin.model.twin import Estimate

Json = dict[str, Any]
BASE = "http://fhir.example/fhir"
AS_OF = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CITATION = Citation(
    "sprint", "Intensive control lowered events", doi="10.1056/NEJMoa1511939", value="HR 0.75"
)
LDL_CHANGE = RiskChange("cvd", 10.0, -0.031, -0.052, -0.012, 0.97)

STATIN = Recommendation(
    key="start-statin-high",
    kind="medication",
    title="Start atorvastatin 40 mg daily",
    code=Concept((Coding(RXNORM, "83367", "atorvastatin"),), "Atorvastatin"),
    rank=1,
    why=(Reason("LDL cholesterol is high", ("Observation/ldl-1/_history/1",)),),
    changes=(LDL_CHANGE,),
    harms=("muscle pain",),
    cautions=(Reason("Check liver enzymes first"),),
    monitoring=("lipids in 8 weeks",),
    strength="strong",
    certainty="high",
    number_needed_to_treat=32.0,
    probability_best=0.61,
    citations=(CITATION,),
    goals=("ldl",),
    addresses=("Condition/cond-1/_history/1",),
    sources=("Observation/ldl-1/_history/1", "Condition/cond-1/_history/1"),
    dose_text="40 mg once daily",
    dose_amount=Decimal("40"),
    dose_unit="mg",
    dose_per_day=1.0,
    what_would_change=("an LDL below 70 mg/dL",),
    assumptions=("taken as prescribed",),
)
ACE = replace(
    STATIN,
    key="start-ace-inhibitor",
    title="Start lisinopril",
    code=Concept((Coding(RXNORM, "29046", "lisinopril"),), "Lisinopril"),
    rank=2,
    goals=("bp",),
    dose_text="10 mg once daily",
    dose_amount=Decimal("10"),
)
CCB = replace(
    ACE,
    key="start-ccb-dhp",
    title="Start amlodipine",
    code=Concept((Coding(RXNORM, "17767", "amlodipine"),), "Amlodipine"),
    dose_text="5 mg once daily",
    dose_amount=Decimal("5"),
)
DIET = Recommendation(
    key="salt-reduction",
    kind="lifestyle",
    title="Less salt",
    code=Concept((Coding(SNOMED, "437421000124105", "Decreased sodium diet"),), "Less salt"),
    rank=3,
    why=(Reason("Blood pressure is above target", ("Observation/bp-1/_history/1",)),),
    goals=("bp",),
    sources=("Observation/bp-1/_history/1",),
    patient_text="Eat less than 5 g of salt a day.",
)
POTASSIUM = Recommendation(
    key="measure-potassium",
    kind="test",
    title="Measure potassium",
    code=Concept((Coding(LOINC, "2823-3", "Potassium [Moles/volume] in Serum or Plasma"),)),
    rank=4,
    why=(Reason("No potassium in the last year"),),
)
STOP_NSAID = Recommendation(
    key="stop-ibuprofen",
    kind="stop",
    title="Stop ibuprofen",
    code=Concept((Coding(RXNORM, "5640", "ibuprofen"),), "Ibuprofen"),
    rank=5,
    why=(Reason("It raises blood pressure", ("MedicationRequest/nsaid-1/_history/1",)),),
    sources=("MedicationRequest/nsaid-1/_history/1",),
    replaces="MedicationRequest/nsaid-1/_history/1",
    stop=True,
)
EDUCATION = Recommendation(
    key="teach-home-bp",
    kind="education",
    title="Teach home blood pressure measurement",
    code=Concept((), "Home blood pressure measurement"),
    rank=6,
    why=(Reason("Only office readings"),),
    patient_text="Measure at home, seated, twice in the morning.",
)
GOALS = (
    ProposedGoal(
        "ldl",
        "LDL cholesterol below 70 mg/dL",
        Coding(LOINC, "13457-7"),
        "<",
        Decimal("70"),
        "mg/dL",
        "mg/dL",
    ),
    ProposedGoal(
        "bp",
        "Blood pressure below 130/80",
        None,
        "",
        None,
        "",
        "",
        due=datetime(2026, 9, 1, tzinfo=UTC),
        addresses=("Condition/cond-1",),
        components=(
            (Coding(LOINC, "8480-6"), "<", Decimal("130"), "mmHg", "mm[Hg]"),
            (Coding(LOINC, "8462-4"), "<", Decimal("80"), "mmHg", "mm[Hg]"),
        ),
    ),
)
FINDING = Finding(
    "nsaid-hypertension",
    "COND",
    "high",
    "Ibuprofen with high blood pressure",
    ("MedicationRequest/nsaid-1/_history/1", "Condition/cond-1/_history/1"),
    check="Ask whether it is still taken",
    citation=CITATION,
)


def plan(patient: str = "pat-1", **changes: Any) -> Plan:
    """A plan with one of everything."""
    whole = Plan(
        subject=f"Patient/{patient}",
        as_of=AS_OF,
        patient_label="Testa Person, born 1961-02-03",
        recommendations=(STATIN, ACE, CCB, DIET, POTASSIUM, STOP_NSAID, EDUCATION),
        goals=GOALS,
        rejected=(
            Rejection(
                Scenario("start-sglt2-inhibitor", "Start an SGLT2 inhibitor"),
                "ketoacidosis",
                "contraindicated",
                "Ketoacidosis in the past",
                ("Condition/cond-1",),
                "label",
            ),
        ),
        questions=(
            Question(
                "pregnancy", "Could she be pregnant?", "ACE inhibitors harm a fetus", "", ("ace-inhibitor",)
            ),
        ),
        risks=(
            EventRisk("cvd", 10.0, 0.1234, 0.08, 0.19, "PREVENT base 10y", ("Observation/ldl-1/_history/1",)),
        ),
        findings=(FINDING,),
        estimates=(Estimate("ldl", "mg/dL", 162.4, 150.0, 175.0, "personal", 3, AS_OF),),
        addresses=("Condition/cond-1/_history/1",),
        sources=(
            "Observation/ldl-1/_history/1",
            "Condition/cond-1/_history/1",
            "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
        ),
        limits=("Not for pregnancy.",),
        knowledge_version="k-1",
        model_version="m-1",
    )
    return replace(whole, **changes)


@dataclass
class MemoryCapability:
    types: frozenset[str] | None = None
    system: frozenset[str] = frozenset({"transaction"})
    software: str = "memory"
    fixed: frozenset[str] = frozenset()

    @property
    def raw(self) -> Json:
        return {"rest": [{"resource": [{"type": t} for t in sorted(self.types or {"Patient"})]}]}

    def supports(self, type_: str, interaction: str) -> bool:
        if interaction == "update" and type_ in self.fixed:
            return False
        return self.types is None or type_ in self.types

    def supports_system(self, interaction: str) -> bool:
        return interaction in self.system

    def has_search_param(self, type_: str, name: str) -> bool:
        return True


@dataclass
class MemoryServer:
    """A FHIR server in a dict: versions, If-Match, conditional create, urn resolution, referential checks, and
    like HAPI cutting versions off references. `before` is called with (verb, type) and may raise or edit."""

    capable: MemoryCapability = field(default_factory=MemoryCapability)
    base: str = BASE
    store: dict[tuple[str, str], Json] = field(default_factory=dict)
    writes: int = 0
    before: Callable[[str, str], None] = lambda verb, type_: None
    after: Callable[[str, str], None] = lambda verb, type_: None
    strip: Callable[[Json], Json] = lambda resource: resource
    labels: frozenset[str] | None = None
    known: frozenset[str] = frozenset(
        {
            "Patient/pat-1",
            "Condition/cond-1",
            "Observation/ldl-1",
            "Observation/bp-1",
            "MedicationRequest/nsaid-1",
        }
    )

    def capability(self) -> MemoryCapability:
        return self.capable

    def read(self, type_: str, id_: str) -> Json | None:
        if f"{type_}/{id_}" in self.known:
            return {"resourceType": type_, "id": id_}
        found = self.store.get((type_, id_))
        return copy.deepcopy(found) if found else None

    def search(
        self, type_: str, params: Mapping[str, str | Sequence[str]], *, no_cache: bool = True
    ) -> list[Json]:
        assert no_cache, "HP-7: our searches must not be answered from a cache"
        self.before("search", type_)
        if "_id" in params:
            ids = str(params["_id"]).split(",")
            return [r for i in ids if (r := self.read(type_, i)) is not None]
        found = [r for (t, _), r in self.store.items() if t == type_]
        if "identifier" in params:
            system, _, value = str(params["identifier"]).partition("|")
            found = [
                r
                for r in found
                if any(i["system"] == system and value in ("", i["value"]) for i in r.get("identifier", []))
            ]
        if "patient" in params:
            found = [
                r
                for r in found
                if (r.get("subject") or r.get("patient") or {}).get("reference") == params["patient"]
            ]
        return copy.deepcopy(found)

    def invoke(self, path: str, params: Mapping[str, str]) -> Json:
        self.before("invoke", path)
        if self.labels is None:
            raise NotSupported("no operations here")
        return {
            "resourceType": "Parameters",
            "parameter": [{"name": "result", "valueBoolean": params["code"] in self.labels}],
        }

    def create(self, resource: Json, *, if_none_exist: str = "") -> Json:
        self.before("create", resource["resourceType"])
        made = self._create(resource, if_none_exist)[0]
        self.after("create", resource["resourceType"])
        return made

    def update(self, resource: Json, *, if_match: str = "") -> Json:
        self.before("update", resource["resourceType"])
        made = self._update(resource, if_match)
        self.after("update", resource["resourceType"])
        return made

    def transaction(self, bundle: Json) -> Json:
        self.before("transaction", "Bundle")
        if "transaction" not in self.capable.system:
            raise NotSupported("no transactions here")
        saved = copy.deepcopy(self.store)
        try:
            answer = self._transaction(bundle)
        except Exception:
            self.store = saved
            raise
        self.after("transaction", "Bundle")
        return answer

    def edit(self, type_: str, id_: str, **changes: Any) -> None:
        """What a person does in the EHR."""
        one = self.store[(type_, id_)]
        one.update(changes)
        one["meta"]["versionId"] = str(int(one["meta"]["versionId"]) + 1)

    def all(self, type_: str) -> list[Json]:
        return [r for (t, _), r in self.store.items() if t == type_]

    def _transaction(self, bundle: Json) -> Json:
        urns: dict[str, str] = {}
        placed: list[tuple[str, str]] = []
        for entry in bundle["entry"]:
            type_, method = entry["resource"]["resourceType"], entry["request"]["method"]
            existing = self._match(type_, entry["request"].get("ifNoneExist", ""))
            if method == "POST":
                id_ = existing or str(len(self.store) + len(placed) + 1)
                if "fullUrl" in entry:
                    urns[entry["fullUrl"]] = f"{type_}/{id_}"
            else:
                id_ = entry["request"]["url"].split("/")[1]
            placed.append((id_, "200" if existing or method == "PUT" else "201"))
        entries = []
        for entry, (id_, status) in zip(bundle["entry"], placed, strict=True):
            text = json.dumps(entry["resource"])
            for urn, reference in urns.items():
                text = text.replace(urn, reference)
            resource = json.loads(text)
            assert '"reference": "urn:uuid:' not in text, "HAPI-0541 unresolved urn"
            if entry["request"]["method"] == "PUT":
                stored = self._update(resource, entry["request"].get("ifMatch", "").strip('W/"'))
            elif status == "200":
                stored = self.store[(resource["resourceType"], id_)]
            else:
                stored = self._put(resource, id_, 1)
            where = f"{resource['resourceType']}/{stored['id']}/_history/{stored['meta']['versionId']}"
            entries.append(
                {
                    "response": {
                        "status": f"{status} OK",
                        "location": where,
                        "etag": f'W/"{stored["meta"]["versionId"]}"',
                    }
                }
            )
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}

    def _match(self, type_: str, query: str) -> str:
        if not query:
            return ""
        matches = self.search(type_, {"identifier": query.removeprefix("identifier=")})
        if len(matches) > 1:
            raise Conflict("412")
        return str(matches[0]["id"]) if matches else ""

    def _create(self, resource: Json, query: str) -> tuple[Json, bool]:
        existing = self._match(resource["resourceType"], query)
        if existing:
            return copy.deepcopy(self.store[(resource["resourceType"], existing)]), False
        return self._put(resource, str(len(self.store) + 1), 1), True

    def _update(self, resource: Json, if_match: str) -> Json:
        old = self.store[(resource["resourceType"], resource["id"])]
        if if_match and if_match != old["meta"]["versionId"]:
            raise Conflict("412")
        return self._put(resource, resource["id"], int(old["meta"]["versionId"]) + 1)

    def _put(self, resource: Json, id_: str, version: int) -> Json:
        kept = self.strip(json.loads(json.dumps(resource)))
        self._check_references(kept)
        kept = _unversioned(kept)
        kept["id"] = id_
        kept["meta"] = {
            **kept.get("meta", {}),
            "versionId": str(version),
            "lastUpdated": "2026-03-01T00:00:00Z",
        }
        self.store[(kept["resourceType"], id_)] = kept
        self.writes += 1
        return copy.deepcopy(kept)

    def _check_references(self, value: Any) -> None:
        if isinstance(value, dict):
            text = value.get("reference")
            if isinstance(text, str) and "/" in text and "://" not in text:
                short = text.split("/_history/")[0]
                ours = isinstance(value.get("identifier"), dict) or tuple(short.split("/")) in self.store
                if short not in self.known and not ours:
                    raise InvalidInput("HAPI-1094")
            for member in value.values():
                self._check_references(member)
        elif isinstance(value, list):
            for member in value:
                self._check_references(member)


def _unversioned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: v.split("/_history/")[0] if k == "reference" and isinstance(v, str) else _unversioned(v)
            for k, v in value.items()
        }
    return [_unversioned(v) for v in value] if isinstance(value, list) else value


__all__ = ["AS_OF", "BASE", "Forbidden", "MemoryCapability", "MemoryServer", "UpstreamTimeout", "plan"]
