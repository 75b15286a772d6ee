"""The identity providers of an environment, and what they say in the RequestAuthentication of a file that names them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Project, suggestion
from meshinstall.config.identity import WrittenProvider
from meshinstall.config.json_patch import Node, copied, grow, node_at
from meshinstall.config.policy_forms import Form
from meshinstall.errors import Problem
from meshinstall.model.foreign_text import plain
from meshinstall.model.identity import IdentityProvider, keys_of
from meshinstall.model.values import Origin


def find_providers(project: Project, choice: Choice) -> tuple[IdentityProvider, ...]:
    """Those of an environment by name; the nearest place counts, and null there takes one away."""
    found: dict[str, IdentityProvider] = {}
    said = (project.settings.identity, choice.environment.identity, choice.site.identity)
    for providers, (kind, above) in zip(said, choice.places, strict=False):
        for name, written in providers.items():
            if written is None:
                found.pop(name, None)
            else:
                place = project.document.place((*above, "identity", name))
                found[name] = _provider(name, written, Origin(kind, project.document.source, *place))
    return tuple(found[name] for name in sorted(found))


def _provider(name: str, written: WrittenProvider, origin: Origin) -> IdentityProvider:
    keys = written.jwks_uri or keys_of(written.kind, written.issuer)
    return IdentityProvider(name, written.kind, written.issuer, keys, written.audiences, written.sent, written.subject, origin)


def with_providers(form: Form, known: Iterable[IdentityProvider], problems: list[Problem]) -> Form:
    """The form with a whole rule for each of its providers; one that the environment does not have is added to ``problems``."""
    if not form.providers or form.tree is None:
        return form
    by_name = {one.name: one for one in known}
    tree = copied(form.tree)
    listed = node_at(tree, ("spec", "jwtRules"))
    for (name, at), rule in zip(form.providers, listed.value if listed else (), strict=True):
        if name in by_name:
            rule.value = {**_said(by_name[name]), **rule.value}
        else:
            hint = suggestion(name, tuple(by_name)) or "add it to identity of meshinstall.yaml, of the project, an environment or a site"
            problems.append(at.problem(f"this environment has no identity provider {plain(name)!r}", hint))
    return replace(form, tree=tree)


def _said(provider: IdentityProvider) -> Mapping[str, Node]:
    said = {"issuer": provider.issuer, "jwksUri": provider.keys, **({"audiences": list(provider.audiences)} if provider.audiences else {})}
    return {name: grow(value, lambda _: provider.origin) for name, value in said.items()}
