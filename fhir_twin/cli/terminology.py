"""`fhir-twin terminology`: import, list, remove and inspect releases (SNOMED CT, LOINC, RxNorm are yours to bring)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, NotFound
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import release_folder
from terminology.importers.rows import BadRelease
from terminology.library import READERS, import_release, list_releases, remove_release
from terminology.store import open_terminology


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "terminology", "cache")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    bring = actions.add_parser(
        "import", help="read a release into the library; an interrupted import leaves nothing"
    )
    bring.add_argument("kind", choices=sorted(READERS), help="what the files are")
    bring.add_argument(
        "path", type=Path, help="the release: a folder, an archive or a file, as it was published"
    )
    actions.add_parser("list", help="the releases in the library")
    drop = actions.add_parser("remove", help="delete one release")
    drop.add_argument("system", help="URI of the code system")
    drop.add_argument("version")
    info = actions.add_parser("info", help="everything about one code")
    info.add_argument("system", help="URI of the code system")
    info.add_argument("code")


def run(arguments: argparse.Namespace) -> int:
    flags = {name: getattr(arguments, name) for name in ("terminology", "cache")}
    settings = load_settings(flags, file=arguments.settings)
    if arguments.action == "import":
        return _import(arguments, release_folder(settings))
    if arguments.action == "remove":
        if not remove_release(release_folder(settings), arguments.system, arguments.version):
            raise NotFound(
                "the library holds no such release; `fhir-twin terminology list` shows what it holds"
            )
        print("removed")
        return 0
    return _info(arguments, settings) if arguments.action == "info" else _list(settings)


def _import(arguments: argparse.Namespace, folder: Path) -> int:
    def told(rows: int) -> None:
        print(f"\r{rows:,} rows", end="", file=sys.stderr, flush=True)

    try:
        release, report, path = import_release(arguments.kind, arguments.path, folder, told)
    except BadRelease as error:
        raise InvalidInput(f"not a usable {arguments.kind} release: {error}") from None
    except OSError as error:
        raise InvalidInput(f"the release cannot be read: {error.strerror or type(error).__name__}") from None
    print(file=sys.stderr)
    print(f"{release.name} {release.version} ({release.system}) -> {path}")
    print(f"  {report.rows:,} rows, {report.defects} defective and left out")
    for line in report.messages:
        print(f"  {line}")
    return 0


def _list(settings: Settings) -> int:
    releases = list_releases(release_folder(settings))
    for release, path in releases:
        size = path.stat().st_size / 1e6
        print(
            f"{release.system}  {release.version}  {release.name}  {size:.0f} MB  {release.licence}".rstrip()
        )
    if not releases:
        print(
            "no releases imported; ICD-10-CM comes with the package and is imported at first use of the service"
        )
    return 0


def _info(arguments: argparse.Namespace, settings: Settings) -> int:
    opened = open_terminology(release_folder(settings))
    try:
        concept = opened.lookup(arguments.system, arguments.code)
    except LookupError:
        raise NotFound("no imported release of this system has that code") from None
    finally:
        opened.close()
    print(json.dumps(to_plain(concept), indent=1))
    return 0
