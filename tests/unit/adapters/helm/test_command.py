"""What helm finds in its environment: a program that prints it stands in for helm."""

import pytest

from meshinstall.adapters.helm.command import GroupCommand

pytestmark = pytest.mark.anyio


async def environment(withheld: frozenset[str] = frozenset()) -> dict[str, str]:
    command = GroupCommand(executable="env")
    command.withheld = withheld
    lines = (await command.run([])).decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


async def test_helm_keeps_the_callers_variables_but_for_those_that_change_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "shop")
    monkeypatch.setenv("HELM_NAMESPACE", "elsewhere")
    monkeypatch.setenv("HELM_DRIVER", "configmap")
    found = await environment()
    assert found["AWS_PROFILE"] == "shop"
    assert "HELM_NAMESPACE" not in found
    assert found["HELM_DRIVER"] == "secret"


async def test_what_is_withheld_does_not_reach_helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "s3cret")
    assert "AZURE_CLIENT_SECRET" not in await environment(frozenset({"AZURE_CLIENT_SECRET"}))


async def test_how_helm_collects_garbage_is_the_callers_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOGC", raising=False)
    assert (await environment())["GOGC"] == "400"
    monkeypatch.setenv("GOGC", "50")
    assert (await environment())["GOGC"] == "50"
