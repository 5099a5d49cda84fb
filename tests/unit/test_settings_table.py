"""Settings: precedence, refusal, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.settings import OPTIONS, load_settings


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("port = 1\nhost = 'file'\nthreads = 5\n", "utf-8")
    s = load_settings({"port": 3}, {"FHIR_TWIN_PORT": "2", "FHIR_TWIN_HOST": "env"}, file)
    assert (s.integer("port"), s.text("host"), s.integer("threads")) == (3, "env", 5)
    assert [s.origin(n) for n in ("port", "host", "threads", "server")] == [
        "flag",
        "environment",
        "file",
        "default",
    ]


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        ({"prt": 1}, {}, "prt"),
        ({}, {"FHIR_TWIN_PRT": "1"}, "prt"),
        ({"port": "x"}, {}, "port"),
        ({"port": 70000}, {}, "port"),
        ({"timeout": "nan"}, {}, "timeout"),
        ({"write": "maybe"}, {}, "write"),
    ],
)
def test_what_is_wrong_is_refused_by_name(flags: dict, environment: dict, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        load_settings(flags, environment)


def test_an_error_never_quotes_a_secret() -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings({"timeout": "hunter2"}, {})
    assert "hunter2" not in str(caught.value)
    assert load_settings({"token": "hunter2"}, {}).shown()["token"] == "***"


def test_a_missing_or_broken_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_settings({}, {}, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3", "utf-8")
    with pytest.raises(InvalidInput, match="not valid TOML"):
        load_settings({}, {}, tmp_path / "bad.toml")


def test_every_default_is_within_its_own_bounds() -> None:
    load_settings({o.name: o.default for o in OPTIONS if o.default not in ("", None)}, {})


def test_boolean_words() -> None:
    assert load_settings({}, {"FHIR_TWIN_WRITE": "off"}).flag("write") is False
    assert load_settings({}, {"FHIR_TWIN_POST_SEARCH": "Yes"}).flag("post_search") is True
