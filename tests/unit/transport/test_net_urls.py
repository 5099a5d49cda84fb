"""Security 5.3 rows 3, 4, 6, 12, 40; F2; SS-2: what may be called with the token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_twin.errors import Forbidden, InvalidInput, TwinError
from fhir_twin.transport.urls import local_reference, next_of, parse_base, target_of

BASE = parse_base("https://fhir.example.org/tenant/fhir/")


@pytest.mark.parametrize(
    ("given_", "normal"),
    [
        ("HTTPS://FHIR.Example.org:443/r4/", "https://fhir.example.org/r4"),
        ("http://127.0.0.1:8080/fhir", "http://127.0.0.1:8080/fhir"),
        ("http://[::1]:8080/fhir", "http://[::1]:8080/fhir"),
        ("http://host.", "http://host"),
    ],
)
def test_base_is_normalised(given_: str, normal: str) -> None:
    assert parse_base(given_).text == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fhir.example.org/fhir",
        "ftp://fhir.example.org/fhir",
        "file:///etc/passwd",
        "https://good.example@evil/",
        "https://good.example\\@127.0.0.1/",
        "https://good\t.example/",
        "https://good.example/fhir\n",
        "https://good.example /fhir",
        "https://gооd.example/fhir",  # Cyrillic o
        "https://good.example/fhir?x=1",
        "https://good.example/fhir#x",
        "https://good.example/fhir/../admin",
        "https://good.example/fhir/%2e%2e/admin",
        "https://good.example/%252e%252e/admin",
        "https://good.example:99999/fhir",
        "https://good.example:0/fhir",
        "https:///fhir",
        "https://good.example/" + "a" * 9000,
    ],
)
def test_bad_bases_are_refused_without_quoting_them(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_base(url)
    assert not url or url not in caught.value.message
    assert "evil" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("metadata", "https://fhir.example.org/tenant/fhir/metadata"),
        ("", "https://fhir.example.org/tenant/fhir"),
        ("?_getpages=abc&_count=2", "https://fhir.example.org/tenant/fhir?_getpages=abc&_count=2"),
        ("Observation?code=a%7Cb", "https://fhir.example.org/tenant/fhir/Observation?code=a%7Cb"),
        ("https://FHIR.example.org:443/other?page=2", "https://fhir.example.org/other?page=2"),
        ("/page/2", "https://fhir.example.org/page/2"),
        (
            "https://fhir.example.org/tenant/fhir?q=http://x/../y",
            "https://fhir.example.org/tenant/fhir?q=http://x/../y",
        ),
    ],
)
def test_targets_on_the_own_origin(url: str, called: str) -> None:
    assert target_of(BASE, url) == called


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/tenant/fhir/Patient",
        "http://fhir.example.org/tenant/fhir/Patient",
        "https://fhir.example.org:8443/tenant/fhir",
        "//evil.example/tenant/fhir",
        "https://fhir.example.org.evil.example/fhir",
        "https://fhir.example.org@evil.example/",
        "https://fhir.example.org\\@evil.example/",
        "https://fhir.example.org/tenant/fhir/../admin",
        "https://fhir.example.org/tenant/fhir/%2e%2e/admin",
        "Patient/../../admin",
        "\\\\evil.example\\x",
        "gopher://evil.example/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(TwinError):
        target_of(BASE, url)


def test_next_behind_a_proxy_is_asked_of_our_own_server() -> None:
    """F2: same path, other host or scheme."""
    url, rewritten = next_of(BASE, "http://inner:8080/tenant/fhir?_getpages=1")
    assert (url, rewritten) == ("https://fhir.example.org/tenant/fhir?_getpages=1", True)
    assert next_of(BASE, "https://fhir.example.org/elsewhere?p=2") == (
        "https://fhir.example.org/elsewhere?p=2",
        False,
    )


@pytest.mark.parametrize(
    "url", ["https://evil.example/x?p=2", "https://evil.example/tenant/fhirx", "//evil.example/"]
)
def test_next_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        next_of(BASE, url)


def test_a_base_without_a_path_proves_nothing() -> None:
    with pytest.raises(Forbidden):
        next_of(parse_base("https://fhir.example.org"), "https://evil.example/Patient?p=2")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_target_ever_leaves_the_origin(text: str) -> None:
    for url in (text, "https://" + text, "//" + text, "Patient/" + text):
        try:
            called = next_of(BASE, url)[0]
        except TwinError:
            continue
        assert called == BASE.origin or called.startswith(BASE.origin + "/")


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Patient/1", ("Patient", "1")),
        ("Patient/1/_history/2", ("Patient", "1")),
        ("https://fhir.example.org/tenant/fhir/Patient/1", ("Patient", "1")),
        ("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", None),
        ("#med", None),
        ("Patient/../Patient/2", None),
        ("https://evil.example/fhir/Patient/1", None),
        ("Patient?identifier=a|b", None),
        ("", None),
    ],
)
def test_local_references(reference: str, found: tuple[str, str] | None) -> None:
    assert local_reference(BASE, reference) == found
