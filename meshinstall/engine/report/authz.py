"""Tries a table of requests against policies of files, without a cluster."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from meshinstall.checks.authz.decide import decide, guard, world
from meshinstall.checks.policies.reading import Policies
from meshinstall.checks.policies.refused import faults
from meshinstall.config.authz_table import Mesh, read_table
from meshinstall.config.policy_files import read_objects
from meshinstall.config.security_forms import malformed
from meshinstall.engine.objects.mesh_policies import known_mesh, mesh_wide
from meshinstall.engine.report.policies import defined_twice
from meshinstall.errors import ConfigError, Problem
from meshinstall.model.authz import Expectation, Tried
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import plain
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Component


def read_rows(path: Path, sources: Iterable[Path | PolicyObject], desired: Desired | None) -> tuple[tuple[Expectation, ...], Policies]:
    """The rows of a table and the policies; ``desired`` is the mesh that they are for, None for Istio's defaults.

    Raises ConfigError with every mistake of the files, or UsageError for a path that is not there.
    """
    problems: list[Problem] = []
    given = tuple(sources)
    read = read_objects((one for one in given if isinstance(one, Path)), problems, takes_parts=False)
    objects = (*(one for one in given if isinstance(one, PolicyObject)), *read)
    problems += [problem for one in objects for problem in _wrong(one)]
    problems += defined_twice(objects, in_layers=False)
    policies = known_mesh((*objects, *mesh_wide(desired)), desired)
    rows = read_table(path, Mesh(policies.trust_domains[0], _gateways(desired)), problems)
    if problems:
        raise ConfigError(tuple(problems))
    return rows, policies


def _gateways(desired: Desired | None) -> frozenset[str]:
    """Namespaces that are of gateways alone."""
    return frozenset(one.key.namespace for one in desired.releases if one.component is Component.GATEWAY) if desired else frozenset()


def try_all(rows: Iterable[Expectation], policies: Policies) -> tuple[Tried, ...]:
    """Decide each row; the policies of a workload are read once for rows that follow each other."""
    found: list[Tried] = []
    of, by = world(policies), None
    for row in rows:
        if by is None or by.workload != row.workload:
            by = guard(of, row.workload)
        found.append(Tried(row, decide(by, row.request)))
    return tuple(found)


def _wrong(one: PolicyObject) -> Iterator[Problem]:
    """Why no cluster has an object as it is written: a test that passes by it would say nothing."""
    if form := list(malformed(one)):
        yield from form
        return
    for fault in faults(one):
        yield Problem(one.source, *one.place(fault.path), plain(f"istiod refuses {one}: {fault.text}"), plain(fault.hint))
