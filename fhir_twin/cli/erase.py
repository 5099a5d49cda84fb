"""`fhir-twin erase`: forget what is stored of a patient, or of all whom nobody has touched for long (retention)."""

from __future__ import annotations

import argparse
import getpass
import sys

from fhir_twin.actor import Actor, acting
from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput
from fhir_twin.model.audit import AuditNote
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.wiring_work import open_settings_store
from fhir_twin.worker.auditor import Auditor

SETTINGS = ("store", "tenant", "server")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Twin, fed record, waiting and finished work, and what the /fhir face serves of the patient are deleted; the "
        "audit is kept, with the erasure in it. The plan on the FHIR server is the server's: withdraw it there."
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--patient", nargs="+", default=[], metavar="ID")
    who.add_argument(
        "--idle-days",
        type=float,
        metavar="N",
        help="all whose twin nothing has touched for N days, and old work",
    )
    parser.add_argument("--by", default="", metavar="NAME", help="who does this (default: the login name)")
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="why (needed with --patient); kept in the audit"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    if arguments.patient and not arguments.reason.strip():
        raise InvalidInput("erasing a patient needs a reason: it stays in the audit")
    store = open_settings_store(settings)
    audit = Auditor(store, settings.text("server") or "urn:fhir-twin")
    patients = list(arguments.patient)
    if arguments.idle_days is not None:
        patients = store.twins.older_than(store.database.clock() - arguments.idle_days * 86400)
    reason = arguments.reason.strip() or f"retention: idle for {arguments.idle_days:g} days"
    with acting(Actor(arguments.by or getpass.getuser(), purpose="HOPERAT")):
        for patient in patients:
            if arguments.dry_run:
                print(f"{patient}: would be erased")
                continue
            found = store.erase_patient(patient)
            audit(AuditNote("erase", patient, detail=reason[:200]))
            told = ", ".join(f"{n} {name}" for name, n in found.items() if n) or "nothing was stored"
            print(f"{patient}: {told}")
    if arguments.idle_days is not None and not arguments.dry_run:
        gone = sum(Desk(q).purge(arguments.idle_days * 86400) for q in (store.jobs, store.outbox))
        print(f"{gone} finished pieces of work deleted", file=sys.stderr)
    store.close()
    return 0
