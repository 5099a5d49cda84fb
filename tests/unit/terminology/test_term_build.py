"""The cache: built once, atomic, safe to interrupt and for two processes; damaged entries are rebuilt; light import."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from terminology import build


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.ensure(tmp_path, "a", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_entry_is_not_built_again(tmp_path: Path) -> None:
    calls: list[Path] = []
    for _ in range(2):
        build.ensure(tmp_path, "a", calls.append)
    assert len(calls) == 1


def test_a_torn_entry_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rubbish").write_text("x")
    folder = build.ensure(tmp_path, "a", lambda f: (f / "good").write_text("y"))  # type: ignore[func-returns-value]
    assert sorted(p.name for p in folder.iterdir()) == ["complete", "good"]


def _slow(folder: Path) -> None:
    import time

    (folder / "one").write_text("1")
    time.sleep(0.3)
    (folder / "two").write_text("2")


def _ensure(path: str) -> None:
    build.ensure(Path(path), "a", _slow)


def test_two_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_ensure, args=(str(tmp_path),)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(20)
    assert [p.exitcode for p in both] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["complete", "one", "two"]


def test_key_depends_on_every_part() -> None:
    keys = {build.key(p) for p in ([b"a", b"b"], [b"ab"], [b"a"], [b"b", b"a"])}
    assert len(keys) == 4


def test_import_is_light() -> None:
    script = "import sys, terminology; print([m for m in ('numpy', 'sklearn', 'flask', 'lxml', 'requests') if m in sys.modules])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
