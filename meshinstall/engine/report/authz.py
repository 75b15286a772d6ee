"""Tries a table of requests against policies of files, without a cluster."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meshinstall.checks.authz.decide import decide, guard, world
from meshinstall.checks.policies.reading import Policies
from meshinstall.config.authz_table import read_table
from meshinstall.config.policy_files import read_objects
from meshinstall.engine.objects.json_fields import table, text
from meshinstall.engine.report.policies import known_mesh
from meshinstall.errors import ConfigError, Problem
from meshinstall.model.authz import Expectation, Normalization, Tried
from meshinstall.model.desired import Desired
from meshinstall.model.policy_object import PolicyObject


def try_table(path: Path, sources: Iterable[Path | PolicyObject], desired: Desired | None) -> tuple[Tried, ...]:
    """Each row of a table with what the policies decide; ``desired`` is the mesh that they are for, None for Istio's defaults.

    Raises ConfigError with every mistake of the files, or UsageError for a path that is not there.
    """
    problems: list[Problem] = []
    given = tuple(sources)
    read = read_objects((one for one in given if isinstance(one, Path)), problems)
    objects = (*(one for one in given if isinstance(one, PolicyObject)), *read)
    policies = known_mesh((*objects, *_mesh_wide(desired)), desired) if desired else Policies(objects)
    rows = read_table(path, policies.trust_domains[0], problems)
    if problems:
        raise ConfigError(tuple(problems))
    return try_all(rows, policies, _normalization(desired) if desired else Normalization.BASE)


def try_all(rows: Iterable[Expectation], policies: Policies, normalization: Normalization) -> tuple[Tried, ...]:
    """Decide each row; the policies of a workload are read once for rows that follow each other."""
    found: list[Tried] = []
    of, by = world(policies, normalization), None
    for row in rows:
        if by is None or by.workload != row.workload:
            by = guard(of, row.workload)
        found.append(Tried(row, decide(by, row.request)))
    return tuple(found)


def _mesh_wide(desired: Desired | None) -> Iterable[PolicyObject]:
    """The policies that an environment itself makes, such as its mTLS mode."""
    return (
        PolicyObject(one.origin.source, one.manifest, {(): (one.origin.line, one.origin.column)})
        for one in (desired.policies if desired else ())
    )


def _normalization(desired: Desired) -> Normalization:
    istiod = desired.istiod
    mesh: Mapping[str, Any] = table(istiod.values.merged().get("meshConfig")) if istiod else {}
    name = text(table(mesh.get("pathNormalization")).get("normalization"))
    return Normalization(name) if name in set(Normalization) else Normalization.BASE
