"""One browser for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.pages.chromium import Tab, tab


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("chromium")) as found:
        for domain in ("Page", "Network", "Runtime", "Log"):
            found.do(f"{domain}.enable")
        yield found
