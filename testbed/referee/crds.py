"""Gives an API server what istiod reads: Istio's kinds and the root namespace (``python -m testbed.referee.crds SPEC``)."""

import sys
import tarfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import yaml

from testbed import pins, spec
from testbed.api import Api, Json, RefusedError
from testbed.referee.objects import Store
from testbed.waiting import until

ROOT_NAMESPACE = "istio-system"
# Seconds.
_PATIENCE = 60


def read(chart: Path) -> list[Json]:
    """The kinds that Istio's base chart brings."""
    with tarfile.open(chart) as archive:
        member = archive.extractfile("base/files/crd-all.gen.yaml")
        if member is None:
            message = f"{chart} holds no Istio kinds"
            raise ValueError(message)
        return [found for found in yaml.load_all(member.read(), Loader=yaml.CSafeLoader) if found]


def main() -> None:
    """Create all of it, and wait until it is served: an istiod that is refused a kind waits for seconds before it asks again."""
    of = spec.load(Path(sys.argv[1]))
    kinds = read(Path(of.parts["charts"]) / f"base-{pins.ISTIO}.tgz")
    store = Store(spec.INSIDE / "kubeconfig")
    store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE}}, *kinds)
    api = Api(spec.INSIDE / "kubeconfig")
    waiting = [path for kind in kinds for path in _paths(kind)]
    until(lambda: all(_is_served(api, path) for path in waiting), _PATIENCE, lambda: "Istio's kinds are not served")


def _paths(kind: Json) -> Iterator[str]:
    group, plural = kind["spec"]["group"], kind["spec"]["names"]["plural"]
    return (f"/apis/{group}/{version['name']}/{plural}?limit=1" for version in kind["spec"]["versions"] if version["served"])


def _is_served(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except RefusedError as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


if __name__ == "__main__":
    main()
