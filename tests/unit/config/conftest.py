"""A real helm, and Istio's charts as text."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.config.project import Project, load_project
from meshinstall.model.chart import ChartFiles


@pytest.fixture(scope="session")
def helm4(build_part: Callable[[str], Path]) -> Path:
    """Path of helm 4; the part's folder is named by what it was built from."""
    return build_part("helm4") / "helm"


@pytest.fixture(scope="session")
def charts(build_part: Callable[[str], Path]) -> Mapping[str, ChartFiles]:
    """What each of Istio's charts says about itself, by the chart's name."""
    return {archive.name.rsplit("-", 1)[0]: read_chart(archive) for archive in build_part("charts").glob("*.tgz")}


@pytest.fixture
def builtin(tmp_path: Path) -> Project:
    """The configuration without any file of a user."""
    return load_project(None, {}, tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Writes files, by path, into an empty folder and returns it."""

    def all_of(files: Mapping[str, str]) -> Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return all_of
