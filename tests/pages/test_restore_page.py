"""The page of a drill in a real browser: on a telephone and on a desk, light and dark."""

import pytest

from meshinstall.cli.output.restore_html import restore_html
from tests.fake_kube import NOON
from tests.pages.chromium import Tab, insist_on_readable
from tests.unit.cli.restores import DRILLED

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "drill.html"
    path.write_text(restore_html(DRILLED, NOON))
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_can_be_read_and_asks_nobody(browser: Tab, page: str, width: int, scheme: str) -> None:
    insist_on_readable(browser, page, width, scheme, "nothing is left")
