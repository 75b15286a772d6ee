"""The filters of a chain, in their order; those that neither refuse a request nor change what rules see of it are left out."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from meshinstall.checks.authz.enforced import Asking, Filter, Manager, Rule, Rules, Tokens, Unread, Way
from meshinstall.engine.mesh.rbac.rules import read_rules
from meshinstall.engine.mesh.rbac.tokens import read_tokens
from meshinstall.engine.objects.json_fields import MalformedError, at, flag, rows, table, text
from meshinstall.model.authz import Normalization

_FILTERS = "envoy.extensions.filters."
_RBAC = frozenset({f"{_FILTERS}network.rbac.v3.RBAC", f"{_FILTERS}http.rbac.v3.RBAC"})
_ASKING = frozenset({f"{_FILTERS}network.ext_authz.v3.ExtAuthz", f"{_FILTERS}http.ext_authz.v3.ExtAuthz"})
_TOKENS = f"{_FILTERS}http.jwt_authn.v3.JwtAuthentication"
_MANAGER = f"{_FILTERS}network.http_connection_manager.v3.HttpConnectionManager"
_TCP = f"{_FILTERS}network.tcp_proxy.v3.TcpProxy"
_END = f"{_FILTERS}http.router.v3.Router"
# Filters that istiod adds to count, to tell who called, and to do what routes say.
_HARMLESS = frozenset(
    {
        *(f"{_FILTERS}http.{name}" for name in ("cors.v3.Cors", "fault.v3.HTTPFault", "grpc_stats.v3.FilterConfig")),
        *(f"{_FILTERS}http.{name}" for name in ("grpc_web.v3.GrpcWeb", "stateful_session.v3.StatefulSession")),
        *("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", "io.istio.http.peer_metadata.Config", "stats.PluginConfig"),
        *("envoy.tcp.metadataexchange.config.MetadataExchange", "envoy.extensions.network_filters.peer_metadata.Config"),
    }
)
_TYPED = "TypedStruct"
# Where istiod sends what nobody may have.
_BLACK_HOLE = "BlackHoleCluster"
_ASKED_PREFIX = "istio_ext_authz_"
_RULES = frozenset(
    {"@type", "rules", "shadow_rules", "shadow_rules_stat_prefix", "stat_prefix", "rules_stat_prefix", "track_per_rule_stats"}
)
_PATHS = frozenset({"path_normalization_options", "early_header_mutation_extensions"})
_HOSTS = ("strip_matching_host_port", "strip_any_host_port", "strip_trailing_host_dot")
# normalize_path, merge_slashes and path_with_escaped_slashes_action, as istiod writes them (listener_builder.go).
_NORMALIZED: Mapping[tuple[bool | None, bool, str], Normalization] = {
    (False, False, ""): Normalization.NONE,
    (True, False, ""): Normalization.BASE,
    (True, True, ""): Normalization.MERGE_SLASHES,
    (True, True, "UNESCAPE_AND_FORWARD"): Normalization.DECODE_AND_MERGE_SLASHES,
}
_KEPT = frozenset({"KEEP_UNCHANGED", "IMPLEMENTATION_SPECIFIC_DEFAULT"})


class Known:
    """What was read of a proxy: most of its chains have the same rules, which are kept once."""

    def __init__(self) -> None:
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._tokens: dict[str, Tokens | Unread] = {}

    def rules(self, policies: Any) -> tuple[Rule, ...]:
        """The policies of an RBAC; raises MalformedError."""
        key = json.dumps(policies, sort_keys=True)
        if key not in self._rules:
            self._rules[key] = read_rules(policies)
        return self._rules[key]

    def tokens(self, config: Mapping[str, Any]) -> Tokens | Unread:
        """A check of tokens; raises MalformedError."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._tokens:
            self._tokens[key] = read_tokens({name: value for name, value in config.items() if name != "@type"})
        return self._tokens[key]


class _Shadow:
    """Rules that do not enforce, which the filter behind them asks for."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.rules: tuple[Rule, ...] = ()


def read_way(filters: Any, tables: Mapping[str, Any] = MappingProxyType({}), known: Known | None = None) -> Way:
    """What the network filters of a chain do, unknown where they could not be parsed; ``tables`` are routes by name."""
    try:
        return _way(rows(filters), tables, known or Known())
    except MalformedError as error:
        return Way((Unread(f"the proxy's configuration, which could not be parsed: {error}"),))


def _way(filters: Any, tables: Mapping[str, Any], known: Known) -> Way:
    found: list[Filter] = []
    waiting = _Shadow(known)
    for one in filters:
        kind, config = _typed(one)
        if kind == _MANAGER:
            return Way(tuple(found), _manager(config, tables, known))
        if kind == _TCP:
            is_closed = text(config.get("cluster")) == _BLACK_HOLE
            return Way((*found, *([Rules((), is_deny=False)] if is_closed else [])))
        found += _read(kind, config, waiting)
    return Way((*found, Unread("a chain of the proxy that leads nowhere")))


def _manager(config: Mapping[str, Any], tables: Mapping[str, Any], known: Known) -> Manager:
    if strange := _strange(config, tables):
        return Manager(Normalization.BASE, (Unread(strange),))
    found: list[Filter] = []
    waiting = _Shadow(known)
    for one in rows(config.get("http_filters")):
        if flag(at(one, "disabled")):
            continue
        kind, inner = _typed(one)
        if kind == _END:
            break
        found += _read(kind, inner, waiting)
    return Manager(_NORMALIZED[_paths(config)], tuple(found))


def _paths(config: Mapping[str, Any]) -> tuple[bool | None, bool, str]:
    escaped = text(config.get("path_with_escaped_slashes_action"))
    found = config.get("normalize_path")
    return None if found is None else flag(found), flag(config.get("merge_slashes")), "" if escaped in _KEPT else escaped


def _strange(config: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    """What of a connection manager istiod does not write, and rules depend on."""
    if _paths(config) not in _NORMALIZED or config.keys() & _PATHS:
        return "how the proxy normalises paths"
    if any(flag(config.get(name)) for name in _HOSTS):
        return "how the proxy changes hosts"
    if text(at(config, "common_http_protocol_options", "headers_with_underscores_action")) not in {"", "ALLOW"}:
        return "what the proxy does with names of headers that have underscores"
    name = text(at(config, "rds", "route_config_name"))
    routes = config.get("route_config") or tables.get(name)
    if not routes:
        return f"the routes {name} that the proxy waits for"[:200]
    if kind := next(_own_settings(routes), ""):
        return f"the settings that a route of the proxy has for its filter {kind}"[:200]
    return ""


def _own_settings(found: Any) -> Iterator[str]:
    """Kinds of filters for which routes have settings of their own that may decide."""
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name, config in table(one.get("typed_per_filter_config")).items():
                kind, _ = _kind(table(config))
                if kind not in _PER_ROUTE:
                    yield name
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


_PER_ROUTE = frozenset(
    f"{_FILTERS}http.{name}" for name in ("cors.v3.CorsPolicy", "fault.v3.HTTPFault", "stateful_session.v3.StatefulSessionPerRoute")
)


def _typed(one: Any) -> tuple[str, Mapping[str, Any]]:
    return _kind(table(at(one, "typed_config")))


def _kind(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The type of a configuration without its address; that of a TypedStruct counts where nothing else does."""
    kind = text(config.get("@type")).rpartition("/")[2]
    if kind.rpartition(".")[2] != _TYPED:
        return kind, config
    inner = text(config.get("type_url")).rpartition("/")[2]
    return (inner if inner in _HARMLESS else kind), config


def _read(kind: str, config: Mapping[str, Any], waiting: _Shadow) -> Iterator[Filter]:
    if kind in _RBAC:
        yield from _rules(config, waiting)
    elif kind in _ASKING:
        yield _asking(config, waiting)
    elif kind == _TOKENS:
        yield waiting.known.tokens(config)
    elif kind not in _HARMLESS:
        yield Unread(f"what the filter {kind or 'without a type'} of the proxy does"[:200])


def _rules(config: Mapping[str, Any], waiting: _Shadow) -> Iterator[Filter]:
    if more := sorted(config.keys() - _RULES):
        yield Unread(f"an RBAC of the proxy with {more[0]}"[:200])
        return
    if text(config.get("shadow_rules_stat_prefix")) == _ASKED_PREFIX:
        waiting.rules = waiting.known.rules(at(config, "shadow_rules", "policies"))
    if (rules := config.get("rules")) is None:
        return
    action = text(at(rules, "action")) or "ALLOW"
    if more := sorted(table(rules).keys() - {"action", "policies"}):
        yield Unread(f"rules of the proxy with {more[0]}"[:200])
    elif action in {"ALLOW", "DENY"}:
        yield Rules(waiting.known.rules(at(rules, "policies")), is_deny=action == "DENY")
    elif action != "LOG":
        yield Unread(f"rules of the proxy that {action}"[:200])


def _asking(config: Mapping[str, Any], waiting: _Shadow) -> Filter:
    """It asks about what one of the rules before it is for, of those whose names begin as istiod says."""
    enabled = table(config.get("filter_enabled_metadata"))
    prefix = text(at(enabled, "value", "string_match", "prefix"))
    if not prefix or at(enabled, "invert"):
        return Unread("what a service outside of the mesh says (CUSTOM)")
    return Asking(tuple(rule for rule in waiting.rules if rule.name.startswith(prefix)))
