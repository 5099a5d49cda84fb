"""One Chromium and one service for all browser tests that do not need their own; skipped where there is no Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium (pip install -e '.[dev]')")
from chromium import Chromium, chromium, programs
from serving import Twin, twin

from fhir_twin.knowledge import Knowledge, load_knowledge


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = programs() is None
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if missing:
                item.add_marker(
                    pytest.mark.skip(
                        reason="needs Chromium and chromedriver (Debian: apt install chromium-driver)"
                    )
                )


@pytest.fixture(scope="session")
def all_knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def page_twin(tmp_path_factory: pytest.TempPathFactory, all_knowledge: Knowledge) -> Iterator[Twin]:
    with twin(tmp_path_factory.mktemp("twin"), all_knowledge) as found:
        yield found


@pytest.fixture(scope="session")
def only_browser(page_twin: Twin) -> Iterator[Chromium]:
    with chromium(page_twin.base) as found:
        yield found


@pytest.fixture(scope="session")
def strict_browser() -> Iterator[Chromium]:
    """One that blocks third-party cookies, for pages in frames."""
    blocking = ("--test-third-party-cookie-phaseout", "--block-third-party-cookies")
    with chromium("", arguments=blocking) as found:
        yield found


@pytest.fixture
def browser(only_browser: Chromium, page_twin: Twin) -> Iterator[Chromium]:
    """A clean slate: no cookies, empty logs, the usual window."""
    only_browser.base = page_twin.base
    only_browser.driver.delete_all_cookies()
    only_browser.driver.switch_to.default_content()
    only_browser.open("about:blank")
    only_browser.console()
    only_browser.foreign()
    yield only_browser
    only_browser.cdp("Emulation.clearDeviceMetricsOverride")
    only_browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
    only_browser.cdp("Emulation.setEmulatedMedia", media="")
