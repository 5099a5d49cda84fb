"""No pattern runs super-linearly (security.md: ReDoS): every one is timed on hostile text of two lengths."""

from __future__ import annotations

import importlib
import pkgutil
import time

import pytest

import terminology
from terminology.text.patterns import REGISTRY, pattern

for module in pkgutil.walk_packages(terminology.__path__, "terminology."):
    importlib.import_module(module.name)

HOSTILE = [
    "7",
    " ",
    "a",
    "a ",
    "1 mg ",
    "(",
    "((a",
    "a-",
    "a.",
    "<a",
    "&#",
    "<a ",
    "A00-",
    "10/",
    "\n",
    "l5-",
    ". ",
    "1.",
    ",;",
    "x(",
]


def _seconds(name: str, text: str) -> float:
    compiled = REGISTRY[name]
    best = 9.0
    for _ in range(3):
        begun = time.thread_time()
        compiled.search(text)
        for _found in compiled.finditer(text):
            pass
        compiled.fullmatch(text)
        best = min(best, time.thread_time() - begun)
    return best


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_twice_the_text_takes_about_twice_the_time(name: str) -> None:
    for piece in HOSTILE:
        short, long = ((piece * 20_000)[:size] for size in (10_000, 20_000))
        first, second = _seconds(name, short), _seconds(name, long)
        assert second < 0.2, (name, piece)
        assert second < 3.2 * first + 0.002, (name, piece, first, second)


def test_there_is_one_registry() -> None:
    assert len(REGISTRY) > 10
    with pytest.raises(ValueError, match="twice"):
        pattern("raw-token", "x")
