"""A small FHIR server on the raw-socket stub whose every answer can be replaced, and short-hand for its data."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.pull import Fetched, ServerSource
from fhir_twin.transport.wanted import WANTED

CANARY = "Canary-Zebediah-1931"
Answer = tuple[int, Any]
Rule = Callable[[dict[str, str]], Answer]


def outcome(code: str = "processing", **more: Any) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code, **more}]}


class Quirky:
    """A small FHIR server on the stub; `rules` replace the answer for a type or path."""

    def __init__(self, stub: Any, tools: Any, *rows: dict[str, Any], batch: bool = True) -> None:
        self.stub, self.tools, self.rows = stub, tools, list(rows)
        self.rules: dict[str, Rule] = {}
        self.types: list[str] = ["Patient", "Medication", *(w.type for w in WANTED)]
        self.batch = batch
        self.version = "4.0.1"
        self.totals = True
        stub.handler = self.handle

    def handle(self, request: Any) -> bytes:
        if request.method == "POST" and urlsplit(request.target).path == "/fhir":
            status, body = self.run_batch(json.loads(request.body))
        else:
            status, body = self.get(request.target, request.body.decode())
        return self.tools.reply(status, body)

    def run_batch(self, bundle: dict[str, Any]) -> Answer:
        if not self.batch:
            return 400, outcome("not-supported")
        entries = []
        for entry in bundle["entry"]:
            status, body = self.get("/fhir/" + entry["request"]["url"])
            key = "resource" if status < 300 else "outcome"
            response = {"status": f"{status} X", **({"outcome": body} if key == "outcome" else {})}
            entries.append({"response": response, **({"resource": body} if key == "resource" else {})})
        return 200, {"resourceType": "Bundle", "type": "batch-response", "entry": entries}

    def get(self, target: str, form: str = "") -> Answer:
        url = urlsplit(target)
        path = url.path.removeprefix("/fhir").strip("/").removesuffix("/_search")
        query = dict(parse_qsl(url.query) + parse_qsl(form))
        if path in self.rules:
            return self.rules[path](query)
        if path == "metadata":
            return 200, self.capability()
        if "/" in path:
            found = [r for r in self.rows if f"{r['resourceType']}/{r['id']}" == path]
            return (200, found[0]) if found else (404, outcome("not-found"))
        return 200, self.search(path, query)

    def search(self, type_: str, query: dict[str, str]) -> dict[str, Any]:
        rows = [r for r in self.rows if r["resourceType"] == type_ and self.matches(r, query)]
        if query.get("_summary") == "count":
            return {"resourceType": "Bundle", "type": "searchset", "total": len(rows)}
        return self.tools.page(*rows, total=len(rows) if self.totals else None)

    def matches(self, row: dict[str, Any], query: dict[str, str]) -> bool:
        if "identifier" in query:
            return any(
                f"{i['system']}|{i['value']}" == query["identifier"] for i in row.get("identifier", [])
            )
        if "_id" in query:
            return row["id"] in query["_id"].split(",")
        if "patient" in query:
            who = (
                (row.get("subject") or row.get("patient") or {}).get("reference", "").removeprefix("Patient/")
            )
            return who in query["patient"].split(",")
        return True

    def capability(self) -> dict[str, Any]:
        codes = [{"code": "batch"}] if self.batch else []
        types = [
            {
                "type": t,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "searchParam": [{"name": "patient"}],
            }
            for t in self.types
        ]
        return {
            "resourceType": "CapabilityStatement",
            "fhirVersion": self.version,
            "rest": [{"mode": "server", "resource": types, "interaction": codes}],
        }

    def source(self, clock: Any, **options: Any) -> ServerSource:
        server = FhirServer(self.tools.make_client(self.stub, clock), **options)
        return ServerSource(server, page_size=50)


def patient(id_: str = "p1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, **more}


def row(type_: str, id_: str, who: str = "p1", **more: Any) -> dict[str, Any]:
    element = "patient" if type_ in ("AllergyIntolerance", "Immunization", "Consent") else "subject"
    return {"resourceType": type_, "id": id_, element: {"reference": f"Patient/{who}"}, **more}


def state(fetched: Fetched, type_: str) -> tuple[str, int, int | None]:
    found = next(c for c in fetched.completeness if c.type == type_)
    return found.state, found.read, found.expected


def ids(fetched: Fetched) -> list[str]:
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in fetched.bundle["entry"]]
