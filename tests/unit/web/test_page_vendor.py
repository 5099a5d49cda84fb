"""What is vendored is what it says: checksum and licence beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", ["fhir_twin/web/static/vendor", "tests/browser/vendor"])
def test_checksums_and_licences(folder: str) -> None:
    here = ROOT / folder
    listed = dict(reversed(line.split()) for line in (here / "SHA256SUMS").read_text("utf-8").splitlines())
    assert listed
    for name, checksum in listed.items():
        assert hashlib.sha256((here / name).read_bytes()).hexdigest() == checksum
    others = {p.name for p in here.iterdir()} - set(listed) - {"SHA256SUMS"}
    assert others
    assert all("LICENSE" in name for name in others)
