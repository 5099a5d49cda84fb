"""One table of options: flag > environment (FHIR_TWIN_*) > file > default. An unknown key is refused.

The table below is the whole truth: the command line's help, the docs page and the loader are made from it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput

Value = str | int | float | bool | None
ENV_PREFIX = "FHIR_TWIN_"


@dataclass(frozen=True, slots=True)
class Option:
    """kind: str | int | float | bool | path. secret values are never printed."""

    name: str
    kind: str
    default: Value
    help: str
    secret: bool = False
    minimum: float | None = None
    maximum: float | None = None


OPTIONS: tuple[Option, ...] = (
    Option("server", "str", "", "Base URL of the FHIR R4 server, e.g. https://fhir.example.org/fhir"),
    Option("token", "str", "", "Bearer token for the FHIR server (better: --token-file)", secret=True),
    Option("token_file", "path", "", "File that holds the bearer token; read again before each request set"),
    Option("basic_auth", "str", "", "user:password for HTTP Basic towards the FHIR server", secret=True),
    Option("ca_bundle", "path", "", "CA certificates to trust instead of the system's"),
    Option("timeout", "float", 60.0, "Seconds to wait for one answer", minimum=1, maximum=600),
    Option("retries", "int", 4, "Attempts after the first for calls that are safe to repeat", minimum=0, maximum=10),
    Option("retry_budget", "float", 300.0, "Seconds in all that one call may spend waiting to retry", minimum=0),
    Option("rate", "float", 0.0, "Most requests per second towards the FHIR server (0 = no limit)", minimum=0),
    Option("page_size", "int", 200, "_count to ask for; the server may give less", minimum=1, maximum=10000),
    Option("max_pages", "int", 500, "Pages followed in one search before it counts as a loop", minimum=1),
    Option("max_bytes", "int", 256_000_000, "Largest answer accepted, after decompression", minimum=1000),
    Option("threads", "int", 8, "Searches under way at once for one patient", minimum=1, maximum=32),
    Option("post_search", "bool", False, "Search by POST _search, so that no patient id is in a URL"),
    Option("write", "bool", True, "Write the draft CarePlan back (false = always a dry run)"),
    Option("ai_label", "str", "AIAST", "Security label on what we write: AIAST, or DEVAST for strict R4 validators"),
    Option("knowledge", "path", "", "Folder of your own knowledge files, laid over ours"),
    Option("cache", "path", "", "Where built indexes are kept (default: the user's cache folder)"),
    Option("encoder", "str", "", "Text encoder of your own, module:function; reranks phrases the coder is unsure of"),
    Option("terminology", "path", "", "Folder of imported terminology releases (default: in the cache folder)"),
    Option("terminology_server", "str", "", "Base URL of a FHIR R4 terminology server to ask before our own releases"),
    Option("terminology_token", "str", "", "Bearer token for the terminology server", secret=True),
    Option("terminology_timeout", "float", 5.0, "Seconds to wait for the terminology server", minimum=0.1, maximum=60),
    Option("store", "str", "", "Where accepted work and twins are kept: a SQLite file or postgresql://... "
           "(default: store.db in the user's data folder)", secret=True),
    Option("tenant", "str", "main", "Name of this FHIR server in the store; servers' data never mix"),
    Option("queue_depth", "int", 100_000, "Undone work at which new work is refused (503)", minimum=1),
    Option("queue_free", "int", 256_000_000, "Bytes to leave free on the store's disk", minimum=0),
    Option("lease", "float", 60.0, "Seconds of silence after which a worker's work is taken over", minimum=0.1),
    Option("send_audit", "bool", False, "Also send AuditEvents to the FHIR server, where it takes them"),
    Option("replan_days", "float", 30.0, "A plan older than this is made again with the next result", minimum=0),
    Option("population", "path", "", "Folder of a finished population run, shown as the worklist page"),
    Option("facade", "str", "auto", "FHIR face for patients ($twin ...): on, off, auto = on loopback only"),
    Option("facade_age", "float", 15.0, "Minutes for which a kept plan answers searches of the FHIR face", minimum=0),
    Option("token_jwks", "str", "", "JWKS of the issuer of SMART access tokens (JWT) that the FHIR face takes"),
    Option("token_issuer", "str", "", "Issuer (iss) that such tokens must have"),
    Option("token_audience", "str", "", "Audience (aud) that such tokens must have: our FHIR base"),
    Option("introspection_url", "str", "", "Introspection endpoint (RFC 7662) for opaque access tokens"),
    Option("introspection_client", "str", "", "Client id towards the introspection endpoint"),
    Option("introspection_secret", "str", "", "Client secret towards the introspection endpoint", secret=True),
    Option("feeds", "bool", False, "Take HL7 v2 and C-CDA by HTTP (serve) and read what feeds said"),
    Option("intake_zone", "str", "UTC", "Time zone of feeds whose times have no offset, e.g. America/New_York"),
    Option("intake_processing", "str", "P", "Values of MSH-11 that are taken: any of P, T, D"),
    Option("intake_authorities", "path", "", "TOML file: assigning authority of feeds -> identifier system URI"),
    Option("mllp_host", "str", "127.0.0.1", "Address of the MLLP listener (listen)"),
    Option("mllp_port", "int", 2575, "Port of the MLLP listener (listen)", minimum=0, maximum=65535),
    Option("mllp_idle", "float", 600.0, "Seconds of silence after which an MLLP connection is closed", minimum=1),
    Option("mllp_connections", "int", 64, "MLLP connections at once", minimum=1, maximum=1000),
    Option("mllp_certificate", "path", "", "TLS certificate (PEM) of the MLLP listener; none = no TLS"),
    Option("mllp_key", "path", "", "Private key of the MLLP certificate, if it is in a file of its own"),
    Option("mllp_client_ca", "path", "", "CA of the certificates that MLLP senders must show"),
    Option("mllp_plain", "bool", False, "Listen off loopback without client certificates"),
    Option("host", "str", "127.0.0.1", "Address to listen on (serve)"),
    Option("port", "int", 8080, "Port to listen on (serve)", minimum=0, maximum=65535),
    Option("api_key", "str", "", "Key that callers of the API must send; required off loopback", secret=True),
    Option("workers", "int", 2, "Server processes (gunicorn)", minimum=1, maximum=64),
    Option("worker_threads", "int", 8, "Threads in each server process", minimum=1, maximum=64),
    Option("max_body", "int", 16_000_000, "Largest request body accepted (serve)", minimum=1000),
    Option("public_url", "str", "", "URL under which browsers and EHRs reach this service, e.g. https://twin.example.org"),
    Option("servers_file", "path", "", "File of the registered FHIR servers (SMART, CDS Hooks); see `servers`"),
    Option("key_folder", "path", "", "Folder of our signing keys for SMART logins (default: in the cache folder)"),
    Option("secret_key", "str", "", "Key that seals sessions and tokens; several: newest first, by comma", secret=True),
    Option("secret_key_file", "path", "", "File with such keys, one a line (default: one made in the cache folder)"),
    Option("session_store", "str", "", "Database URL for sessions and feedback (default: `store` if it is PostgreSQL, "
           "else a file in the cache folder)", secret=True),
    Option("session_idle", "int", 900, "Seconds without a request after which a session ends", minimum=60),
    Option("session_hours", "float", 12.0, "Hours after which a session ends in any case", minimum=0.1, maximum=168),
    Option("frame_ancestors", "str", "", "Origins of EHRs that may show the page in a frame, separated by blanks"),
    Option("rate_limit", "float", 0.0, "Most requests a minute of one caller, per process (0: no limit)", minimum=0),
    Option("tenants", "path", "", "Folder of settings files, one for each FHIR server: served under /t/NAME"),
    Option("log_level", "str", "WARNING", "DEBUG, INFO, WARNING or ERROR; logs never hold patient data"),
)  # fmt: skip
TABLE: Mapping[str, Option] = {option.name: option for option in OPTIONS}


class Settings(Mapping[str, Value]):
    """Read-only values by name, each converted and checked; `origin(name)` says where it came from."""

    def __init__(self, values: dict[str, Value], origins: dict[str, str]) -> None:
        self._values = values
        self._origins = origins

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def origin(self, name: str) -> str:
        return self._origins[name]

    def text(self, name: str) -> str:
        return str(self._values[name] or "")

    def integer(self, name: str) -> int:
        return int(self._values[name] or 0)

    def number(self, name: str) -> float:
        return float(self._values[name] or 0.0)

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def path(self, name: str) -> Path | None:
        return Path(self.text(name)).expanduser() if self._values[name] else None

    def shown(self) -> dict[str, Value]:
        """For printing: secrets as stars."""
        return {n: "***" if TABLE[n].secret and v else v for n, v in self._values.items()}


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Raises InvalidInput naming the option (not its value) when one is unknown, malformed or out of range."""
    environment = os.environ if environment is None else environment
    values: dict[str, Value] = {o.name: o.default for o in OPTIONS}
    origins = dict.fromkeys(values, "default")
    named = environment.get(ENV_PREFIX + "SETTINGS", "")
    path = file or (Path(named) if named else None)
    for origin, layer in (
        ("file", _from_file(path) if path else {}),
        ("environment", _from_environment(environment)),
        ("flag", {k: v for k, v in (flags or {}).items() if v is not None}),
    ):
        for name, raw in layer.items():
            if name not in TABLE:
                raise InvalidInput(f"unknown option {name!r} ({origin}); `fhir-twin settings` lists them all")
            values[name] = _convert(TABLE[name], raw, origin)
            origins[name] = origin
    return Settings(values, origins)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.expanduser().read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"settings file {path} is not valid TOML: {error}") from None


# Environment names of ours that are no options: the settings file itself, and switches of the test suite.
_RESERVED = frozenset({"SETTINGS", "SHARED", "HAPI_URL", "GOLDEN", "FUZZ", "PEERS", "KILLS"})


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {k.removeprefix(ENV_PREFIX): v for k, v in environment.items() if k.startswith(ENV_PREFIX)}
    return {k.lower(): v for k, v in found.items() if k not in _RESERVED}


def _convert(option: Option, raw: Any, origin: str) -> Value:
    wrong = InvalidInput(f"option {option.name} ({origin}) is not a valid {option.kind}: {option.help}")
    try:
        if option.kind == "bool":
            value: Value = raw if isinstance(raw, bool) else _boolean(str(raw))
        elif option.kind == "int":
            value = int(str(raw))
        elif option.kind == "float":
            value = float(str(raw))
        else:
            value = str(raw)
    except ValueError:
        raise wrong from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = option.minimum, option.maximum
        if value != value or (low is not None and value < low) or (high is not None and value > high):
            raise InvalidInput(f"option {option.name} ({origin}) must be between {low} and {high}")
    return value


def _boolean(text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.strip().lower() not in known:
        raise ValueError(text)
    return known[text.strip().lower()]
