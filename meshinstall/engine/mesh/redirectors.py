"""Says what cannot be read of the container that redirects a pod's traffic, or that checks what the CNI plugin did; pure.

Istio's injector gives it the image of the proxy, arguments that stand there, and variables with values (istio:
manifests/charts/.../files/injection-template.yaml). Who writes a pod may write a container of that name himself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.engine.mesh.redirection import INIT, PLUGIN_READS, VALIDATION, arguments, init_containers, proxy_container
from meshinstall.engine.objects.json_fields import at, rows, text

_CHECKS = "--run-validation"
_IPTABLES = "istio-iptables"
_AGENTS: tuple[list[str], ...] = ([], ["pilot-agent"], ["/usr/local/bin/pilot-agent"])
_ELSEWHERE = "$("


def unread(spec: Mapping[str, Any], annotations: Mapping[str, str]) -> str:
    """Why a pod's spec does not show what is redirected; empty when it does, or when nothing redirects."""
    containers = init_containers(spec)
    for name in (INIT, VALIDATION):
        if name in containers:
            found = (*_foreign(containers[name], spec), *(_unchecked(containers[name], annotations) if name == VALIDATION else ()))
            return f"its container {name} {found[0]}" if found else ""
    return ""


def _foreign(one: Any, spec: Mapping[str, Any]) -> Iterator[str]:
    if text(at(one, "image")) != text(at(proxy_container(spec), "image")):
        yield "has another image than its proxy, so nobody knows what it does"
    environment = rows(at(one, "env"))
    if rows(at(one, "envFrom")) or any(at(each, "valueFrom") for each in environment):
        yield "has variables whose values stand elsewhere"
    words = (*rows(at(one, "command")), *rows(at(one, "args")), *(at(each, "value") for each in environment))
    if any(_ELSEWHERE in text(word) for word in words):
        yield "has arguments that are put together from variables"


def _unchecked(one: Any, annotations: Mapping[str, str]) -> Iterator[str]:
    """The CNI plugin goes by annotations, of which the arguments are a copy that nobody can change afterwards."""
    command, args = ([text(word) for word in rows(at(one, key))] for key in ("command", "args"))
    if command not in _AGENTS or args[:1] != [_IPTABLES] or _CHECKS not in args:
        yield "does not check what the CNI plugin did"
    given = arguments(args)
    for flag, name in PLUGIN_READS.items():
        told = annotations.get(name)
        if told is not None and not _agree(flag, told, given.get(flag, "")):
            yield f"has other arguments than the annotation {name}, by which the CNI plugin goes"


def _agree(flag: str, told: str, given: str) -> bool:
    """The injector adds ports of the proxy to those that are left out."""
    asked, held = ({one.strip() for one in listed.split(",")} - {""} for listed in (told, given))
    return asked <= held if flag == "-d" else asked == held
