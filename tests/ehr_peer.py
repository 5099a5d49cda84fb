"""An EHR for tests: a FHIR server (the sandbox) behind a SMART authorization server, on a real socket.

It is strict where the specification is (PKCE, exact redirect_uri, one use of a code, rotated refresh tokens, signed
assertions) and odd where real ones are (interop.md A): `Quirks` has a switch for each oddity. Everything that it was
asked is in `seen`; what breaks its rules is in `faults`, which a test asserts to be empty.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from fhir_twin.model.scopes import read_scopes
from fhir_twin.sandbox import create_sandbox

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Quirks:
    """Each field is a habit of some real server; the defaults are those of a good one."""

    well_known: bool = True
    oauth_uris: bool = False
    relative_endpoints: bool = False
    s256: bool | None = True
    capabilities: tuple[str, ...] = ("launch-ehr", "client-public", "permission-v2", "sso-openid-connect")
    string_expiry: bool = False
    no_expiry: bool = False
    expires_in: float = 300
    token_type: str | None = "Bearer"
    scope: Callable[[str], str | None] = lambda asked: asked
    patient: Any = "given"
    id_token: str | None = "good"
    id_token_kid: bool = True
    fhir_user: str = "Practitioner/doc-1"
    id_claims: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    refresh: bool = False
    rotate: bool = True
    token_error: tuple[int, Any] | None = None
    token_body: bytes | None = None
    authorize_error: tuple[str, str] | None = None
    token_origin: str = ""
    check_scope: bool = True
    post_only: bool = False
    style: dict[str, str] | None = None
    id_algorithm: str = "RS256"


@dataclass
class Client:
    """How fhir-twin is registered here: secret for Basic, jwks for assertions, neither for a public client."""

    client_id: str = "twin"
    secret: str = ""
    jwks_url: str = ""
    backend_scopes: str = ""


class Ehr:
    """`base` is the FHIR base URL; `launch()` gives a launch parameter for a patient."""

    def __init__(self, client: Client, quirks: Quirks) -> None:
        self.client = client
        self.quirks = quirks
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[str] = []
        self.tokens: dict[str, dict[str, Any]] = {}
        self.fetch_jwks: Callable[[str], dict[str, Any]] = lambda _url: {"keys": []}
        self._launches: dict[str, str] = {}
        self._codes: dict[str, dict[str, Any]] = {}
        self._refresh: dict[str, dict[str, Any]] = {}
        self._spent: set[str] = set()
        self._jtis: set[str] = set()
        self._kid = 0
        self.rotate()
        self._guard = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.base = f"{self.origin}/fhir"
        self.issuer = self.base
        self._sandbox = create_sandbox(self.base)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def rotate(self) -> None:
        """New keys under a new kid; the old ones are gone."""
        self._kid += 1
        self._key: Any = rsa.generate_private_key(65537, 2048)
        self._curves: dict[str, Any] = {
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "ES384": ec.generate_private_key(ec.SECP384R1()),
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def load(self, bundle: dict[str, Any]) -> None:
        answer = self._sandbox.test_client().post("/fhir", json=_plain(bundle))
        assert answer.status_code == 200, answer.text

    def put(self, resource: dict[str, Any]) -> None:
        """Store one resource, past all logins."""
        answer = self._sandbox.test_client().put(
            f"/fhir/{resource['resourceType']}/{resource['id']}", json=_plain(resource)
        )
        assert answer.status_code in (200, 201), answer.text

    def launch(self, patient: str) -> str:
        token = secrets.token_urlsafe(8)
        self._launches[token] = patient
        return token

    def calls(self, path: str) -> list[dict[str, str]]:
        return [fields for _, where, fields in self.seen if where == path]

    # --- the web server ------------------------------------------------------------------------

    def _app(self, environ: dict[str, Any], start: Any) -> Any:
        request = Request(environ)
        path = request.path
        routes = {
            "/fhir/.well-known/smart-configuration": self._configuration,
            "/fhir/.well-known/openid-configuration": self._openid,
            "/keys": self._jwks,
            "/authorize": self._authorize,
            "/token": self._token,
            "/revoke": self._revoke,
            "/smart-style.json": lambda _request: _json(self.quirks.style or {}),
        }
        if path in routes:
            response = routes[path](request)
        elif path.startswith("/fhir"):
            refused = self._refuse(request)
            if refused is None:
                if path == "/fhir/metadata" and self.quirks.oauth_uris:
                    return self._old_metadata(request)(environ, start)
                return self._sandbox(environ, start)
            response = refused
        else:
            response = Response("no such place", 404)
        return response(environ, start)

    def _note(self, request: Request) -> dict[str, str]:
        fields = request.args.to_dict()
        if not request.path.startswith("/fhir/"):  # whose bodies the sandbox still has to read
            fields.update(request.form.to_dict())
        fields["_authorization"] = request.headers.get("Authorization", "")
        self.seen.append((request.method, request.path, fields))
        return fields

    def _refuse(self, request: Request) -> Response | None:
        """Every FHIR call but /metadata needs a token that is alive and covers the patient's own types."""
        self._note(request)
        if request.path == "/fhir/metadata":
            return None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        known = self.tokens.get(token)
        if scheme != "Bearer" or known is None or known["ends"] < time.time():
            return _json(
                {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "login"}]}, 401
            )
        return None

    def _configuration(self, request: Request) -> Response:
        self._note(request)
        q = self.quirks
        if not q.well_known:
            return Response("<html>not here</html>", 404, mimetype="text/html")
        prefix = "../" if q.relative_endpoints else f"{q.token_origin or self.origin}/"
        told: dict[str, Any] = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.origin}/keys",
            "authorization_endpoint": f"{prefix}authorize",
            "token_endpoint": f"{prefix}token",
            "revocation_endpoint": f"{prefix}revoke",
            "capabilities": list(q.capabilities),
            "grant_types_supported": ["authorization_code", "client_credentials"],
        }
        if q.s256 is not None:
            told["code_challenge_methods_supported"] = ["S256"] if q.s256 else ["plain"]
        return _json(told)

    def _openid(self, request: Request) -> Response:
        self._note(request)
        return _json({"issuer": self.issuer, "jwks_uri": f"{self.origin}/keys"})

    def _jwks(self, request: Request) -> Response:
        self._note(request)
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        curves = [
            {
                **ECAlgorithm.to_jwk(curve.public_key(), as_dict=True),
                "kid": f"{name}-{self._kid}",
                "alg": name,
            }
            for name, curve in self._curves.items()
        ]
        return _json({"keys": [{**key, "kid": f"k{self._kid}", "use": "sig"}, *curves]})

    def _old_metadata(self, request: Request) -> Response:
        answer = self._sandbox.test_client().get("/fhir/metadata", headers={"Accept": "application/json"})
        statement = json.loads(answer.data)
        ends = [{"url": n, "valueUri": f"{self.origin}/{n}"} for n in ("authorize", "token")]
        url = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
        statement["rest"][0]["security"] = {"extension": [{"url": url, "extension": ends}]}
        del request
        return _json(statement)

    # --- authorize -----------------------------------------------------------------------------

    def _authorize(self, request: Request) -> Response:
        fields = self._note(request)
        back = fields.get("redirect_uri", "")
        if self.quirks.post_only and (request.method != "POST" or request.args):
            self.faults.append("authorize: not a form POST")
            return Response("use POST", 405)
        for name in ("response_type", "client_id", "scope", "state", "aud", "code_challenge"):
            if not fields.get(name):
                self.faults.append(f"authorize: {name} is missing")
        if fields.get("response_type") != "code" or fields.get("client_id") != self.client.client_id:
            self.faults.append("authorize: response_type or client_id is wrong")
        if fields.get("code_challenge_method") != "S256" or len(fields.get("code_challenge", "")) != 43:
            self.faults.append("authorize: the challenge is not S256")
        if fields.get("aud") != self.base:
            self.faults.append("authorize: aud is not the FHIR base")
            return Response("bad aud", 400)
        if self.quirks.authorize_error:
            error, text = self.quirks.authorize_error
            query = {"error": error, "error_description": text, "state": fields["state"]}
            return _redirect(f"{back}?{urlencode(query)}")
        code = secrets.token_urlsafe(12)
        patient = self._launches.get(fields.get("launch", ""), "")
        self._codes[code] = {**fields, "patient": patient}
        return _redirect(f"{back}?{urlencode({'code': code, 'state': fields['state']})}")

    # --- token ---------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        fields = self._note(request)
        if request.mimetype != "application/x-www-form-urlencoded" or request.method != "POST":
            self.faults.append("token: not a form POST")
        if self.quirks.token_body is not None:
            return Response(self.quirks.token_body, 200, mimetype="application/json")
        if self.quirks.token_error is not None:
            status, body = self.quirks.token_error
            return _json(body, status)
        refused = self._authenticate(request, fields)
        if refused:
            self.faults.append(f"token: {refused}")
            return _json({"error": "invalid_client", "error_description": refused}, 401)
        grant = fields.get("grant_type")
        if grant == "authorization_code":
            return self._by_code(fields)
        if grant == "refresh_token":
            return self._by_refresh(fields)
        if grant == "client_credentials":
            return self._by_credentials(fields)
        return _json({"error": "unsupported_grant_type"}, 400)

    def _authenticate(self, request: Request, fields: dict[str, str]) -> str:
        client = self.client
        if client.jwks_url or fields.get("grant_type") == "client_credentials":
            return self._check_assertion(fields)
        if client.secret:
            pair = base64.b64encode(f"{client.client_id}:{client.secret}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {pair}":
                return "HTTP Basic is wanted"
            return "client_id must not be in the body" if "client_id" in fields else ""
        if fields.get("_authorization"):
            return "a public client sends no Authorization"
        return "" if fields.get("client_id") == client.client_id else "client_id is missing"

    def _check_assertion(self, fields: dict[str, str]) -> str:
        """BS-1, B1."""
        if fields.get("client_assertion_type") != ASSERTION or "client_id" in fields:
            return "client_assertion_type is wrong, or client_id is in the body"
        token = fields.get("client_assertion", "")
        head = jwt.get_unverified_header(token)
        if head.get("alg") not in ("RS384", "ES384") or head.get("typ") != "JWT" or not head.get("kid"):
            return "the assertion's header is wrong"
        keys = self.fetch_jwks(self.client.jwks_url)["keys"]
        found = [k for k in keys if k["kid"] == head["kid"]]
        if len(found) != 1 or "d" in found[0]:
            return "the key is not in the JWKS, or it is private"
        try:
            claims = jwt.decode(
                token, jwt.PyJWK(found[0]).key, algorithms=[head["alg"]], audience=f"{self.origin}/token"
            )
        except jwt.PyJWTError as error:
            return type(error).__name__
        if claims["iss"] != claims["sub"] or claims["iss"] != self.client.client_id:
            return "iss and sub must be the client"
        if claims["exp"] > time.time() + 300 or claims["jti"] in self._jtis:
            return "exp is too far away, or jti was used"
        self._jtis.add(claims["jti"])
        return ""

    def _by_code(self, fields: dict[str, str]) -> Response:
        kept = self._codes.pop(fields.get("code", ""), None)
        if kept is None:
            return _json({"error": "invalid_grant", "error_description": "code unknown or used"}, 400)
        made = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
        if challenge != kept["code_challenge"] or fields.get("redirect_uri") != kept["redirect_uri"]:
            self.faults.append("token: verifier or redirect_uri is wrong")
            return _json({"error": "invalid_grant"}, 400)
        return self._grant(kept["scope"], kept["patient"], kept.get("nonce", ""))

    def _by_refresh(self, fields: dict[str, str]) -> Response:
        token = fields.get("refresh_token", "")
        with self._guard:
            if token in self._spent:
                self.faults.append("token: a rotated refresh token came twice")
                self._refresh.clear()
                self.tokens.clear()
                return _json({"error": "invalid_grant"}, 400)
            kept = self._refresh.get(token)
            if kept is None:
                return _json({"error": "invalid_grant"}, 400)
            if self.quirks.rotate:
                del self._refresh[token]
                self._spent.add(token)
        return self._grant(kept["scope"], kept["patient"], "", id_token=False)

    def _by_credentials(self, fields: dict[str, str]) -> Response:
        asked = fields.get("scope", "").split()
        if not asked or any(not s.startswith("system/") for s in asked):
            return _json({"error": "invalid_scope", "error_description": "system scopes only"}, 400)
        return self._grant(" ".join(asked), "", "", id_token=False)

    def _grant(self, asked: str, patient: str, nonce: str, *, id_token: bool = True) -> Response:
        q = self.quirks
        scope = q.scope(asked)
        token = secrets.token_urlsafe(24)
        self.tokens[token] = {
            "ends": time.time() + q.expires_in,
            "scope": scope if scope is not None else asked,
        }
        answer: dict[str, Any] = {"access_token": token, **q.extra}
        if q.style is not None:
            answer["smart_style_url"] = f"{self.origin}/smart-style.json"
        if q.token_type is not None:
            answer["token_type"] = q.token_type
        if not q.no_expiry:
            answer["expires_in"] = str(int(q.expires_in)) if q.string_expiry else q.expires_in
        if scope is not None:
            answer["scope"] = scope
        if q.patient == "given":
            answer.update({"patient": patient} if patient else {})
        elif q.patient is not None:
            answer["patient"] = q.patient
        if q.refresh:
            answer["refresh_token"] = secrets.token_urlsafe(24)
            self._refresh[answer["refresh_token"]] = {"scope": asked, "patient": patient}
        if id_token and q.id_token and "openid" in asked.split():
            answer["id_token"] = self._id_token(nonce)
        return _json(answer, headers={"Cache-Control": "no-store"})

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": self.client.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "fhirUser": self.quirks.fhir_user,
            **self.quirks.id_claims,
        }
        algorithm = self.quirks.id_algorithm
        key: Any = self._curves.get(algorithm, self._key)
        if self.quirks.id_token == "forged":
            key = rsa.generate_private_key(65537, 2048)
        kid = f"{algorithm}-{self._kid}" if algorithm in self._curves else f"k{self._kid}"
        headers = {"kid": kid} if self.quirks.id_token_kid else {}
        if self.quirks.id_token == "none":
            return jwt.encode(claims, "", algorithm="none", headers=headers)
        return jwt.encode(
            {k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm, headers=headers
        )

    def _revoke(self, request: Request) -> Response:
        fields = self._note(request)
        self.tokens.pop(fields.get("token", ""), None)
        return Response("", 200)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, mimetype="application/json")


def _redirect(url: str) -> Response:
    return Response("", 302, {"Location": url})


def _plain(value: Any) -> Any:
    """Decimals as JSON numbers."""
    return json.loads(json.dumps(value, default=float))


@contextmanager
def ehr(client: Client | None = None, quirks: Quirks | None = None) -> Iterator[Ehr]:
    """One EHR for one `with` block."""
    running = Ehr(client or Client(), quirks or Quirks())
    try:
        yield running
    finally:
        running.close()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(url.partition("?")[2]))


__all__ = ["Client", "Ehr", "Quirks", "ehr", "parse_qs", "query_of", "read_scopes"]
