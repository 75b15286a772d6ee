"""Real helms, Istio's real charts and a real registry; and small servers that misbehave."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from meshinstall.adapters.charts.store import ChartStore
from meshinstall.ports import Charts
from tests.contracts.servers import QuietHandler, Respond, serving

DEMO_VERSIONS = ("1.2.3", "1.2.10", "1.3.0-rc.1", "1.2.4+build.7", "2.0.0")


@pytest.fixture(autouse=True)
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def helm4(build_part: Callable[[str], Path]) -> Path:
    """The helm 4 program."""
    return build_part("helm4") / "helm"


@pytest.fixture(scope="session")
def helm3(build_part: Callable[[str], Path]) -> Path:
    """The helm 3 program."""
    return build_part("helm3") / "helm"


@pytest.fixture(scope="session")
def charts_dir(build_part: Callable[[str], Path]) -> Path:
    """Folder with Istio's charts as archives."""
    return build_part("charts")


@pytest.fixture(scope="session")
def registry(build_part: Callable[[str], Path]) -> Iterator[str]:
    """host:port of a real OCI registry, empty at first."""
    program = build_part("registry") / "registry"
    with subprocess.Popen([program, "-port", "0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        port = next(found[1] for line in process.stderr if (found := re.search(r"serving on port (\d+)", line)))
        # Its log goes on; a full pipe would stop it.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield f"localhost:{port}"
        process.terminate()
        drain.join()


@pytest.fixture(autouse=True)
def no_credentials_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no login of the person who runs them."""
    for name in ("HELM_REGISTRY_CONFIG", "REGISTRY_AUTH_FILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HELM_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "no-credentials"))


@pytest.fixture
def said() -> list[str]:
    """What the store told the user."""
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Charts:
    """A store with an empty cache."""
    return ChartStore(tmp_path / "cache", said.append, seconds=20)


@pytest.fixture(scope="session")
def serve_folder() -> Iterator[Callable[[Path], str]]:
    """Serves a folder; gives the URL."""
    with ExitStack() as servers:
        yield lambda folder: f"http://{servers.enter_context(serving(partial(QuietHandler, directory=str(folder))))}"


@pytest.fixture
def server() -> Iterator[Callable[[Respond], str]]:
    """Starts a server that answers every GET with one function; gives host:port."""
    with ExitStack() as servers:

        def start(respond: Respond) -> str:
            return servers.enter_context(serving(type("Handler", (QuietHandler,), {"do_GET": respond})))

        yield start


@pytest.fixture(scope="session")
def demo_charts(helm4: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with several versions of a small chart called demo, packed by helm."""
    root = tmp_path_factory.mktemp("demo-charts")
    chart = root / "source" / "demo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 0.0.0\n")
    (chart / "values.yaml").write_text("colour: blue\n")
    (chart / "templates" / "colour.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: demo\ndata:\n  colour: {{ required "no colour" .Values.colour }}\n'
    )
    for version in DEMO_VERSIONS:
        subprocess.run([helm4, "package", chart, "--version", version, "--destination", root / "packed"], check=True, capture_output=True)
    return root / "packed"
