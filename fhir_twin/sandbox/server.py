"""The sandbox on a socket: a Flask app, loopback only, JSON only, OperationOutcome for every error."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from fhir_twin.errors import TwinError
from fhir_twin.fhir.parse import parse_json
from fhir_twin.sandbox.engine import Answer, Ask, Engine
from fhir_twin.sandbox.problems import Problem

MEDIA = "application/fhir+json; charset=utf-8"
MAX_BODY = 64 * 1024 * 1024
_JSON_BODIES = frozenset({"application/fhir+json", "application/json", "text/json", ""})
_JSON_WORDS = ("json", "*/*", "application/*")
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_sandbox(base: str, now: Callable[[], datetime] = utc_now) -> Flask:
    """The app; its routes begin at /fhir. base: how it names itself ("http://127.0.0.1:8090/fhir").

    The Engine is `app.extensions["engine"]`. now: the clock for lastUpdated."""
    app = Flask("fhir_twin.sandbox")
    engine = Engine(base, now)
    app.extensions["engine"] = engine
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, TRUSTED_HOSTS=["127.0.0.1", "localhost", "[::1]"])

    app.url_map.strict_slashes = False

    @app.route("/fhir", methods=_METHODS, defaults={"path": ""})
    @app.route("/fhir/<path:path>", methods=_METHODS)
    def fhir(path: str) -> Response:
        try:
            return _respond(engine.answer(_ask(request, path)))
        except Problem as problem:
            return _respond(Answer(problem.status, problem.outcome()))

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        code = {404: "not-found", 405: "not-supported", 413: "too-long"}.get(error.code or 500, "invalid")
        problem = Problem(error.code or 500, code, f"the request was refused ({error.code})")
        return _respond(Answer(problem.status, problem.outcome()))

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        logging.getLogger("fhir_twin.sandbox").error("sandbox bug: %s", type(error).__name__)
        return _respond(Answer(500, Problem(500, "exception", "an error of the sandbox itself").outcome()))

    return app


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox in a background thread. base: its FHIR base URL. close() stops it; its data are gone then."""

    base: str
    engine: Engine
    _server: BaseWSGIServer
    _thread: threading.Thread

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def serve_sandbox(port: int = 0, now: Callable[[], datetime] = utc_now) -> RunningSandbox:
    """Start a sandbox on 127.0.0.1 (port 0 = any free one). Raises OSError when the port is taken."""
    holder: dict[str, Flask] = {}

    def application(environ: dict[str, Any], start: Any) -> Any:
        return holder["app"](environ, start)

    with socket.create_server(
        ("127.0.0.1", port)
    ) as listener:  # werkzeug itself would exit when the port is taken
        port, number = listener.getsockname()[1], listener.fileno()
        server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Quiet, fd=number)
    base = f"http://127.0.0.1:{port}/fhir"
    app = create_sandbox(base, now)
    holder["app"] = app
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    return RunningSandbox(base, app.extensions["engine"], server, thread)


class _Quiet(WSGIRequestHandler):
    """No log lines (they quote URLs); connections are kept open; a slow client cannot hold a thread for ever."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log(self, *_: Any) -> None:
        return


def _ask(asked: Request, path: str) -> Ask:
    pairs = list(asked.args.items(multi=True))
    _negotiate(asked, dict(pairs).get("_format", ""))
    body: Any = None
    if asked.method in ("POST", "PUT", "PATCH"):
        kind = (asked.mimetype or "").lower()
        if kind == "application/x-www-form-urlencoded":
            if not path.endswith("_search"):
                raise Problem(415, "not-supported", "a form is only taken by _search")
            pairs += list(asked.form.items(multi=True))
        elif kind in _JSON_BODIES:
            body = _body(asked)
        else:
            raise Problem(415, "not-supported", "the sandbox reads application/fhir+json only")
    headers = {k.lower(): v for k, v in asked.headers.items()}
    kept = tuple((n, v) for n, v in pairs if n not in ("_format", "_pretty"))
    return Ask(asked.method, path, kept, headers, body)


def _body(asked: Request) -> Any:
    data = asked.get_data(cache=False)
    if not data:
        return None
    try:
        return parse_json(data, what="request body")
    except TwinError as error:
        raise Problem(error.status, "structure", error.message) from None


def _negotiate(asked: Request, wanted: str) -> None:
    accept = wanted or asked.headers.get("Accept", "*/*")
    if not any(word in accept for word in _JSON_WORDS):
        raise Problem(406, "not-supported", "the sandbox answers in application/fhir+json only")


def _respond(answer: Answer) -> Response:
    body = orjson.dumps(answer.body, default=_digits) if answer.body is not None else b""
    response = Response(body, status=answer.status, content_type=MEDIA if body else None)
    response.headers.update(dict(answer.headers))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _digits(value: object) -> orjson.Fragment:
    """Decimals go out with the digits that came in."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError
