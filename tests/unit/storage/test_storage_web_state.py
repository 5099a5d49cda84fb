"""The sealed store of launches and sessions (SS-1, SL-2, SL-14)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_twin.errors import InvalidInput, LoginRequired
from fhir_twin.storage.feedback import Feedback, FeedbackStore
from fhir_twin.storage.open_web import open_web_state
from fhir_twin.storage.sealing import Sealer, own_key, read_keys
from fhir_twin.storage.web_state import WebState

KEY = "a-key-of-enough-length"


@pytest.fixture
def state(tmp_path: Path, store_url: str) -> Iterator[WebState]:
    """On both kinds of database."""
    url = store_url if "://" in store_url else f"sqlite:///{store_url}"
    opened = open_web_state(url, tmp_path, (KEY,))
    yield opened
    opened.engine.dispose()


def test_a_value_is_taken_once_however_many_ask(state: WebState) -> None:
    state.put("launch", "s", {"x": 1}, now=0, expires=100)
    got: list[object] = []
    threads = [
        threading.Thread(target=lambda: got.append(state.take("launch", "s", now=1))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, got)) == ["None"] * 7 + ["{'x': 1}"]


def test_of_two_that_replace_one_wins(state: WebState) -> None:
    state.put("session", "s", {"n": 0}, now=0, expires=100)
    kept = state.get("session", "s", now=1)
    assert kept is not None
    assert state.replace("session", "s", {"n": 1}, version=kept.version, now=1, expires=100)
    assert not state.replace("session", "s", {"n": 2}, version=kept.version, now=1, expires=100)
    again = state.get("session", "s", now=1)
    assert again is not None
    assert again.value == {"n": 1}


def test_values_expire_and_are_swept(state: WebState) -> None:
    state.put("jti", "a", {}, now=0, expires=10)
    assert not state.put("jti", "a", {}, now=0, expires=10), "a second one of the name is refused"
    assert state.get("jti", "a", now=10) is None
    assert state.sweep(now=10) == 1
    state.put_many("card", [("1", {}), ("2", {})], now=0, expires=10)
    assert not state.put_many("card", [("3", {}), ("2", {})], now=0, expires=10)
    assert state.get("card", "3", now=1) is None, "all or none"


def test_feedback_is_stored_once(state: WebState) -> None:
    """D10."""
    store = FeedbackStore(state.engine, state.sealer)
    given = Feedback(
        "c", "overridden", "2026-01-01T00:00:00Z", "i", "s", store.subject_of("b", "p"), ("a:1", "b:2")
    )
    assert store.add(given, now=100)
    assert not store.add(given, now=200)
    assert store.answered(("b",), "p", since=0) == {"a:1": 100.0, "b:2": 100.0}
    assert store.answered(("b",), "p", since=100) == {}
    assert store.answered(("b",), "q", since=0) == {}
    assert store.all()[0]["detail"] == {}


def test_a_url_of_another_kind_is_refused_without_its_password(tmp_path: Path) -> None:
    for url in ("mysql://u:secret@h/d", "nonsense", "postgresql://u:secret@:x/"):
        with pytest.raises(InvalidInput) as caught:
            open_web_state(url, tmp_path, (KEY,))
        assert "secret" not in caught.value.message


def test_names_and_values_are_not_readable(tmp_path: Path) -> None:
    state = open_web_state("", tmp_path, (KEY,))
    state.put("session", "tag-Zyxquin", {"patient": "Zyxquin"}, now=0, expires=10)
    stored = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"Zyxquin" not in stored


def test_a_new_key_opens_what_the_old_one_sealed(tmp_path: Path) -> None:
    open_web_state("", tmp_path, (KEY,)).put("session", "s", {"n": 1}, now=0, expires=10)
    rotated = open_web_state("", tmp_path, ("a-newer-key-of-enough-length", KEY))
    found = rotated.get("session", "s", now=1)
    assert found is not None
    assert rotated.replace("session", "s", {"n": 2}, version=found.version, now=1, expires=10)
    assert open_web_state("", tmp_path, ("quite-another-key-of-length",)).get("session", "s", now=1) is None


_OPEN = """
import sys
from pathlib import Path
from fhir_twin.storage.open_web import open_web_state
url, folder, number = sys.argv[1:]
state = open_web_state(url, Path(folder), ("a-key-of-enough-length",))
for i in range(20):
    assert state.put("launch", f"{number}-{i}", {"n": i}, now=0, expires=100)
"""


def test_processes_that_begin_at_once_do_not_get_in_each_others_way(tmp_path: Path, store_url: str) -> None:
    url = store_url if "://" in store_url else f"sqlite:///{store_url}"
    command = [sys.executable, "-c", _OPEN, url, str(tmp_path)]
    started = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)]
    for process in started:
        assert process.wait(60) == 0, process.communicate()[1]
        process.communicate()
    state = open_web_state(url, tmp_path, (KEY,))
    assert all(state.get("launch", f"{n}-{i}", now=1) for n in range(4) for i in range(20))
    state.engine.dispose()


def test_keys_are_checked() -> None:
    sealer = Sealer((KEY,))
    assert sealer.open(sealer.seal(b"x")) == b"x"
    with pytest.raises(LoginRequired):
        sealer.open(sealer.seal(b"x")[:-2] + b"AA")
    for keys in ((), ("short",)):
        with pytest.raises(InvalidInput):
            Sealer(keys)


def test_our_own_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(own_key(tmp_path / "k"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert (tmp_path / "k" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "k").iterdir()] == ["secret.key"]


def test_key_lists(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# newest first\nfirst-key-of-length-20\n\nsecond-key-of-length\n", "utf-8")
    assert read_keys("", file) == ("first-key-of-length-20", "second-key-of-length")
    assert read_keys("a, b", None) == ("a", "b")
    with pytest.raises(InvalidInput):
        read_keys("a", file)
    with pytest.raises(InvalidInput):
        read_keys("", tmp_path / "none")
