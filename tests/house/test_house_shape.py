"""The house keeps its shape: sizes, names, light imports, docs against code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_twin.settings import OPTIONS

ROOT = Path(__file__).parents[2]
PACKAGES = ("fhir_twin", "terminology", "mappings")
MODULES = sorted(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_under_300_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < 300


def test_no_module_is_called_utils() -> None:
    banned = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [p for p in MODULES if p.stem in banned] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_and_public_function_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), "the module has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_silent_pass(path: Path) -> None:
    """An `except` whose whole body is `pass` loses an error."""
    silent = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
    ]
    assert silent == []


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import fhir_twin", "import terminology", "from fhir_twin.cli import build_parser; build_parser()"],
)
def test_imports_are_light(statement: str) -> None:
    heavy = {"flask", "sklearn", "pyspark", "requests", "fhir.resources", "scipy", "pandas"}
    assert _modules_after(statement) & heavy == set()


def test_the_settings_page_shows_every_option() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    missing = [o.name for o in OPTIONS if f"`{o.name}`" not in page or o.help not in page]
    assert missing == [], "run `make docs`"


def test_nothing_in_the_product_needs_the_reference_folder() -> None:
    hits = [p for p in MODULES if "/work/" in p.read_text("utf-8") or "../shared" in p.read_text("utf-8")]
    assert hits == []


def test_the_top_level_is_what_the_user_fixed() -> None:
    for name in ("setup.cfg", "README.md", "fhir_twin", "terminology", "mappings", "tests", "Dockerfile"):
        assert (ROOT / name).exists(), name


def test_the_model_library_is_used_at_one_place_only() -> None:
    """fhir.resources is slow and lossy (MDL-4..7): only fhir/validate.py may know it."""
    users = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[:2] == ["fhir", "resources"] for name in names):
                users.add(str(path.relative_to(ROOT)))
    assert users <= {"fhir_twin/fhir/validate.py"}
