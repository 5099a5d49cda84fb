"""`fhir-twin deidentify`: Bundles and NDJSON to NDJSON without who they are about."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.changes import resources
from fhir_twin.fhir.deidentify import Mask, deidentify
from fhir_twin.fhir.encode import dump_json
from fhir_twin.transport.files import list_files, read_documents


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Years only, and ages of 90 and above as one group, is HIPAA's Safe Harbor; with --dates shift all dates of a "
        "person move by one number of days, which an expert has to determine to be enough. Read a sample first."
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE|DIR", help="Bundles or NDJSON, also .gz")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="one NDJSON file per type is put there"
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="secret of the ids (made when it is not there); "
                        "without one, nobody can link this export to another")  # fmt: skip
    parser.add_argument("--dates", choices=("year", "shift"), default="year", help="default: year")
    parser.add_argument("--as-of", metavar="DATE", help="for ages (default: today)")


def run(arguments: argparse.Namespace) -> int:
    today = date.fromisoformat(arguments.as_of) if arguments.as_of else datetime.now(UTC).date()
    mask = Mask(_key(arguments.key_file), today, arguments.dates)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if any(arguments.out.glob("*.ndjson")):
        raise InvalidInput("--out holds NDJSON files already; nothing is overwritten or mixed")
    kept: Counter[str] = Counter()
    left = bad = 0
    for document in read_documents(list_files(arguments.files)):
        if document.value is None:
            bad += 1
            continue
        whole = document.value
        for resource in resources(whole) if whole["resourceType"] == "Bundle" else (whole,):
            found = deidentify(resource, mask)
            if found is None:
                left += 1
                continue
            kept[found["resourceType"]] += 1
            with (arguments.out / f"{found['resourceType']}.ndjson").open("ab") as out:
                out.write(dump_json(found) + b"\n")
    for type_, rows in sorted(kept.items()):
        print(f"{rows:>10}  {type_}")
    print(
        f"{sum(kept.values()):>10}  kept; {left} of other types or without a person left out; {bad} unreadable"
    )
    return 0 if not bad else 1


def _key(path: Path | None) -> bytes:
    if path is None:
        return secrets.token_bytes(32)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
        print(f"a new key was put into {path}; keep it apart from the export", file=sys.stderr)
    key = path.read_bytes()
    if len(key) < 16:
        raise InvalidInput("the key file holds less than 16 bytes")
    return key
