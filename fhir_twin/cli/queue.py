"""`fhir-twin queue`: list, show, replay, skip and purge accepted work (jobs) and what is to be sent (outbox)."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import datetime
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import STATES, Row
from fhir_twin.wiring_work import open_settings_store

SETTINGS = ("store", "tenant")
BOXES = ("jobs", "outbox")
_SHOWN = (
    "id", "kind", "lane", "key", "state", "blocks", "attempts", "crashes", "accepted", "due", "finished", "reason",
    "signed", "parent", "meta", "size",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Lists show no message text; `show` prints bodies, which hold patient data. Dead letters stay until somebody "
        "replays or skips them."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("list", "how much there is, and the rows that want attention"),
        ("show", "one entry, with its body, and what was sent and answered"),
        ("replay", "do it again, byte for byte"),
        ("skip", "give up on one entry, so that what waits behind it goes on"),
        ("purge", "delete entries that were done or skipped long ago"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument(
            "--box", choices=BOXES, default=None if name == "list" else "jobs", help="which queue"
        )
        action.add_argument("--json", action="store_true", help="print JSON")
        add_settings(action, *SETTINGS)
        _ADD[name](action)


def _add_list(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--state", choices=(*STATES, "all"), action="append", help="default: queued, running and dead"
    )
    action.add_argument("--lane", default="", help='only this lane ("Patient/123")')
    action.add_argument("--kind", default="", help="only this kind of work")
    action.add_argument("--after", type=int, default=0, metavar="ID", help="only entries after this one")
    action.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")


def _add_show(action: argparse.ArgumentParser) -> None:
    action.add_argument("id", type=int)
    action.add_argument("--save", type=Path, metavar="FILE", help="write the body, byte for byte, to a file")


def _add_signed(action: argparse.ArgumentParser) -> None:
    action.add_argument("id", type=int, nargs="+")
    action.add_argument("--by", default="", metavar="NAME", help="who does this (default: the login name)")


def _add_replay(action: argparse.ArgumentParser) -> None:
    _add_signed(action)
    action.add_argument("--force", action="store_true", help="also when it is done, or a later one is")


def _add_skip(action: argparse.ArgumentParser) -> None:
    _add_signed(action)
    action.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays in the record")


def _add_purge(action: argparse.ArgumentParser) -> None:
    action.add_argument("--days", type=float, default=30.0, help="older than this many days (default: 30)")


_ADD = {"list": _add_list, "show": _add_show, "replay": _add_replay, "skip": _add_skip, "purge": _add_purge}


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    store = open_settings_store(settings)
    try:
        return _RUN[arguments.action](arguments, store)
    finally:
        store.close()


def _desk(store: Store, box: str) -> Desk:
    return Desk(store.jobs if box == "jobs" else store.outbox)


def _list(arguments: argparse.Namespace, store: Store) -> int:
    states = tuple(arguments.state or ("queued", "running", "dead"))
    states = () if "all" in states else states
    shown: dict[str, object] = {}
    for box in (arguments.box,) if arguments.box else BOXES:
        desk = _desk(store, box)
        counts = desk.counts()
        rows = desk.rows(
            states, lane=arguments.lane, kind=arguments.kind, after=arguments.after, limit=arguments.limit
        )
        if arguments.json:
            shown[box] = {
                "counts": counts.states,
                "blocked": counts.blocked,
                "rows": [_plain(r) for r in rows],
            }
            continue
        told = ", ".join(f"{counts.states[s]} {s}" for s in STATES if s in counts.states) or "empty"
        waiting = f"; oldest waits {counts.oldest:.0f} s" if counts.oldest >= 1 else ""
        print(f"{box}: {told}; {counts.blocked} blocked behind a dead letter{waiting}")
        for row in rows:
            print("  " + _line(row))
    if arguments.json:
        print(json.dumps(shown, indent=1))
    return 0


def _show(arguments: argparse.Namespace, store: Store) -> int:
    row = _desk(store, arguments.box).row(arguments.id)
    if arguments.save is not None:
        try:
            arguments.save.write_bytes(row.body)
        except OSError as error:
            raise InvalidInput(f"{arguments.save} cannot be written: {error.strerror}") from None
    parts = {name: _text(getattr(row, name)) for name in ("body", "request", "reply") if getattr(row, name)}
    if arguments.json:
        print(json.dumps({**_plain(row), **parts}, indent=1))
        return 0
    for name, value in _plain(row).items():
        print(f"{name:10} {value}")
    for name, text in parts.items():
        print(f"--- {name} ({len(getattr(row, name))} bytes)\n{text}")
    return 0


def _replay(arguments: argparse.Namespace, store: Store) -> int:
    desk = _desk(store, arguments.box)
    for id_ in arguments.id:
        new = desk.replay(id_, arguments.by or getpass.getuser(), force=arguments.force)
        print(f"entry {id_} will be done again" + (f" as entry {new}" if new != id_ else ""))
    return 0


def _skip(arguments: argparse.Namespace, store: Store) -> int:
    desk = _desk(store, arguments.box)
    for id_ in arguments.id:
        desk.skip(id_, arguments.by or getpass.getuser(), arguments.reason)
        print(f"entry {id_} is skipped; what waited behind it goes on")
    return 0


def _purge(arguments: argparse.Namespace, store: Store) -> int:
    gone = _desk(store, arguments.box).purge(arguments.days * 86400)
    print(f"{gone} entries deleted from {arguments.box}", file=sys.stderr)
    return 0


_RUN = {"list": _list, "show": _show, "replay": _replay, "skip": _skip, "purge": _purge}


def _line(row: Row) -> str:
    """One row without anything of its body."""
    about = " ".join(row.meta.values())
    tries = f" tries {row.attempts}" if row.attempts else ""
    why = f" - {row.reason}" if row.reason else ""
    when = f"{row.accepted:%Y-%m-%d %H:%M:%S}"
    return f"{row.id:>7} {row.state:8} {row.kind} {row.lane or '-'} {when} {about}{tries}{why}"


def _plain(row: Row) -> dict[str, object]:
    values = {n: getattr(row, n) for n in _SHOWN}
    return {
        n: v.isoformat() if isinstance(v, datetime) else v
        for n, v in values.items()
        if v not in ("", None, {})
    }


def _text(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")
