"""Proves by dry-run pods that the right istiod injects: before a gateway or a namespace is rolled, and for each revision.

A webhook that exists says nothing: of two that select a pod both run, and the later by name wins. Only a pod that comes back tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshinstall.engine.mesh.selecting_webhooks import Injector, selecting
from meshinstall.engine.mesh.webhook_answers import CALL_FAILED, raise_if_not_permitted, webhook_trouble
from meshinstall.engine.objects.json_fields import MalformedError, at, rows, text, texts
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain
from meshinstall.model.gate import WebhookSeen
from meshinstall.model.istio import PROXY_CONTAINER, image_tag
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.labels import INJECT, INJECTION, REVISION, STATUS
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.revision import DEFAULT_REVISION

_TEMPLATES = "inject.istio.io/templates"
_GATEWAY = "gateway"
_INJECTORS = object_path("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations")
# Istio's own list of namespaces that no injector looks at (istio: pkg/kube/inject/inject.go, IgnoredNamespaces).
_NEVER = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
_FIRST = "default"
# As restricted as Pod Security may ask for, and with what a quota may ask for.
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_LEAST = {"cpu": "1m", "memory": "1Mi"}


@dataclass(frozen=True, slots=True)
class Injected:
    """What a pod came back with: the version and revision of its proxy, None and empty where nobody can tell."""

    has_proxy: bool
    version: IstioVersion | None = None
    tag: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A pod that is asked for; ``annotations`` are those of a template, by which gateways choose their own kind of injection."""

    namespace: str
    labels: Mapping[str, str]
    service_account: str = "default"
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Why the pod is not as expected and what to do, empty when it is; ``is_seen``: its proxy was seen, or there is none."""

    why: str = ""
    is_seen: bool = True


async def ask_injection(session: Session, asked: Asked, version: IstioVersion, revision: str) -> Answer:
    """Whether a pod would get the proxy of this version and revision: one is made, as a dry run. Raises ForbiddenError."""
    namespace = asked.namespace
    try:
        made = await session.kube.create(object_path("v1", "pods", namespace), _pod(asked), dry_run=True)
        found = read_injected(made)
    except (UnauthorizedError, UnreachableError) as error:
        return Answer(f"injection webhook: {error.message}", is_seen=False)
    except ClusterError as error:
        raise_if_not_permitted(error)
        if CALL_FAILED in error.message:
            return Answer(f"injection webhook: {error.message}")
        # Pod Security, a policy engine or a quota: it says nothing of the webhook, which was called before.
        words = f"the API server refuses a dry-run pod in namespace {namespace}, so its proxy was not seen: {plain(error.message)}"
        return Answer(words, is_seen=False)
    except MalformedError as error:
        return Answer(f"the dry-run pod in namespace {namespace} cannot be understood: {plain(error)}", is_seen=False)
    if found.has_proxy and found.revision == revision and found.version == version:
        return Answer()
    why = _why(found, version, revision, namespace, await _selecting(session, namespace, asked.labels))
    return Answer(why, is_seen=not found.has_proxy or found.version is not None or found.revision != revision)


def _pod(asked: Asked) -> Manifest:
    # The image of a gateway is the injector's to choose, and its container has the proxy's name.
    is_gateway = _GATEWAY in [one.strip() for one in asked.annotations.get(_TEMPLATES, "").split(",")]
    own = {"name": PROXY_CONTAINER, "image": "auto"} if is_gateway else {"name": "proof", "image": "proof"}
    container = {**own, "securityContext": _SECURITY, "resources": {"requests": _LEAST, "limits": _LEAST}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "meshinstall-proof",
            "namespace": asked.namespace,
            "labels": dict(asked.labels),
            "annotations": dict(asked.annotations),
        },
        "spec": {"serviceAccountName": asked.service_account or "default", "containers": [container]},
    }


def read_injected(pod: Mapping[str, Any]) -> Injected:
    """What the injector did to a pod; raises MalformedError for what is not one."""
    containers = (*rows(at(pod, "spec", "initContainers")), *rows(at(pod, "spec", "containers")))
    status = _status(texts(at(pod, "metadata", "annotations")).get(STATUS, ""))
    proxy = next((one for one in containers if at(one, "name") == PROXY_CONTAINER), None)
    if proxy is None or status is None:
        return Injected(has_proxy=False)
    tag = image_tag(text(at(proxy, "image")))
    noted = status.get("revision")
    return Injected(True, istio_version(tag), plain(tag), plain(noted) if isinstance(noted, str) and noted else DEFAULT_REVISION)


def _status(note: str) -> Mapping[str, Any] | None:
    """The injector's note; None where there is none, or somebody else wrote it."""
    try:
        found = json_text.load(note or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def _selecting(session: Session, namespace: str, labels: Mapping[str, str]) -> list[Injector] | None:
    """The injectors that select such a pod; None where they could not be read."""
    try:
        space = await session.kube.get(object_path("v1", "namespaces", name=namespace))
        items = [item async for item in session.kube.list(_INJECTORS)]
        found = {**texts(at(space, "metadata", "labels")), "kubernetes.io/metadata.name": namespace}
        return selecting(items, found, labels)
    except (ClusterError, ValueError):
        return None


def _why(found: Injected, version: IstioVersion, revision: str, namespace: str, injectors: list[Injector] | None) -> str:
    """What is wrong with what came back, and what to do."""
    expected = f"expected that of Istio {version}, revision {revision}"
    if not found.has_proxy:
        return f"a pod in namespace {namespace} gets no proxy, {expected}: {_without_any(namespace, injectors)}"
    if found.revision != revision:
        got = f"a pod in namespace {namespace} gets the proxy of revision {found.revision}, {expected}"
        return f"{got}: {_other(found.revision, revision, injectors)}"
    if found.version is None:
        return (
            f"cannot tell which version a pod in namespace {namespace} gets: the tag {found.tag or 'of its image'} is not a version; "
            "compare global.tag and global.proxy.image of istiod's values"
        )
    return (
        f"a pod in namespace {namespace} gets a proxy of Istio {found.version}, {expected}: istiod has not been replaced everywhere yet, "
        "or its values set another tag or proxy image"
    )


def _without_any(namespace: str, injectors: list[Injector] | None) -> str:
    if injectors is None:
        return "the injectors could not be read"
    if not injectors:
        return f"no injector selects it; look at the labels {INJECTION} and {REVISION} of the namespace, and {INJECT} of the pod"
    names = ", ".join(plain(one.name) for one in injectors)
    return f"{names} selects it, and its istiod left it without one; look at {INJECT} of the pod, and at istiod's log for {namespace}"


def _other(got: str, revision: str, injectors: list[Injector] | None) -> str:
    mine = [one for one in injectors or () if one.revision == revision]
    others = [one for one in injectors or () if one.revision != revision]
    if not others:
        return "read which injectors there are: kubectl get mutatingwebhookconfigurations"
    winner = plain(others[-1].name)
    if not mine:
        return f"{winner} selects it, and no injector of revision {revision} does: move the tag, or the label of the namespace, first"
    own = next((f"tag {plain(one.tag)}" for one in mine if one.tag), plain(mine[-1].name))
    return (
        f"the {own} has no effect: {winner} still selects these pods, and is called later, so revision {got} injects them; "
        f"let {winner} select nothing first, as `istioctl tag set default` does"
    )


async def ask_webhooks(
    session: Session, namespace: str, revision: str, version: IstioVersion | None, spaces: Mapping[str, Mapping[str, str]]
) -> WebhookSeen:
    """Whether the webhooks of the istiod of a revision, in ``namespace``, answer, and as this version; ``spaces`` are labels of namespaces.

    Raises ForbiddenError.
    """
    told = str(version) if version else ""
    if version is None:
        return WebhookSeen(revision, told, "the version of its istiod is unknown", asked=False)
    where = proving_namespace(namespace, revision, spaces)
    trouble = await webhook_trouble(session.kube, namespace, revision)
    if trouble and (where == namespace or "cannot test injection" not in trouble.text):
        return WebhookSeen(revision, told, trouble.text)
    if not where:
        return WebhookSeen(revision, told, f"no namespace was found whose pods revision {revision} may inject", asked=False)
    answer = await ask_injection(session, Asked(where, {INJECT: "true", REVISION: revision}), version, revision)
    return WebhookSeen(revision, told, answer.why, asked=answer.is_seen)


def proving_namespace(home: str, revision: str, spaces: Mapping[str, Mapping[str, str]]) -> str:
    """Where a pod that asks for a revision by its label is injected: at best beside istiod; empty where that is nowhere."""
    fitting = [name for name, labels in spaces.items() if name not in _NEVER and _fits(labels, revision)]
    return next((name for name in (home, _FIRST, *sorted(fitting)) if name in fitting), "")


def _fits(labels: Mapping[str, str], revision: str) -> bool:
    """As the selectors of istiod's chart have it: the label istio-injection excludes every revision but the default."""
    injection, chosen = labels.get(INJECTION), labels.get(REVISION)
    if injection is not None:
        return injection == "enabled" and revision == DEFAULT_REVISION
    return chosen in {None, revision}
