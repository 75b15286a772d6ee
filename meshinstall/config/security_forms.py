"""The form of the objects that decide who may call: what is not of it, the API server refuses, or drops and tells only who asks.

Source: istio, manifests/charts/base/files/crd-all.gen.yaml (1.31). ``policy check`` asks the schemas of the chart itself, which take a
network or a cache; a test of policies must not pass by an object that no cluster has, and has neither.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.config.documents import suggestion
from meshinstall.errors import Problem
from meshinstall.model.foreign_text import plain
from meshinstall.model.policy_kinds import SECURITY
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# A map is a dict of forms, a list has one form for its items, a choice is a tuple of texts; str and bool are themselves.
_Form = Any
_TEXTS = [str]


def _with_not(*names: str) -> _Form:
    return {key: _TEXTS for name in names for key in (name, f"not{name[0].upper()}{name[1:]}")}


_TARGET = {"kind": str, "name": str, "group": str, "namespace": str}
_ATTACHED = {"selector": {"matchLabels": {"*": str}}, "targetRef": _TARGET, "targetRefs": [_TARGET]}
_SOURCE = _with_not("principals", "requestPrincipals", "namespaces", "serviceAccounts", "trustDomains", "ipBlocks", "remoteIpBlocks")
_RULE = {
    "from": [{"source": _SOURCE}],
    "to": [{"operation": _with_not("hosts", "ports", "methods", "paths")}],
    "when": [{"key": str, "values": _TEXTS, "notValues": _TEXTS}],
}
_TOKEN_RULE = {
    **dict.fromkeys(("issuer", "jwksUri", "jwks_uri", "jwks", "outputPayloadToHeader", "timeout"), str),
    **dict.fromkeys(("audiences", "fromParams", "fromCookies", "spaceDelimitedClaims"), _TEXTS),
    "fromHeaders": [{"name": str, "prefix": str}],
    "outputClaimToHeaders": [{"header": str, "claim": str}],
    "forwardOriginalToken": bool,
}
_MTLS = {"mode": ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")}
_SPECS: Mapping[str, _Form] = {
    "AuthorizationPolicy": {
        **_ATTACHED,
        "action": ("ALLOW", "DENY", "AUDIT", "CUSTOM"),
        "provider": {"name": str},
        "rules": [_RULE],
    },
    "RequestAuthentication": {**_ATTACHED, "jwtRules": [_TOKEN_RULE]},
    "PeerAuthentication": {"selector": _ATTACHED["selector"], "mtls": _MTLS, "portLevelMtls": {"*": _MTLS}},
}


def malformed(one: PolicyObject) -> Iterator[Problem]:
    """Where an object that decides who may call has not its form; nothing for other kinds."""
    if one.group != SECURITY or one.kind not in _SPECS:
        return
    metadata, spec = one.manifest.get("metadata"), one.manifest.get("spec")
    if not isinstance(metadata, dict) or not metadata.get("namespace"):
        hint = "write metadata.namespace: without it, kubectl or an engine chooses"
        yield Problem(one.source, *one.place(("metadata",)), f"{one.kind} {one.name} has no namespace", hint)
    if spec is not None:
        yield from _wrong(one, spec, _SPECS[one.kind], ("spec",))


def _wrong(one: PolicyObject, value: Any, form: _Form, path: KeyPath) -> Iterator[Problem]:
    match form:
        case dict() if isinstance(value, dict):
            for key, item in value.items():
                known = form.get("*", form.get(key))
                if known is None:
                    text = f"{one.kind} has no field {'.'.join((*path, str(key)))}"
                    yield _problem(one, (*path, str(key)), text, suggestion(str(key), tuple(form)))
                else:
                    yield from _wrong(one, item, known, (*path, str(key)))
        case [inner] if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _wrong(one, item, inner, (*path, str(index)))
        case tuple() if value in form:
            return
        case type() if isinstance(value, form):
            return
        case _:
            yield _problem(one, path, f"{'.'.join(path)} must be {_named(form)}", "quote it" if form is str else "")


def _named(form: _Form) -> str:
    if isinstance(form, tuple):
        return f"one of {', '.join(form)}"
    return {str: "text", bool: "true or false"}.get(form, "") if isinstance(form, type) else "a map" if isinstance(form, dict) else "a list"


def _problem(one: PolicyObject, path: KeyPath, text: str, hint: str) -> Problem:
    return Problem(one.source, *one.place(path), plain(text), plain(hint))
