"""HL7's terminology ecosystem tests (HL7/fhir-tx-ecosystem-ig) against this service, or any R4 server.

    make tx-tests TX=DIR [MODES=general,snomed]

DIR is your copy of the tests: the folder with test-cases.json (`tests/` of a clone, or of the package
hl7.fhir.uv.tx-ecosystem). Nothing of it is shipped here. Each case is sent over a socket as the official runner does:
the setup resources as tx-resource parameters, the answer compared with the expected template.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tx_ecosystem.compare import FHIR_VERSION, Rules, difference  # noqa: E402
from tx_ecosystem.convert import from_r4, to_r4  # noqa: E402
from tx_ecosystem.older import older_forms  # noqa: E402
from tx_ecosystem.scrub import scrubbed as _scrubbed  # noqa: E402

Json = dict[str, Any]
PATHS = {
    "expand": "ValueSet/$expand", "validate-code": "ValueSet/$validate-code",
    "cs-validate-code": "CodeSystem/$validate-code", "lookup": "CodeSystem/$lookup",
    "translate": "ConceptMap/$translate", "subsumes": "CodeSystem/$subsumes",
    "batch-validate": "ValueSet/$batch-validate-code", "metadata": "metadata", "term-caps": "metadata?mode=terminology",
}  # fmt: skip


class Runner:
    def __init__(self, folder: Path, base: str, modes: frozenset[str], externals: Json) -> None:
        self.folder, self.base, self.modes, self.externals = folder, base.rstrip("/"), modes, externals
        self.session = requests.Session()
        self.older: list[str] = []

    def run(self, suite: Json, test: Json) -> str:
        """ "" when it passes, else what is wrong; `older` then names the later changes that alone make it so."""
        self.older = []
        operation = str(test.get("operation"))
        if operation not in PATHS:
            return f"operation {operation} is not served"
        reply = self._ask(suite, test, operation)
        expected_name = str(self._by_mode(test, "response"))
        expected = self.read(expected_name)
        wanted = str(test.get("http-code", ""))
        if wanted and not _status_fits(wanted, reply.status_code):
            return f"status {reply.status_code}, {wanted} expected"
        try:
            actual = from_r4(reply.json(), operation)
        except ValueError:
            return f"status {reply.status_code} and no JSON"
        pattern = operation in ("metadata", "term-caps")
        rules = Rules(self.modes, self.externals.get(expected_name, {}), pattern)
        wanted_answer, answer = _without(expected), _without(_scrubbed(actual, operation))
        found = difference(wanted_answer, answer, rules)
        if found:
            self.older = older_forms(
                answer, wanted_answer, lambda given, template: not difference(template, given, rules)
            )
        return found

    def _ask(self, suite: Json, test: Json, operation: str) -> requests.Response:
        url = f"{self.base}/{PATHS[operation]}"
        headers = {"Accept": "application/fhir+json"}
        language = test.get("Accept-Language") or test.get("Content-Language")
        if language:
            headers["Accept-Language"] = str(language)
        for header in test.get("header", []) if isinstance(test.get("header"), list) else []:
            headers[header["name"]] = header["value"]
        if operation in ("metadata", "term-caps"):
            return self.session.get(url, headers=headers, timeout=60)
        body = self.read(str(self._by_mode(test, "request")))
        parameters = list(body.get("parameter", []))
        if test.get("profile"):
            parameters += self.read(str(test["profile"])).get("parameter", [])
        if "lenient-display" in test:
            parameters.append(
                {"name": "lenient-display-validation", "valueBoolean": bool(test["lenient-display"])}
            )
        parameters += [
            {"name": "tx-resource", "resource": self.read(name)} for name in suite.get("setup") or ()
        ]
        sent = to_r4({"resourceType": "Parameters", "parameter": parameters})
        return self.session.post(url, json=sent, headers=headers, timeout=60)

    def _by_mode(self, test: Json, name: str) -> Any:
        return next(
            (test[f"{name}:{m}"] for m in sorted(self.modes) if f"{name}:{m}" in test), test.get(name)
        )

    def read(self, name: str) -> Json:
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(f"{name} leads out of the folder of the tests")
        found: Json = json.loads(path.read_text("utf-8-sig"))
        return found

    def applies(self, item: Json) -> bool:
        named = [m for key in ("mode", "modes") for m in str(item.get(key) or "").split(",") if m]
        version = str(item.get("version", ""))
        hidden = version.startswith("!") and FHIR_VERSION.startswith(version[1:])
        other = version and not version.startswith("!") and not FHIR_VERSION.startswith(version)
        return not item.get("disabled") and not hidden and not other and all(m in self.modes for m in named)


def _status_fits(wanted: str, status: int) -> bool:
    return str(status).startswith(wanted.rstrip("xX"))


def _without(resource: Json) -> Json:
    """What the official runner does not compare."""
    found = {k: v for k, v in resource.items() if k not in ("text", "id", "meta")}
    if found.get("resourceType") == "OperationOutcome":
        found.pop("extension", None)
    return found


@contextmanager
def served(releases: Path | None) -> Iterator[str]:
    """Our service on a free port of the loopback, on `releases` or an empty library."""
    from waitress.server import create_server

    from fhir_twin.knowledge import load_knowledge
    from fhir_twin.service import TwinService
    from fhir_twin.settings import load_settings
    from fhir_twin.web import create_app
    from terminology import open_terminology

    with tempfile.TemporaryDirectory() as empty:
        folder = releases or Path(empty)
        service = TwinService(None, None, load_knowledge())  # type: ignore[arg-type]
        app = create_app(service, load_settings({}, {}), lambda: open_terminology(folder))
        server = create_server(app, host="127.0.0.1", port=0, threads=4)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.effective_port}/fhir"
        finally:
            server.close()
            thread.join(timeout=5)


def run_all(
    folder: Path, base: str, modes: frozenset[str], externals: Json, wanted: str = "", out: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """(counts of passed, failed, other mode; a line per failure)."""
    runner = Runner(folder, base, modes, externals)
    counts: Counter[str] = Counter()
    failures = []
    for suite in runner.read("test-cases.json")["suites"]:
        for test in suite["tests"]:
            name = f"{suite['name']}/{test['name']}"
            if wanted not in name:
                continue
            if not (runner.applies(suite) and runner.applies(test)):
                counts["of another mode"] += 1
                continue
            try:
                problem = runner.run(suite, test)
            except (OSError, ValueError, KeyError) as error:
                problem = f"{type(error).__name__}: {error}"
            counts["failed" if problem else "passed"] += 1
            counts[f"{suite['name']}: {'failed' if problem else 'passed'}"] += 1
            if problem:
                later = runner.older
                counts["as later releases ask"] += bool(later)
                failures.append(f"{name}: " + (f"[{', '.join(later)}] " if later else "") + problem)
    if out:
        out.write_text("\n".join(failures) + "\n", "utf-8")
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with test-cases.json")
    parser.add_argument(
        "--server", help="base URL of an R4 server (default: this service, started for the run)"
    )
    parser.add_argument(
        "--releases", type=Path, help="folder of imported releases (for the modes snomed ...)"
    )
    parser.add_argument("--modes", default="general", help="comma-separated; general,flat ...")
    parser.add_argument(
        "--externals", type=Path, help="the server's own words, as in messages-tx.fhir.org.json"
    )
    parser.add_argument("--filter", default="", help="only tests whose suite/name contains this")
    parser.add_argument("--verbose", "-v", action="store_true", help="say what is wrong with each failure")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if not (folder / "test-cases.json").exists() and (folder / "tests" / "test-cases.json").exists():
        folder = folder / "tests"
    if not (folder / "test-cases.json").exists():
        print(f"no test-cases.json in {folder}", file=sys.stderr)
        return 2
    externals = json.loads(arguments.externals.read_text("utf-8-sig")) if arguments.externals else {}
    modes = frozenset(arguments.modes.split(","))
    if arguments.server:
        counts, failures = run_all(folder, arguments.server, modes, externals, arguments.filter)
    else:
        with served(arguments.releases) as base:
            counts, failures = run_all(folder, base, modes, externals, arguments.filter)
    for line in failures:
        print(f"FAIL  {line if arguments.verbose else line.partition(': ')[0]}")
    total = counts["passed"] + counts["failed"]
    for suite in dict.fromkeys(k.rpartition(":")[0] for k in counts if ":" in k):
        passed, failed = counts[f"{suite}: passed"], counts[f"{suite}: failed"]
        print(f"{suite:<24} {passed:>4} of {passed + failed}")
    print(f"modes {arguments.modes}: {counts['of another mode']} cases of another mode were not run")
    later = counts["as later releases ask"]
    if later:
        share = 100 * (counts["passed"] + later) / total
        print(
            f"{later} of those that failed differ only by what later releases of the tests changed, which we follow"
        )
        print(f"passed but for that: {counts['passed'] + later} of {total} ({share:.1f} %)")
    print(f"passed {counts['passed']} of {total} ({100 * counts['passed'] / max(1, total):.1f} %)")
    return 0 if counts["failed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
