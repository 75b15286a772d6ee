"""A constant load inside the mesh: pods with a proxy that call a Service whose pods have one, and write down what came of each request.

They write into a folder of the node, which is one of the testbed's own: what a pod wrote outlives the pod, as an upgrade replaces it too.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import pins
from testbed.spec import INSIDE
from testbed.waiting import until

# Below the cluster's state folder.
FOLDER = "load"
_OK = "ok"
# Failures that an error names: all are printed.
_TOLD = 3
# Requests of one pod; at its pace more than an hour, for it outlives the tests that share its mesh.
_MOST = 72_000
# Seconds for an answer, and between two requests. Not by wget's own -T, with which Debian's busybox crashes.
_PATIENCE = 5
_PERIOD = 0.05
# A pod that ends finishes its request first; its proxy ends after it.
_SCRIPT = f"""\
trap 'exit 0' TERM
n=0
while [ $n -lt {_MOST} ]; do
  n=$((n+1))
  said=$(/bin/busybox timeout {_PATIENCE} wget -q -O - "$URL" 2>&1)
  status=$?
  if [ "$said" = hello ]; then line={_OK}
  else line="$(/bin/busybox date +%T) status $status $(echo "$said" | /bin/busybox tr '\\n' ' ')"; fi
  echo "$line" >> /load/$HOSTNAME
  sleep {_PERIOD}
done
echo "stopped after {_MOST} requests" >> /load/$HOSTNAME
exec sleep 1000000
"""


@dataclass(slots=True)
class Inside:
    """What came of the requests since the block began; ``failures`` holds a line for each that was not answered as it should be."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


def caller(place: str, url: str) -> dict[str, Any]:
    """A Deployment that asks ``url``, which answers hello, for as long as it runs; ``place`` is namespace/name."""
    where, _, name = place.partition("/")
    container = {
        "name": "app",
        "image": pins.APP_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", _SCRIPT],
        "env": [{"name": "URL", "value": url}],
        "volumeMounts": [{"name": "load", "mountPath": "/load"}],
    }
    volume = {"name": "load", "hostPath": {"path": str(INSIDE / FOLDER), "type": "DirectoryOrCreate"}}
    pod = {"terminationGracePeriodSeconds": 10, "containers": [container], "volumes": [volume]}
    labels = {"app": name}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": where}, "spec": spec}


@contextmanager
def inside_load(folder: Path, name: str, patience: float = 30) -> Iterator[Inside]:
    """What the pods of the Deployment ``name`` write into ``folder`` until the block ends; one answer comes before it, and one after it.

    Each of these two comes within ``patience`` seconds. Every failure is printed.
    """
    found = Inside()
    before = {file: len(lines) for file, lines in _written(folder, name)}

    def read() -> int:
        lines = [(file.name, line) for file, some in _written(folder, name) for line in some[before.get(file, 0) :]]
        found.failures[:] = [f"inside, pod {pod}: {line}" for pod, line in lines if line != _OK]
        found.answered = len(lines) - len(found.failures)
        return found.answered

    until(read, patience, lambda: f"no pod of {name} was answered: {found.failures[-_TOLD:]}")
    try:
        yield found
    finally:
        last = read()
        try:
            until(lambda: read() > last, patience, lambda: f"no pod of {name} was answered after the end: {found.failures[-_TOLD:]}")
        finally:
            told = f"{found.answered} requests inside the mesh were answered"
            sys.stderr.writelines(f"{line}\n" for line in (told, *found.failures))


def _written(folder: Path, name: str) -> list[tuple[Path, list[str]]]:
    """The whole lines of each pod's file."""
    files = sorted(folder.glob(f"{name}-*")) if folder.exists() else []
    return [(file, file.read_text(errors="replace").split("\n")[:-1]) for file in files]
