"""An environment that accepts plaintext says until which day, and why."""

from datetime import date

import pytest

from meshinstall.errors import ConfigError
from tests.unit.config.projects import HEAD, Write, resolved

SOFT = HEAD + "environments:\n  dev:\n    cloud: local\n    mtls: PERMISSIVE\n"


def test_an_acceptance_has_its_day_its_reason_and_its_line(write: Write) -> None:
    folder = write({"meshinstall.yaml": SOFT + "    accept: {until: 2027-01-31, reason: 'the shop moves'}\n"})
    accepted = resolved(folder).acceptance
    assert accepted
    assert (accepted.until, accepted.reason, accepted.origin) == (date(2027, 1, 31), "the shop moves", "meshinstall.yaml:6")
    assert accepted.policy == "PeerAuthentication istio-system/default"
    assert accepted.holds(date(2027, 1, 31))
    assert not accepted.holds(date(2027, 2, 1))


def test_it_is_about_the_policy_of_the_meshs_root_namespace(write: Write) -> None:
    folder = write({"meshinstall.yaml": SOFT + "    accept: {until: 2027-01-31, reason: x}\n"})
    accepted = resolved(folder, sets=("istiod.meshConfig.rootNamespace=mesh-root",)).acceptance
    assert accepted
    assert accepted.policy == "PeerAuthentication mesh-root/default"


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        ("{until: 2027-01-31}", "meshinstall.yaml:6:5: environments.dev.accept.reason is missing"),
        ("{reason: x}", "meshinstall.yaml:6:5: environments.dev.accept.until is missing"),
        ("{until: 2027-13-31, reason: x}", "meshinstall.yaml:6:14: environments.dev.accept.until must be a day, as 2027-01-31"),
        ("{until: 20270131, reason: x}", "meshinstall.yaml:6:14: environments.dev.accept.until must be a day, as 2027-01-31"),
        ("{until: '2027-01-31T10:00:00Z', reason: x}", "meshinstall.yaml:6:14: environments.dev.accept.until must be a day, as 2027-01-31"),
        ("{until: never, reason: x}", "meshinstall.yaml:6:14: environments.dev.accept.until must be a day, as 2027-01-31"),
        ("{until: 2027-01-31, reason: ' '}", "meshinstall.yaml:6:33: reason must say why plaintext is accepted"),
        ("{until: 2027-01-31, reason: x, by: me}", "meshinstall.yaml:6:44: unknown key 'by'"),
        ("true", "meshinstall.yaml:6:5: environments.dev.accept must be a map"),
    ],
)
def test_what_is_no_acceptance_is_an_error_at_its_line(write: Write, accept: str, message: str) -> None:
    folder = write({"meshinstall.yaml": SOFT + f"    accept: {accept}\n"})
    with pytest.raises(ConfigError) as caught:
        resolved(folder)
    assert message in str(caught.value)


def test_strict_has_nothing_to_accept(write: Write) -> None:
    accept = "    accept: {until: 2027-01-31, reason: x}\n"
    folder = write({"meshinstall.yaml": SOFT.replace("PERMISSIVE", "STRICT") + accept})
    with pytest.raises(
        ConfigError, match=r"meshinstall.yaml:6:5: accept is for mtls: PERMISSIVE, but mTLS is STRICT \(meshinstall.yaml:5\)"
    ):
        resolved(folder)
