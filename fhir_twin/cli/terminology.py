"""`fhir-twin terminology`: import, list, remove and inspect releases (SNOMED CT, LOINC, RxNorm are yours to bring)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import Conflict, InvalidInput, NotFound
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import release_folder
from mappings import Source
from terminology.detect import kind_of
from terminology.finding import open_finder
from terminology.importers.rows import BadRelease
from terminology.library import READERS, import_release, list_releases, remove_release, unfinished
from terminology.store import Terminology, open_terminology

_KINDS = (
    "snomed (RF2 Snapshot or Full), loinc (csv), rxnorm (RRF), obo (DOID, Mondo, HPO ...), sssom (maps), fhir "
    "(CodeSystem, ValueSet, ConceptMap: file, folder or package .tgz), icd10cm (tabular XML), icd10cm-index "
    "(alphabetic index XML), gem (ICD-9-CM maps)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "terminology", "cache", "knowledge")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    bring = actions.add_parser(
        "import",
        help="read a release into the library; interrupted, it goes on where it stopped when started again",
        description=f"Kinds: {_KINDS}.",
    )
    bring.add_argument(
        "kind", choices=["auto", *sorted(READERS)], help="what the files are; auto looks at them"
    )
    bring.add_argument(
        "path", type=Path, help="the release: a folder, an archive or a file, as it was published"
    )
    actions.add_parser("list", help="the releases in the library, and imports that were interrupted")
    drop = actions.add_parser("remove", help="delete one release")
    drop.add_argument("system", help="URI of the code system, or the canonical of a package")
    drop.add_argument("version")
    info = actions.add_parser("info", help="everything about one code, or about one release")
    info.add_argument("system", help="URI of the code system")
    info.add_argument("code", nargs="?", help="without a code: what the library holds of that system")
    info.add_argument("--version", dest="of", default="", help="of which release (default: the newest)")
    find = actions.add_parser("find", help="concepts of a release that a text may mean, best first")
    find.add_argument("system", help="URI of the code system")
    find.add_argument("text", nargs="+")
    find.add_argument("--count", type=int, default=5, help="how many (default: 5)")
    find.add_argument("--version", dest="of", default="", help="of which release (default: the newest)")


def run(arguments: argparse.Namespace) -> int:
    flags = {name: getattr(arguments, name) for name in ("terminology", "cache", "knowledge")}
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
    if arguments.action == "find":
        return _find(arguments, settings)
    return _info(arguments, settings) if arguments.action == "info" else _list(settings)


def _find(arguments: argparse.Namespace, settings: Settings) -> int:
    opened = open_terminology(release_folder(settings))
    try:
        source = Source(overlay=settings.path("knowledge"))
        finder = open_finder(opened, arguments.system, source, settings.path("cache"), arguments.of)
        found = finder.find(" ".join(arguments.text), max(1, arguments.count))
        shown = [(f, opened.lookup(arguments.system, f.code, arguments.of).display) for f in found]
    except (LookupError, ValueError):
        raise NotFound("the library holds no release of this system with concepts in it") from None
    finally:
        opened.close()
    for hit, display in shown:
        print(f"{hit.score:.2f}\t{hit.code}\t{display}" + (f"\t({hit.term})" if hit.term != display else ""))
    if not shown:
        print("nothing shares a word with that text")
    return 0


def _import(arguments: argparse.Namespace, folder: Path) -> int:
    begun = time.monotonic()

    def told(rows: int) -> None:
        rate = rows / max(0.001, time.monotonic() - begun)
        print(f"\r{rows:,} rows, {rate:,.0f} a second", end="", file=sys.stderr, flush=True)

    kind = arguments.kind
    try:
        kind = kind_of(arguments.path) if kind == "auto" else kind
        release, report, path = import_release(kind, arguments.path, folder, told)
    except BadRelease as error:
        raise InvalidInput(f"not a usable {'' if kind == 'auto' else kind} release: {error}") from None
    except BlockingIOError:
        raise Conflict("another process is importing this release right now") from None
    except OSError as error:
        raise InvalidInput(f"the release cannot be read: {error.strerror or type(error).__name__}") from None
    print(file=sys.stderr)
    print(f"{release.name} {release.version} ({release.system}) -> {path}")
    print(f"  {report.rows:,} rows, {report.defects} defective and left out")
    for line in report.messages:
        print(f"  {line}")
    if report.defects > len(report.messages):
        print(f"  ... and {report.defects - len(report.messages)} more")
    return 0


def _list(settings: Settings) -> int:
    folder = release_folder(settings)
    releases = list_releases(folder)
    for release, path in releases:
        size = path.stat().st_size / 1e6
        print(
            f"{release.system}  {release.version}  {release.name}  {size:.0f} MB  {release.licence}".rstrip()
        )
    for path, rows in unfinished(folder):
        print(f"interrupted: {path.name} with {rows:,} rows; start the same import again to go on")
    if not releases:
        print(
            "no releases imported; ICD-10-CM comes with the package and is imported at first use of the service"
        )
    return 0


def _info(arguments: argparse.Namespace, settings: Settings) -> int:
    opened = open_terminology(release_folder(settings))
    try:
        if not arguments.code:
            return _about(opened, arguments.system)
        concept = opened.lookup(arguments.system, arguments.code, arguments.of)
        said = {
            **to_plain(concept),
            "successors": opened.successors(arguments.system, arguments.code, arguments.of),
        }
        said["maps"] = to_plain(opened.translate(arguments.system, concept.code))
    except LookupError:
        raise NotFound("no imported release of this system has that code") from None
    finally:
        opened.close()
    print(json.dumps({k: v for k, v in said.items() if v not in ((), [])}, indent=1))
    return 0


def _about(opened: Terminology, system: str) -> int:
    versions = opened.versions("CodeSystem", system)
    if not versions:
        raise NotFound("the library holds no release of this system")
    for version in versions:
        found = opened.system(system, version)
        total = found.page((), count=0).total if found else 0
        print(f"{system}  {version or '(no version)'}  {total:,} codes")
    return 0
