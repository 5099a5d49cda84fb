"""No PHI leaks by the page: a patient full of planted words goes through every view and every form; no log line, no
address and no error page may hold one of them (security.md 65)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_house_canary import CANARY, NUMBER, canary_bundle, clean, heard, knowledge

from fhir_twin.knowledge import Knowledge
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.transport.pull import Fetched
from fhir_twin.web import create_app

__all__ = ["heard", "knowledge"]
HERE: dict[str, Any] = {"base_url": "http://127.0.0.1", "headers": {"Accept": "text/html"}}


class Records:
    """A source with the one patient; everything else about it fails."""

    base = "https://ehr.example/fhir"

    def patients(self) -> Iterator[str]:
        return iter((f"{CANARY}-1",))

    def find(self, system: str, value: str) -> str:
        raise AssertionError

    def fetch(self, patient: str) -> Fetched:
        if patient != f"{CANARY}-1":
            raise ValueError(f"{patient} {NUMBER}")
        return Fetched(canary_bundle(), (), (), patient=patient)


class Refusing:
    """A sink whose server always fails, with an error that quotes."""

    def write(self, patient: str, bundle: Any, *, dry_run: bool = False) -> Any:
        raise ValueError(f"{patient} {NUMBER}")

    def preview(self, patient: str, bundle: Any) -> Any:
        raise ValueError(f"{patient} {NUMBER}")

    def held(self, patient: str) -> Any:
        raise ValueError(f"{patient} {NUMBER}")

    def change(self, patient: str, changes: Any, provenance: Any) -> Any:
        raise ValueError(f"{patient} {NUMBER}")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_page_logs_nothing_and_names_nobody_in_addresses(
    knowledge: Knowledge,
    heard: io.StringIO,
    tmp_path: Path,
) -> None:
    settings = load_settings({"cache": str(tmp_path), "log_level": "DEBUG"}, {})
    app = create_app(TwinService(Records(), Refusing(), knowledge), settings)  # type: ignore[arg-type]
    client = app.test_client()
    listing = client.post("/", data={"q": CANARY}, **HERE)
    assert CANARY in listing.get_data(as_text=True)
    opened = client.post("/open", data={"patient": f"{CANARY}-1"}, **HERE)
    url = opened.headers["Location"]
    assert clean(url)
    page = client.get(url, **HERE)
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert CANARY in text, "the page itself is for the person who may read it"
    assert all(clean(address) for address in _addresses(text) if "/patients/" not in address)
    token = text.split('name="csrf_token" value="')[1].split('"')[0]
    forms: list[tuple[str, dict[str, str]]] = [
        ("decide", {"item": CANARY, "action": "accept"}),
        ("what-if", {"w-statin": CANARY}),
        ("goal", {"words": CANARY, "value": NUMBER, "measure": "sbp"}),
        ("goal", {"source": f"Goal/{CANARY}", "words": CANARY}),
        ("preferences", {"preference": CANARY}),
        ("correct", {"key": CANARY, "other": CANARY}),
        ("write", {"token": CANARY}),
    ]
    for path, form in forms:
        answer = client.post(url + path, data={**form, "csrf_token": token}, **HERE)
        assert clean(answer.headers.get("Location", ""))
        assert "Traceback" not in answer.get_data(as_text=True)
    broken = client.get(url + "review", **HERE)
    assert broken.status_code == 500
    assert clean(broken.get_data(as_text=True))
    other = client.post("/open", data={"patient": f"{CANARY}-2"}, **HERE)
    failed = client.get(other.headers["Location"], **HERE)
    assert failed.status_code == 500
    assert clean(failed.get_data(as_text=True))
    assert clean(heard.getvalue())
    assert "Traceback" not in heard.getvalue()


def _addresses(text: str) -> list[str]:
    return [part.split('"')[0] for key in ('href="', 'action="', 'src="') for part in text.split(key)[1:]]
