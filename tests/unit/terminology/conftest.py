"""One coder for all terminology tests; its index is built once into the user's cache."""

from __future__ import annotations

import pytest

from mappings import Source
from terminology import TextCoder, open_coder


@pytest.fixture(scope="session")
def coder() -> TextCoder:
    return open_coder(Source())
