"""Bulk Data client (BU-1 to BU-10, C1 to C8): kick off, poll, download, finish; any step can be taken up after a crash.

    export = BulkExport(client, Path("export"))
    export.start(BulkRequest(types=("Patient", "Observation")))
    export.wait()       # polls until the manifest is there
    export.download()   # files not yet complete, a few at a time
    export.finish()     # DELETE of the job on the server

Everything that must survive stands in `.export.json` beside the files, replaced as a whole after each step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import random
from urllib.parse import urlencode

import orjson

from fhir_twin import log
from fhir_twin.errors import Conflict, InvalidInput, TwinError, UpstreamError, UpstreamTimeout
from fhir_twin.fhir.read_manifest import BulkFile, read_manifest
from fhir_twin.transport.answers import error_of, try_json
from fhir_twin.transport.bulk_state import BulkState, KeptFile, read_state, write_state
from fhir_twin.transport.download import Downloader
from fhir_twin.transport.http import HttpClient, Reply
from fhir_twin.transport.urls import ID, TYPE, next_of

PARALLEL = 5
LONGEST_WAIT = 300.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRIES = 5
_GUARD = threading.Lock()


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """group: id of a Group, "" for all patients; system: the whole server. since: a server's time, as it gave it."""

    group: str = ""
    system: bool = False
    types: tuple[str, ...] = ()
    since: str = ""
    type_filters: tuple[str, ...] = ()

    def url(self) -> str:
        """Relative to the base. Raises InvalidInput."""
        if self.group and (self.system or not ID.match(self.group)):
            raise InvalidInput("an export is of one group, of all patients, or of the whole system")
        if any(not TYPE.match(t) for t in self.types):
            raise InvalidInput("not a resource type")
        pairs = {
            "_outputFormat": "application/fhir+ndjson",
            "_type": ",".join(self.types),
            "_since": self.since,
        }
        query = [(k, v) for k, v in pairs.items() if v] + [("_typeFilter", f) for f in self.type_filters]
        scope = f"Group/{self.group}/" if self.group else "" if self.system else "Patient/"
        return f"{scope}$export?{urlencode(query)}"


class BulkExport:
    """folder: where files and the state go. tell: progress in words, without patient data. sleep, clock: for tests."""

    def __init__(
        self,
        client: HttpClient,
        folder: Path,
        downloader: Downloader | None = None,
        *,
        tell: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        patience: float = 24 * 3600.0,
        random: Callable[[], float] = random,
    ) -> None:
        self._client = client
        self._folder = folder
        self._downloader = downloader or Downloader(client)
        self._tell = tell
        self._sleep = sleep
        self._patience = patience
        self._random = random
        folder.mkdir(parents=True, exist_ok=True)
        self.state = read_state(folder)

    def start(self, request: BulkRequest) -> None:
        """Kick off. Raises Conflict when this folder holds an export that is not finished, and what the server refuses
        with (its OperationOutcome as issues)."""
        if self.state is not None and self.state.step not in ("done", "cancelled"):
            raise Conflict("this folder holds an export that is not finished: resume or cancel it")
        reply = self._kick_off(request)
        if reply.status in (400, 422, 501) and request.since:
            # C8: no _since here. Everything then, and that is said.
            everything = replace(request, since="")
            second = self._kick_off(everything)
            if second.status in (200, 202):
                self._tell("the server does not take _since: everything is exported")
                request, reply = everything, second
        if reply.status not in (200, 202):
            raise error_of(reply, "asking for a bulk export")
        where = reply.headers.get("Content-Location") or reply.headers.get("Location") or ""
        if not where:
            raise UpstreamError("the server accepted the export but does not say where to ask for it")
        status_url, _ = next_of(self._client.base, where)  # a server behind a proxy may name its inner host
        self._keep(BulkState("running", self._client.base.text, status_url, since=request.since))
        self._tell("the server has taken the export on")

    def wait(self) -> None:
        """Poll until the manifest is there. Raises UpstreamTimeout after `patience`; the export can be resumed."""
        state = self._state("running", "ready")
        waited, tries = 0.0, 0
        while self.state is not None and self.state.step == "running":
            reply = self._client.request(
                "GET", state.status_url, headers={"Accept": "application/json"}, repeat="safe"
            )
            if _is_ready(reply):
                self._ready(reply)
                return
            if reply.status not in _TRANSIENT and reply.status not in (200, 202):
                raise self._lost(reply)
            if reply.status in (500,) and not _says_transient(reply):
                raise error_of(reply, "waiting for a bulk export")
            tries += 1
            pause = self._pause(reply, tries)
            if waited + pause > self._patience:
                raise UpstreamTimeout("the bulk export was not ready in the time allowed; it can be resumed")
            self._tell(f"{_progress(reply)}; asking again in {pause:.0f} s")
            self._sleep(pause)
            waited += pause

    def download(self) -> None:
        """Every file that is not complete yet. Files that fail are tried again; what then is missing raises."""
        state = self._state("ready", "downloaded")
        open_files = [f for f in state.files if not f.done]
        with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
            failed = [e for e in pool.map(self._get, open_files) if e is not None]
        if failed:
            told = f"{len(failed)} of {len(open_files)} files are missing; the export can be resumed"
            raise type(failed[0])(f"{told} ({failed[0].message})", issues=failed[0].issues)
        assert self.state is not None
        self._keep(self.state.at("downloaded"))

    def finish(self) -> None:
        """Tell the server that its files are no longer needed (C7)."""
        state = self._state("downloaded", "done")
        self._delete(state)
        self._keep(state.at("done"))

    def cancel(self) -> None:
        """Give the export up, here and on the server."""
        if self.state is not None and self.state.step not in ("done", "cancelled"):
            self._delete(self.state)
            self._keep(self.state.at("cancelled"))

    def _kick_off(self, request: BulkRequest) -> Reply:
        headers = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
        reply = self._client.request("GET", request.url(), headers=headers, repeat="if-refused")
        return self._post(request, reply) if reply.status in (400, 404, 405, 501) else reply

    def _post(self, request: BulkRequest, first: Reply) -> Reply:
        """STU 4 takes GET away (BU-9): Parameters by POST, no comma lists."""
        path = request.url().split("?")[0]
        parts: list[dict[str, str]] = [{"name": "_type", "valueCode": t} for t in request.types]
        parts += [{"name": "_typeFilter", "valueString": f} for f in request.type_filters]
        parts += [{"name": "_since", "valueInstant": request.since}] if request.since else []
        body = orjson.dumps({"resourceType": "Parameters", "parameter": parts})
        headers = {
            "Accept": "application/fhir+json",
            "Content-Type": "application/fhir+json",
            "Prefer": "respond-async",
        }
        reply = self._client.request("POST", path, body=body, headers=headers, repeat="if-refused")
        return reply if reply.status in (200, 202) else first

    def _ready(self, reply: Reply) -> None:
        manifest = read_manifest(try_json(reply))
        files, seen, following = list(manifest.files), set[str](), manifest.more
        while following:  # a manifest in pages
            if following in seen or len(seen) > 10_000:
                raise UpstreamError("the pages of the bulk manifest repeat")
            seen.add(following)
            page = self._client.request("GET", following, headers={"Accept": "application/json"})
            if page.status != 200:
                raise error_of(page, "reading the bulk manifest")
            more = read_manifest(try_json(page))
            files, following = files + list(more.files), more.more
        assert self.state is not None
        kept = tuple(_named(i, f) for i, f in enumerate(dict.fromkeys(files)))
        self._keep(self.state.at("ready", time=manifest.time, needs_token=manifest.needs_token, files=kept))
        self._tell(f"{len(kept)} files to download")

    def _get(self, kept: KeptFile) -> TwinError | None:
        """One file, tried a few times; the error when it could not be had."""
        assert self.state is not None
        path = self._folder / kept.name
        for attempt in range(1, _TRIES + 1):
            try:
                size = self._downloader.fetch(kept.url, path, token=self.state.needs_token)
            except TwinError as error:
                log.failure("bulk.file", error, code=error.code)
                if not isinstance(error, UpstreamError) or attempt == _TRIES:
                    return error
                self._sleep(min(2.0**attempt, 30.0) * (0.5 + self._random() / 2))
                continue
            self._note(kept.complete(size))
            return None
        return None

    def _note(self, complete: KeptFile) -> None:
        with _GUARD:
            assert self.state is not None
            files = tuple(complete if f.name == complete.name else f for f in self.state.files)
            self._keep(self.state.at(self.state.step, files=files))
            self._tell(f"{sum(f.done for f in files)} of {len(files)} files")

    def _pause(self, reply: Reply, tries: int) -> float:
        """Seconds: what the server asks for, at least 1 and at most 5 minutes (C2); else backoff with jitter."""
        if reply.retry_after is not None:
            return min(max(reply.retry_after, 1.0), LONGEST_WAIT)
        grown = min(2.0 ** min(tries, 10), 60.0)
        return max(1.0, grown * (0.5 + self._random() / 2))

    def _lost(self, reply: Reply) -> TwinError:
        if reply.status in (404, 410) and self.state is not None:
            self._keep(self.state.at("cancelled"))
            text = "the server does not know this export any more; start it anew"
            return UpstreamError(text, http_status=reply.status)
        return error_of(reply, "waiting for a bulk export")

    def _delete(self, state: BulkState) -> None:
        try:
            reply = self._client.request(
                "DELETE", state.status_url, headers={"Accept": "application/fhir+json"}
            )
            if reply.status >= 400 and reply.status not in (404, 405, 410):
                self._tell(f"the server did not let go of the export (HTTP {reply.status})")
        except TwinError as error:
            self._tell(f"the server could not be told that the export is over: {error.message}")

    def _state(self, *steps: str) -> BulkState:
        if self.state is None or self.state.step not in steps:
            raise Conflict("this folder holds no export at this point")
        if self.state.base != self._client.base.text:
            raise Conflict("the export in this folder is of another server")
        return self.state

    def _keep(self, state: BulkState) -> None:
        self.state = state
        write_state(self._folder, state)


def _is_ready(reply: Reply) -> bool:
    """200 with a manifest; a server may answer 200 while the job runs and say so in a header (BU-9)."""
    running: Mapping[str, str] = reply.headers
    status = running.get("X-Export-Status", "")
    return reply.status == 200 and status.lower() not in ("in-progress", "accepted", "running")


def _says_transient(reply: Reply) -> bool:
    return b'"transient"' in reply.body[:100_000]


def _progress(reply: Reply) -> str:
    if reply.status == 429:
        return "the server asks us to be slower"
    told = reply.headers.get("X-Progress", "")[:100]
    return f"the export is running ({told})" if told and told.isprintable() else "the export is running"


def _named(number: int, file: BulkFile) -> KeptFile:
    """Our own name: a server's could lead anywhere."""
    type_ = file.type if TYPE.match(file.type) else "Resource"
    return KeptFile(file.kind, type_, f"{file.kind}-{number:05}-{type_}.ndjson", file.url, file.count)
