"""Settings of several tenants: a folder of TOML files, NAME.toml for each FHIR server."""

from __future__ import annotations

import re
from pathlib import Path

from fhir_twin.errors import InvalidInput
from fhir_twin.settings import Settings, load_settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
# What belongs to the process and not to a tenant.
SHARED = ("host", "port", "workers", "worker_threads", "log_level", "knowledge", "max_body")


def tenant_settings(folder: Path, common: Settings) -> dict[str, Settings]:
    """name -> its settings. The environment and flags give only what belongs to the process: else one FHIR_TWIN_TOKEN
    would be everybody's. Cache, store and sessions are the tenant's own unless its file names others; two tenants
    must not name the same session store. Raises InvalidInput."""
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not files:
        raise InvalidInput("the tenants folder holds no NAME.toml")
    found = {}
    for path in files:
        name = path.stem
        if not _NAME.match(name):
            raise InvalidInput("a tenant's file is named by 1 to 63 of a-z, 0-9, _ and -, then .toml")
        flags: dict[str, object] = {n: common[n] for n in SHARED if common.origin(n) != "default"}
        own = load_settings({**flags, "tenant": name}, {}, path)
        if own.text("server") == "":
            raise InvalidInput(f"the tenant {name} names no server")
        if own.origin("tenants") != "default":
            raise InvalidInput(f"the tenant {name} cannot have tenants")
        defaults = {
            "store": str(folder / name / "store.db"),
            "session_store": f"sqlite:///{(folder / name / 'sessions.db').absolute()}",
            "key_folder": str(folder / name / "keys"),
            "secret_key_file": "",
        }
        given = {k: v for k, v in defaults.items() if own.origin(k) == "default" and v}
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        found[name] = load_settings({**flags, **given, "tenant": name}, {}, path)
    sessions = [s.text("session_store") for s in found.values()]
    if len(set(sessions)) != len(sessions):
        raise InvalidInput("two tenants name the same session store")
    return found
