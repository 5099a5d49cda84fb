"""The servers file: FHIR servers we are registered with, CDS Hooks clients we know. TOML, read at the start.

Secrets are not written into it: `client_secret_file` and `client_secret_env` say where they are. The legend of every
key is in docs/registration.md.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.model.registered import CdsClient, RegisteredServer, Registry
from fhir_twin.transport.urls import parse_base

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_LOGINS = ("public", "secret", "key", "none")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SERVER = {
    "name": str, "base": str, "client_id": str, "login": str, "client_secret_file": str, "client_secret_env": str,
    "algorithm": str, "title": str, "also": list, "aud": str, "oauth_origins": list, "scopes": list,
    "backend_scopes": list, "backend_client_id": str, "offline": bool, "write": bool, "without_s256": bool,
    "nonce": str, "authorize_post": bool,
}  # fmt: skip
_CLIENT = {
    "issuer": str, "jwks_url": str, "jwks_file": str, "servers": list, "algorithms": list, "tenants": list,
}  # fmt: skip
_CDS = {"origins": list, "unsigned": bool, "whole_plan": bool, "record_checks": bool}
ALGORITHMS = ("ES384", "RS384", "ES256", "RS256", "ES512", "RS512", "PS256", "PS384", "PS512")


def read_servers(path: Path | None, environment: Mapping[str, str] | None = None) -> Registry:
    """The registry in `path`; an empty one for None. Raises InvalidInput naming the entry and key that is wrong."""
    if path is None:
        return Registry()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"the servers file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the servers file {path} is not valid TOML: {error}") from None
    if unknown := sorted(set(table) - {"server", "cds_client", "cds"}):
        raise InvalidInput(f"the servers file has unknown tables: {', '.join(unknown)}")
    secrets = os.environ if environment is None else environment
    servers = tuple(_server(e, path, secrets) for e in _tables(table, "server"))
    names = [s.name for s in servers]
    if len(set(names)) < len(names):
        raise InvalidInput("two servers of the servers file have the same name")
    clients = tuple(_client(e, path, names) for e in _tables(table, "cds_client"))
    if len({c.issuer for c in clients}) < len(clients):
        raise InvalidInput("two cds_clients of the servers file have the same issuer")
    cds = table.get("cds", {})
    _check(cds, _CDS, "cds")
    origins = tuple(_origin(o, "cds") for o in cds.get("origins", ()))
    flags = {name: bool(cds.get(name, False)) for name in ("whole_plan", "record_checks")}
    return Registry(servers, clients, origins, bool(cds.get("unsigned", False)), **flags)


def _tables(table: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(e, dict) for e in found):
        raise InvalidInput(f"the servers file: write [[{name}]]")
    return found


def _server(entry: dict[str, Any], path: Path, environment: Mapping[str, str]) -> RegisteredServer:
    name = str(entry.get("name", ""))
    where = f"server {name or '?'}"
    _check(entry, _SERVER, where)
    if not _NAME.match(name):
        raise InvalidInput(f"{where}: name must be lower-case letters, digits and dashes")
    login = entry.get("login", "public")
    if login not in _LOGINS:
        raise InvalidInput(f"{where}: login is one of {', '.join(_LOGINS)}")
    if entry.get("algorithm", "") not in ("", "RS384", "ES384"):
        raise InvalidInput(f"{where}: algorithm is RS384 or ES384")
    if login != "none" and not entry.get("client_id"):
        raise InvalidInput(f"{where}: client_id is missing (the server's administrator gives it)")
    if entry.get("nonce", "required") not in ("required", "if-sent"):
        raise InvalidInput(f"{where}: nonce is required or if-sent")
    lists: dict[str, Any] = {k: tuple(entry[k]) for k in ("scopes", "backend_scopes") if k in entry}
    for scope in lists.get("backend_scopes", ()):
        if not scope.startswith("system/"):
            raise InvalidInput(f"{where}: backend_scopes must begin with system/")
    plain = {k: v for k, v in entry.items() if not isinstance(v, list) and not k.startswith("client_secret_")}
    return RegisteredServer(
        **{**plain, "base": base_pattern(entry.get("base", ""), where)},
        **lists,
        also=tuple(base_pattern(b, where) for b in entry.get("also", ())),
        oauth_origins=tuple(_origin(o, where) for o in entry.get("oauth_origins", ())),
        client_secret=_secret(entry, where, path, environment) if login == "secret" else "",
    )


def base_pattern(base: str, where: str) -> str:
    """A base URL, normalised; `*` only as a whole path segment. https, except on loopback."""
    marked = "/".join("STAR" if part == "*" else part for part in base.split("/"))
    parsed = parse_base(marked)
    if "*" in parsed.text or (parsed.scheme == "http" and parsed.host not in _LOOPBACK):
        raise InvalidInput(
            f"{where}: base must be https (http on loopback only); * may stand for a path segment"
        )
    return "/".join("*" if part == "STAR" else part for part in parsed.text.split("/"))


def _secret(entry: dict[str, Any], where: str, path: Path, environment: Mapping[str, str]) -> str:
    file, variable = entry.get("client_secret_file", ""), entry.get("client_secret_env", "")
    if bool(file) == bool(variable):
        raise InvalidInput(f"{where}: give client_secret_file or client_secret_env")
    if variable:
        if not environment.get(variable):
            raise InvalidInput(f"{where}: the environment has no {variable}")
        return environment[variable]
    try:
        return (path.parent / Path(file).expanduser()).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput(f"{where}: client_secret_file cannot be read") from None


def _client(entry: dict[str, Any], path: Path, names: list[str]) -> CdsClient:
    where = f"cds_client {entry.get('issuer') or '?'}"
    _check(entry, _CLIENT, where)
    if not entry.get("issuer"):
        raise InvalidInput(f"{where}: issuer is missing")
    if bool(entry.get("jwks_url")) == bool(entry.get("jwks_file")):
        raise InvalidInput(f"{where}: give jwks_url or jwks_file")
    if unknown := sorted(set(entry.get("servers", ())) - set(names)):
        raise InvalidInput(f"{where}: no server is named {', '.join(map(str, unknown))}")
    algorithms = tuple(entry.get("algorithms", CdsClient.__dataclass_fields__["algorithms"].default))
    if not algorithms or set(algorithms) - set(ALGORITHMS):
        raise InvalidInput(f"{where}: algorithms are {', '.join(ALGORITHMS)}")
    jwks = ""
    if entry.get("jwks_file"):
        try:
            jwks = (path.parent / Path(entry["jwks_file"]).expanduser()).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise InvalidInput(f"{where}: jwks_file cannot be read") from None
    else:
        _origin(entry["jwks_url"], where)
    return CdsClient(
        entry["issuer"],
        entry.get("jwks_url", ""),
        jwks,
        tuple(entry.get("servers", ())),
        algorithms,
        tuple(entry.get("tenants", ())),
    )


def _origin(url: Any, where: str) -> str:
    """The origin of a URL. https, except on loopback."""
    base = parse_base(str(url))
    if base.scheme == "http" and base.host not in _LOOPBACK:
        raise InvalidInput(f"{where}: {base.origin} must be https (http on loopback only)")
    return base.origin


def _check(entry: Any, known: Mapping[str, type], where: str) -> None:
    if not isinstance(entry, dict):
        raise InvalidInput(f"{where}: write it as a table")
    if unknown := sorted(set(entry) - set(known)):
        raise InvalidInput(f"{where}: unknown keys {', '.join(unknown)}")
    for key, value in entry.items():
        strings = isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not isinstance(value, known[key]) or (known[key] is list and not strings):
            raise InvalidInput(f"{where}: {key} must be a {_KINDS[known[key]]}")


_KINDS = {str: "text", list: "list of texts", bool: "true or false"}
