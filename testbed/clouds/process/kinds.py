"""Every fake cloud by its name; each is imported when it is asked for."""

from importlib import import_module

from testbed.clouds.process.kind import Kind
from testbed.errors import TestbedError
from testbed.spec import Cloud, Spec


def kind(cloud: Cloud) -> Kind:
    """The cloud called so."""
    found: Kind = import_module(f"testbed.clouds.process.{cloud}").KIND
    return found


def kind_of(of: Spec) -> Kind:
    """The cloud of a cluster; raises TestbedError when it has none."""
    if of.cloud is None:
        raise TestbedError(f"cluster {of.name} has no cloud")
    return kind(of.cloud)
