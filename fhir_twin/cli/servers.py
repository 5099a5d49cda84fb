"""`fhir-twin servers`: the FHIR servers we are registered with, the CDS clients we know, and our signing keys."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, NotFound
from fhir_twin.model.plain import to_plain
from fhir_twin.model.registered import RegisteredServer, Registry
from fhir_twin.settings import Settings, load_settings
from fhir_twin.transport.own_keys import ALGORITHMS, OwnKeys
from fhir_twin.transport.servers_check import check_registration
from fhir_twin.transport.servers_edit import add_entry, remove_entry
from fhir_twin.transport.servers_file import read_servers
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.wiring import key_folder

NAMES = ("servers_file", "key_folder", "cache", "public_url", "ca_bundle")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "What to enter at each vendor: docs/registration.md."
    add_settings(parser, *NAMES)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="what is registered")
    _add(actions.add_parser("add", help="register a FHIR server"))
    check = actions.add_parser("check", help="ask a registered server whether a login can work")
    check.add_argument("name", nargs="?", default="", help="one server (default: all)")
    check.add_argument("--base", default="", help="a real address, where the registration has a *")
    check.add_argument("--json", action="store_true", help="print JSON instead of lines")
    remove = actions.add_parser("remove", help="take a server out")
    remove.add_argument("name")
    client = actions.add_parser(
        "add-client", help="register a CDS Hooks client (an EHR that calls our services)"
    )
    client.add_argument("issuer", help="the iss of its JWTs")
    client.add_argument("--jwks-url", default="", help="where its public keys are")
    client.add_argument("--jwks-file", default="", help="its public keys, as a file")
    client.add_argument("--server", action="append", default=[], help="name of a FHIR server it speaks for")
    client.add_argument(
        "--algorithm", action="append", default=[], help="what it signs with (default: ES384, RS384)"
    )
    drop = actions.add_parser("remove-client", help="take a CDS Hooks client out")
    drop.add_argument("issuer")
    keys = actions.add_parser("keys", help="our signing keys: list, make, retire")
    keys.add_argument(
        "--new", choices=[*ALGORITHMS, "both"], help="make a key; it signs after an hour, or if alone"
    )
    keys.add_argument("--retire", metavar="KID", help="publish a key no longer")
    keys.add_argument(
        "--jwks", action="store_true", help="print the public JWKS, to upload where a URL is not taken"
    )


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a short name: letters, digits, dashes")
    parser.add_argument("base", help="FHIR base URL, as the EHR names it (iss); * for one path segment")
    parser.add_argument("--client-id", default="")
    parser.add_argument("--login", choices=["public", "secret", "key", "none"], default="public")
    parser.add_argument("--client-secret-file", default="", help="file with the client secret (login secret)")
    parser.add_argument("--client-secret-env", default="", help="environment variable with it")
    parser.add_argument("--algorithm", choices=["RS384", "ES384"], default="", help="for login key")
    parser.add_argument("--title", default="", help="what users see")
    parser.add_argument("--also", action="append", default=[], help="another base of the same registration")
    parser.add_argument("--aud", default="", help="send this as aud instead of iss")
    parser.add_argument(
        "--oauth-origin", action="append", default=[], help="origin of its login, if another one"
    )
    parser.add_argument(
        "--scope", action="append", default=[], help="ask for these scopes instead of our list"
    )
    parser.add_argument(
        "--backend-scope", action="append", default=[], help="system/ scopes for unattended runs"
    )
    parser.add_argument("--offline", action="store_true", help="ask for offline_access (a refresh token)")
    parser.add_argument(
        "--authorize-post", action="store_true", help="send the login request as a POST, where it is offered"
    )
    parser.add_argument("--read-only", action="store_true", help="never ask for scopes that write")


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in NAMES}, file=arguments.settings)
    action = arguments.action
    if action == "keys":
        return _keys(arguments, OwnKeys(key_folder(settings)))
    path = settings.path("servers_file")
    if path is None:
        raise InvalidInput("no servers file is named: --servers-file FILE or FHIR_TWIN_SERVERS_FILE")
    if action == "list":
        return _list(read_servers(path) if path.exists() else Registry())
    if action == "check":
        return _check(arguments, read_servers(path), settings)
    _edit(arguments, path)
    return 0


def _edit(arguments: argparse.Namespace, path: Path) -> None:
    a = arguments
    if a.action == "remove":
        remove_entry(path, "server", "name", a.name)
        print(f"removed {a.name}")
    elif a.action == "remove-client":
        remove_entry(path, "cds_client", "issuer", a.issuer)
        print("removed")
    elif a.action == "add-client":
        values = {"issuer": a.issuer, "jwks_url": a.jwks_url, "jwks_file": a.jwks_file, "servers": a.server,
                  "algorithms": a.algorithm}  # fmt: skip
        add_entry(path, "cds_client", values)
        print("added; restart the service to use it")
    else:
        add_entry(path, "server", _values(a))
        print(f"added {a.name}; `fhir-twin servers check {a.name}` says whether a login can work")


def _values(a: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": a.name,
        "base": a.base,
        "client_id": a.client_id,
        "login": a.login,
        "client_secret_file": a.client_secret_file,
        "client_secret_env": a.client_secret_env,
        "algorithm": a.algorithm,
        "title": a.title,
        "also": a.also,
        "aud": a.aud,
        "oauth_origins": a.oauth_origin,
        "scopes": a.scope,
        "backend_scopes": a.backend_scope,
    }
    if a.offline:
        values["offline"] = True
    if a.authorize_post:
        values["authorize_post"] = True
    if a.read_only:
        values["write"] = False
    return values


def _list(registry: Registry) -> int:
    if not registry.servers and not registry.clients:
        print("nothing is registered; `fhir-twin servers add` begins")
    for s in registry.servers:
        more = " backend" if s.backend_scopes else ""
        print(f"{s.name:<16} {s.login:<7}{more} {s.base}")
    for c in registry.clients:
        print(
            f"CDS client       {', '.join(c.algorithms)}  {c.issuer}  for {', '.join(c.servers) or 'all servers'}"
        )
    return 0


def _check(arguments: argparse.Namespace, registry: Registry, settings: Settings) -> int:
    chosen = [s for s in registry.servers if arguments.name in ("", s.name)]
    if not chosen:
        raise NotFound("no server of this name is registered")
    http, keys = SmartHttp(settings.path("ca_bundle")), OwnKeys(key_folder(settings))
    failed, found = False, []
    for server in chosen:
        base = arguments.base or server.base
        if "*" in base:
            print(f"{server.name}: the base has a *; give a real address with --base")
            continue
        if not arguments.json:
            print(f"{server.name}  {base}")
        for check in check_registration(
            _covered(server, base), base, http, keys, settings.text("public_url")
        ):
            failed = failed or check.state == "fail"
            found.append({"server": server.name, **to_plain(check)})
            if not arguments.json:
                advice = f"\n       -> {check.advice}" if check.advice else ""
                print(f"{check.state:<5}  {check.name}: {check.seen}{advice}", flush=True)
    if arguments.json:
        print(json.dumps(found))
    return 1 if failed else 0


def _covered(server: RegisteredServer, base: str) -> RegisteredServer:
    if not server.covers(base):
        raise InvalidInput("this address is not one of the server's base")
    return server


def _keys(arguments: argparse.Namespace, keys: OwnKeys) -> int:
    now = time.time()
    if arguments.new:
        for algorithm in ALGORITHMS if arguments.new == "both" else (arguments.new,):
            print(f"made {keys.make(algorithm, now).kid}")
    if arguments.retire:
        keys.retire(arguments.retire)
        print(f"retired {arguments.retire}")
    if arguments.jwks:
        print(json.dumps(keys.jwks(), indent=2))
        return 0
    for key in keys.all():
        signs = " signs now" if key == keys.signing(key.algorithm, now) else ""
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(key.made))
        print(f"{key.kid:<28} {key.algorithm}  made {made} UTC{signs}")
    if not keys.all():
        print(
            "no keys yet: `fhir-twin servers keys --new both`, or the first start of the service makes them"
        )
    return 0
