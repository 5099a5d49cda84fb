"""A FHIR R4 server over HTTP: read, search, create, update, transaction. Implements transport.protocols.FhirServer.

Raises the errors listed there. Repeating is decided here: a transaction is sent again only when every entry may
be done twice without harm.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from fhir_twin.errors import InvalidInput, UpstreamError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.transport.answers import error_of, resource_of, try_resource
from fhir_twin.transport.capability import ServerCapability, read_capability
from fhir_twin.transport.http import HttpClient, Reply, Tally
from fhir_twin.transport.paging import NO_CACHE, Pager
from fhir_twin.transport.queries import encode
from fhir_twin.transport.retry import Repeat
from fhir_twin.transport.urls import ID, TYPE
from fhir_twin.transport.wanted import Query

Resource = dict[str, Any]
JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
OPERATION = re.compile(r"(?:[A-Z][A-Za-z]{1,40}/)?\$[a-z][a-z-]{1,40}\Z")
# POST _search is optional in practice; these answers mean "not like this", so GET is tried once.
_NO_POST_SEARCH = frozenset({400, 404, 405, 415, 501})


class FhirServer:
    """post_search: search by POST `_search`, so that no patient id or identifier is in a URL (RD-5); a server
    that refuses it gets GET from then on."""

    def __init__(self, client: HttpClient, *, post_search: bool = False, max_pages: int = 500) -> None:
        self.client = client
        self.pager = Pager(client, max_pages=max_pages)
        self._post_search = post_search
        self._post_refused = False
        self._capability: ServerCapability | None = None
        self._guard = threading.Lock()

    @property
    def base(self) -> str:
        return self.client.base.text

    def close(self) -> None:
        self.client.close()

    def capability(self) -> ServerCapability:
        """Fetched once. Raises NotSupported for another FHIR version than R4."""
        with self._guard:
            if self._capability is None:
                reply = self.client.request("GET", "metadata", headers={"Accept": JSON})
                self._capability = read_capability(resource_of(reply, "reading the capability statement"))
            return self._capability

    def closed(self, type_: str) -> str:  # noqa: ARG002 - a login with scopes says more (scoped_server)
        """Why `type_` must not be searched with this login; "" when it may."""
        return ""

    def narrow(self, ladder: tuple[Query, ...]) -> tuple[Query, ...]:
        """The searches of a type as this login may make them."""
        return ladder

    def ping(self) -> str:
        """Ask for the capability statement now, once, whatever is known already: the name of the software.

        Raises what `capability` raises; for checks of readiness, which must tell of a server that has died."""
        headers = {"Accept": JSON, **NO_CACHE}
        reply = self.client.request("GET", "metadata", headers=headers, repeat="never")
        found = read_capability(resource_of(reply, "reading the capability statement"))
        with self._guard:
            self._capability = found
        return found.software or "FHIR server"

    def read(self, type_: str, id_: str, *, tally: Tally | None = None) -> Resource | None:
        reply = self.client.request(
            "GET", _path(type_, id_), headers={"Accept": JSON, **NO_CACHE}, tally=tally
        )
        if reply.status in (404, 410):
            # A server's own 404 carries an OperationOutcome; a page of something else means a wrong base URL.
            if try_resource(reply) is None and reply.body.strip():
                raise error_of(reply, f"reading a {type_}")
            return None
        resource = resource_of(reply, f"reading a {type_}")
        if resource["resourceType"] != type_ or resource.get("id") != id_:
            raise UpstreamError(f"the server answered with another resource than the {type_} asked for")
        return resource

    def search(
        self, type_: str, params: Mapping[str, str | Sequence[str]], *, no_cache: bool = True
    ) -> list[Resource]:
        """Every match over all pages. Raises UpstreamError when the pages could not all be read."""
        first = self.search_page(type_, params, no_cache=no_cache)
        found = self.pager.follow(
            first,
            type_,
            headers=self._reading(no_cache),
            again=lambda: self.search_page(type_, params, no_cache=no_cache),
        )
        if found.end:
            raise found.error or UpstreamError(
                f"the search for {type_} could not be read to its end", issues=tuple(found.issues)
            )
        if found.total is not None and found.rows < found.total and "_summary" not in params:
            self._check_count(type_, params, found.rows)
        return found.matches

    def _check_count(self, type_: str, params: Mapping[str, str | Sequence[str]], read: int) -> None:
        """A total may be an estimate; the count is not. Raises UpstreamError when rows are missing (F1)."""
        kept = {k: v for k, v in params.items() if k not in ("_count", "_total", "_elements", "_sort")}
        counted = self.search_page(type_, {**kept, "_summary": "count"}).get("total")
        if isinstance(counted, int) and counted > read:
            raise UpstreamError(f"the server counts {counted} {type_} but gave {read} and no further page")

    def search_page(
        self,
        type_: str,
        params: Mapping[str, str | Sequence[str]],
        *,
        no_cache: bool = True,
        private: bool = False,
        tally: Tally | None = None,
    ) -> Resource:
        """The first page of a search, as received. private: use POST when the server takes it, whatever the
        setting (for identifiers)."""
        reply = self.search_reply(type_, params, no_cache=no_cache, private=private, tally=tally)
        page = resource_of(reply, f"searching {type_}")
        if page["resourceType"] != "Bundle":
            raise UpstreamError(f"the answer to a search for {type_} is no Bundle", http_status=reply.status)
        return page

    def search_reply(
        self,
        type_: str,
        params: Mapping[str, str | Sequence[str]],
        *,
        no_cache: bool = True,
        private: bool = False,
        tally: Tally | None = None,
    ) -> Reply:
        """The same, as the raw answer of any status."""
        if not TYPE.match(type_):
            raise InvalidInput("not a resource type")
        headers = self._reading(no_cache)
        query = encode(params)
        if (self._post_search or private) and not self._post_refused:
            reply = self.client.request(
                "POST",
                f"{type_}/_search",
                body=query.encode(),
                headers={**headers, "Content-Type": FORM},
                repeat="safe",
                tally=tally,
            )
            if reply.status not in _NO_POST_SEARCH:
                return reply
            plain = self.client.request("GET", f"{type_}?{query}", headers=headers, tally=tally)
            self._post_refused = self._post_refused or plain.status < 400
            return plain
        return self.client.request("GET", f"{type_}?{query}", headers=headers, tally=tally)

    def invoke(self, path: str, params: Mapping[str, str]) -> Resource:
        """GET an operation that changes nothing ("CodeSystem/$validate-code"); its answer."""
        if not OPERATION.match(path):
            raise InvalidInput("not an operation's path")
        reply = self.client.request("GET", f"{path}?{encode(params)}", headers=self._reading(True))
        return resource_of(reply, "asking the server")

    def batch(self, bundle: Resource, *, no_cache: bool = True, tally: Tally | None = None) -> Resource:
        """POST a batch of reads; the response Bundle. Repeated freely, so it must hold nothing but GETs."""
        if any(e.get("request", {}).get("method") != "GET" for e in bundle.get("entry", [])):
            raise InvalidInput("a batch of reads may only hold GET entries")
        headers = {**self._reading(no_cache), "Content-Type": JSON}
        reply = self.client.request(
            "POST", "", body=orjson.dumps(bundle), headers=headers, repeat="safe", tally=tally
        )
        return resource_of(reply, "reading by batch")

    def transaction(self, bundle: Resource) -> Resource:
        """Raises UpstreamTimeout when the outcome is unknown; then read back before sending again."""
        reply = self.client.request(
            "POST", "", body=dump_json(bundle), headers=_writing(), repeat=repeatable(bundle)
        )
        answer = resource_of(reply, "writing a transaction")
        if answer["resourceType"] != "Bundle":
            raise UpstreamError("the answer to a transaction is no Bundle", http_status=reply.status)
        return answer

    def create(self, resource: Resource, *, if_none_exist: str = "") -> Resource:
        headers = _writing()
        if if_none_exist:
            headers["If-None-Exist"] = _header_safe(if_none_exist)
        repeat: Repeat = "safe" if if_none_exist else "never"
        type_ = _type_of(resource)
        reply = self.client.request("POST", type_, body=dump_json(resource), headers=headers, repeat=repeat)
        return _written(reply, resource, f"creating a {type_}")

    def update(self, resource: Resource, *, if_match: str = "") -> Resource:
        type_, id_ = _type_of(resource), resource.get("id")
        headers = _writing()
        if if_match:
            headers["If-Match"] = f'W/"{_header_safe(if_match)}"'
        reply = self.client.request(
            "PUT",
            _path(type_, id_ if isinstance(id_, str) else ""),
            body=dump_json(resource),
            headers=headers,
            repeat="if-refused" if if_match else "safe",
        )
        return _written(reply, resource, f"updating a {type_}")

    def _reading(self, no_cache: bool) -> dict[str, str]:
        return {"Accept": JSON, **(NO_CACHE if no_cache else {})}


def repeatable(bundle: Resource) -> Repeat:
    """When a transaction may be sent twice: always if each entry is a GET, DELETE, PUT without If-Match or
    conditional create; only after a refusal if the rest are PUTs with If-Match; never with a plain POST."""
    repeat: Repeat = "safe"
    for entry in bundle.get("entry", []):
        request = entry.get("request", {})
        if request.get("method") == "POST" and not request.get("ifNoneExist"):
            return "never"
        if request.get("ifMatch") or request.get("method") == "PATCH":
            repeat = "if-refused"
    return repeat


def _writing() -> dict[str, str]:
    return {"Accept": JSON, "Content-Type": JSON, "Prefer": "return=representation"}


def _written(reply: Reply, sent: Resource, doing: str) -> Resource:
    """The resource as the server holds it, whatever it answers with: the resource, nothing, or an outcome; id and
    version then come from Location (any host) or ETag (weak or not), E11."""
    if not 200 <= reply.status < 300:
        raise error_of(reply, doing)
    body = try_resource(reply)
    if body is not None and body["resourceType"] == sent["resourceType"] and body.get("id"):
        return body
    where = reply.headers.get("Location") or reply.headers.get("Content-Location") or ""
    parts = where.split("?")[0].rstrip("/").split("/")
    id_, version = sent.get("id"), _etag(reply.headers.get("ETag", ""))
    if len(parts) >= 4 and parts[-2] == "_history":
        id_, version = parts[-3], version or parts[-1]
    elif len(parts) >= 2 and parts[-2] == sent["resourceType"]:
        id_ = parts[-1]
    if not isinstance(id_, str) or not ID.match(id_):
        raise UpstreamError(f"{doing}: the server does not say which id it gave", http_status=reply.status)
    meta = {**sent.get("meta", {}), **({"versionId": version} if version else {})}
    return {**sent, "id": id_, **({"meta": meta} if meta else {})}


def _etag(text: str) -> str:
    return text.strip().removeprefix("W/").strip('"')


def _path(type_: str, id_: str) -> str:
    if not TYPE.match(type_) or not ID.match(id_) or id_ in (".", ".."):
        raise InvalidInput("not a valid resource type and id")
    return f"{type_}/{id_}"


def _type_of(resource: Resource) -> str:
    type_ = resource.get("resourceType")
    if not isinstance(type_, str) or not TYPE.match(type_):
        raise InvalidInput("a resource to be written has no type")
    return type_


def _header_safe(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise InvalidInput("a header value holds characters that are not allowed")
    return text
