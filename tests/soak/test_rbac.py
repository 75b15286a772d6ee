"""What meshinstall asks of an API server, by the server's own audit log, and that the rendered job's rights are enough for all of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from testbed import pins
from testbed.audit import audited, requests
from tests.cases.asked import FILE, asked, read, written
from tests.cases.jobs import IMAGE
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED
from tests.cluster.job_account import ACCOUNT, NAMESPACE, administrator, kubeconfig
from tests.cluster.mesh import namespace
from tests.cluster.two_istios import TwoIstios, two_istios

MESH = {"istio-system", *GATEWAYS}
# Seconds for each command, on a busy machine.
_PATIENCE = 600.0
ALLOWED = ("--allow", "missing-fix")
FORBIDDEN = 403
# Exit status: something is left to do.
HELD = 3


@pytest.fixture
def start(build_part: Callable[[str], Path], tmp_path: Path) -> Callable[..., Iterator[TwoIstios]]:
    """A mesh of 1.30.4 on a node with the images of three versions, and an API server with an audit log."""

    def mesh(signed_in: Callable[..., Path] | None = None) -> Iterator[TwoIstios]:
        with two_istios("rbac", build_part, tmp_path, ("images-restamp",), authenticate=audited, signed_in=signed_in) as found:
            yield replace(found, program=found.program.patient(_PATIENCE))

    return mesh


@pytest.fixture
def installed(start: Callable[..., Iterator[TwoIstios]]) -> Iterator[TwoIstios]:
    """Installed by an account with all rights, which goes on."""
    yield from start(signed_in=administrator)


@pytest.fixture
def granted(start: Callable[..., Iterator[TwoIstios]]) -> Iterator[TwoIstios]:
    """Installed by an administrator; from then on the account that ``job render`` makes, with its rights and no others."""
    for found in start():
        file = found.folder / "meshinstall.yaml"
        written_there = file.read_text()
        file.write_text(written_there.replace("source: charts", f"source: {found.folder}/charts"))
        spaces = [flag for name in INJECTED for flag in ("--workloads", name)]
        made = found.program.ok("job render", "--kind", "cronjob", "--image", IMAGE, *spaces)
        file.write_text(written_there)
        found.shell.apply(namespace(NAMESPACE))
        # Its night is not to come in the middle of the test.
        found.shell.apply(*(one for one in yaml.safe_load_all(made.out) if one["kind"] != "CronJob"))
        yield replace(found, program=found.program.having(KUBECONFIG=str(kubeconfig(found.shell.cluster))))


def travel(istios: TwoIstios) -> None:
    """A part of a canary, back, the whole of it, and a patch in place."""
    part = istios.program.run("upgrade", "--to", pins.ISTIO, "--until", "tags", "--yes", "--allow", "eol", *ALLOWED)
    assert part.status == HELD, part
    back = istios.carry_out("upgrade rollback")
    assert back.status == 0, back
    assert istios.istiods() == {"default": pins.PREVIOUS}
    whole = istios.carry_out("upgrade", "--to", pins.ISTIO, *ALLOWED)
    assert whole.status == 0, whole
    assert istios.istiods() == {"1-31": pins.ISTIO}
    istios.wants(version=pins.ISTIO, revisions=True)
    patch = istios.carry_out("upgrade", "--to", pins.RESTAMP)
    assert patch.status == 0, patch
    assert istios.istiods() == {"1-31": pins.RESTAMP}


def test_what_is_asked_for_is_what_is_recorded(installed: TwoIstios) -> None:
    try:
        travel(installed)
    finally:
        found = asked(requests(installed.shell.cluster, NAMESPACE, ACCOUNT), MESH)
        FILE.with_suffix(".new").write_text(written(found))
    assert found == read(FILE.read_text()), f"read {FILE.with_suffix('.new')}; if it is right, it replaces {FILE.name}"
    FILE.with_suffix(".new").unlink()


def test_the_rights_of_the_job_are_enough(granted: TwoIstios) -> None:
    travel(granted)
    refused = [one for one in requests(granted.shell.cluster, NAMESPACE, ACCOUNT) if one.status == FORBIDDEN]
    assert refused == []
    as_account = granted.verdicts()
    everything = replace(granted, program=granted.program.having(KUBECONFIG=str(granted.shell.cluster.kubeconfig)))
    assert as_account == everything.verdicts()
