"""Asks istiod what it sends to a proxy, without a proxy: the testbed's own ADS client is a process that answers line by line."""

import json
import subprocess
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.api import Json
from testbed.errors import TestbedError
from testbed.referee.node import node

_TYPE = "type.googleapis.com/envoy.admin.v3."


@dataclass(frozen=True, slots=True)
class Sent:
    """What istiod sends to one proxy: Envoy's own JSON of each resource; ``version`` is that of the push."""

    version: str
    clusters: tuple[Json, ...]
    endpoints: tuple[Json, ...]
    listeners: tuple[Json, ...]

    def active_clusters(self) -> bytes:
        """As Envoy answers ``config_dump?resource=dynamic_active_clusters``."""
        return _dump({"configs": [{"@type": f"{_TYPE}ClustersConfigDump.DynamicCluster", "cluster": found} for found in self.clusters]})

    def endpoint_configs(self) -> bytes:
        """As Envoy answers ``config_dump?include_eds&resource=dynamic_endpoint_configs``."""
        kind = f"{_TYPE}EndpointsConfigDump.DynamicEndpointConfig"
        return _dump({"configs": [{"@type": kind, "endpoint_config": found} for found in self.endpoints]})

    def active_listeners(self) -> bytes:
        """As Envoy answers ``config_dump?resource=dynamic_listeners``."""
        kind = f"{_TYPE}ListenersConfigDump.DynamicListener"
        states = [{"name": found["name"], "active_state": {"listener": found}} for found in self.listeners]
        return _dump({"configs": [{"@type": kind, **state} for state in states]})


def _dump(configs: Json) -> bytes:
    return json.dumps(configs).encode()


class Asking(AbstractContextManager["Asking"]):
    """The ADS client while it runs."""

    def __init__(self, program: Path, istiod: str) -> None:
        self._process = subprocess.Popen(
            [program, "ask", istiod], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # It ends when there is nothing more to read.
        self._process.communicate()

    def about(self, pods: Iterable[tuple[Json, str]], *, listeners: bool = False) -> list[Sent]:
        """What istiod sends to the sidecar of each pod, now, of clusters those whose names hold the text beside it.

        Raises TestbedError when it does not.
        """
        lines = [json.dumps({"node": node(pod), "listeners": listeners, "only": only}) + "\n" for pod, only in pods]
        if self._process.stdin is None or self._process.stdout is None:
            message = "the ADS client has no pipes"
            raise TestbedError(message)
        found = []
        for begin in range(0, len(lines), _AT_ONCE):
            batch = lines[begin : begin + _AT_ONCE]
            self._process.stdin.writelines(batch)
            self._process.stdin.flush()
            found += [self._process.stdout.readline() for _ in batch]
        return [_read(line) for line in found]


# More than the client works on, fewer than fill the pipe while nobody reads its answers.
_AT_ONCE = 24


def _read(line: str) -> Sent:
    answer = json.loads(line) if line else {"error": "the ADS client ended"}
    if problem := answer.get("error"):
        message = f"istiod does not say what it sends: {problem}"
        raise TestbedError(message)
    return Sent(answer["version"], *(tuple(answer[name] or ()) for name in ("clusters", "endpoints", "listeners")))
