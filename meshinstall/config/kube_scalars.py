"""Kinds of single values that Kubernetes tells apart, and what they look like.

Source: apimachinery/pkg/util/validation of Kubernetes 1.36, and the documentation of each type.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from meshinstall.model.quantity import quantity

_LABEL_TEXT = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_KEY = re.compile(rf"((?P<prefix>[^/]*)/)?{_LABEL_TEXT}")
_LABEL_VALUE = re.compile(rf"{_LABEL_TEXT}?")
# RFC 6335, as Kubernetes reads it: a letter somewhere, no two hyphens in a row.
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_PERCENT = re.compile(r"[0-9]+%")
_SHARE = re.compile(r"0*(100|[0-9]{1,2})%")
_CONFIG_KEY = re.compile(r"(?!\.\.?\Z)[-._a-zA-Z0-9]{1,253}")
_VARIABLE = re.compile(r"[ -<>-~]+")
_DURATION = re.compile(r"(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)")
# The charts' own resources, and what needs a name with a prefix.
_RESOURCE = re.compile(r"cpu|memory|ephemeral-storage|hugepages-.+|[^/]+/.+")
_PORTS = range(1, 65536)

# What a value of each kind must be, and what to do.
SCALARS: Mapping[str, tuple[str, str]] = {
    "amount": ("must be a quantity, not below 0, such as 500m or 1Gi", ""),
    "annotation-key": ("is not a valid key of an annotation", "use letters, digits, - _ . and at most one /"),
    "bool": ("must be true or false", "without quotes"),
    "cidr": ("must be a CIDR range such as 192.0.2.0/24", ""),
    "config-key": ("is not a valid key of a ConfigMap", "use letters, digits, - _ and ."),
    "count": ("must be a whole number, not below 0", ""),
    "count-or-percent": ("must be a whole number, not below 0, or a percentage such as 25%", ""),
    "count-or-share": ("must be a whole number, not below 0, or a percentage up to 100%", ""),
    "dns-label": ("must be a DNS label", "use at most 63 lower-case letters, digits and hyphens"),
    "duration": ("must be a duration", "such as 10s, with its unit"),
    "float": ("must be a number", ""),
    "int": ("must be a whole number", ""),
    "ip": ("must be an IP address", ""),
    "label-key": ("is not a valid label key", "use at most 63 letters, digits, - _ . after an optional prefix/"),
    "label-value": ("must be a valid label value", "use at most 63 letters, digits, - _ . with a letter or digit at both sides"),
    "number-or-text": ("must be a number or text", ""),
    "port": ("must be a port: a whole number from 1 to 65535", ""),
    "port-name": ("must be the name of a port", "use at most 15 lower-case letters, digits and hyphens, with a letter"),
    "port-or-0": ("must be 0 or a port: a whole number up to 65535", ""),
    "port-or-name": (
        "must be a port from 1 to 65535, or the name of a port",
        "a name has at most 15 lower-case letters, digits and hyphens, with a letter",
    ),
    "positive": ("must be a whole number above 0", ""),
    "quantity": ("must be a quantity such as 500m or 1Gi", ""),
    "quoted-label-value": ("must be a valid label value", "use at most 63 letters, digits, - _ . with a letter or digit at both sides"),
    "resource": ("is not a resource that a container can ask for", "such as cpu, memory or example.com/gpu"),
    "service-name": ("must be the name of a Service", "use at most 63 lower-case letters, digits and hyphens, with a letter first"),
    "single": ("must be a single value, not a list or a map", ""),
    "subdomain": ("must be a name of Kubernetes", "use lower-case letters, digits, hyphens and dots"),
    "text": ("must be text", "quote it"),
    "variable": ("is not a valid name of an environment variable", ""),
}


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a kind; text that a template makes later is of every kind."""
    return is_template(value) or _TESTS[kind](value)


def is_template(value: Any) -> bool:
    """Whether the value is text with a template in it."""
    return isinstance(value, str) and "{{" in value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    # Helm writes 1.0 as 1.
    return _is_number(value) and float(value).is_integer()


def _is_port(value: Any) -> bool:
    return _is_whole(value) and int(value) in _PORTS


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_label_key(value: Any) -> bool:
    match = _LABEL_KEY.fullmatch(value) if isinstance(value, str) else None
    return match is not None and (match["prefix"] is None or bool(_SUBDOMAIN.fullmatch(match["prefix"])))


def _is_label_value(value: Any) -> bool:
    return isinstance(value, str) and bool(_LABEL_VALUE.fullmatch(value))


def _is_address(value: Any, of: Callable[[str], object]) -> bool:
    """Kubernetes takes leading zeros, which Python does not."""
    if not isinstance(value, str):
        return False
    try:
        of(re.sub(r"(?<![0-9a-fA-F:])0+(?=[0-9])", "", value.strip()))
    except ValueError:
        return False
    return True


def _is_amount(value: Any) -> bool:
    found = None if isinstance(value, bool) else quantity(value)
    return found is not None and found >= 0


_TESTS: Mapping[str, Callable[[Any], bool]] = {
    "amount": _is_amount,
    "annotation-key": lambda value: isinstance(value, str) and _is_label_key(value.lower()),
    "bool": lambda value: isinstance(value, bool),
    "cidr": lambda value: "/" in str(value) and _is_address(value, lambda text: ip_network(text, strict=False)),
    "config-key": _matching(_CONFIG_KEY),
    "count": lambda value: _is_whole(value) and value >= 0,
    "count-or-percent": lambda value: bool(_PERCENT.fullmatch(value)) if isinstance(value, str) else _is_whole(value) and value >= 0,
    "count-or-share": lambda value: bool(_SHARE.fullmatch(value)) if isinstance(value, str) else _is_whole(value) and value >= 0,
    "dns-label": _matching(_DNS_LABEL),
    "duration": _matching(_DURATION),
    "float": _is_number,
    "int": _is_whole,
    "ip": lambda value: _is_address(value, ip_address),
    "label-key": _is_label_key,
    "label-value": _is_label_value,
    "number-or-text": lambda value: isinstance(value, str) or _is_whole(value),
    "port": _is_port,
    "port-name": _matching(_PORT_NAME),
    "port-or-0": lambda value: _is_port(value) or (_is_whole(value) and value == 0),
    "port-or-name": lambda value: _is_port(value) or _matching(_PORT_NAME)(value),
    "positive": lambda value: _is_whole(value) and value > 0,
    "quantity": lambda value: not isinstance(value, bool) and quantity(value) is not None,
    # Lists and maps here are told by the check of types.
    "quoted-label-value": lambda value: isinstance(value, list | Mapping) or not isinstance(value, str) or _is_label_value(value),
    "resource": _matching(_RESOURCE),
    "service-name": lambda value: _matching(_DNS_LABEL)(value) and not value[0].isdigit(),
    "single": lambda value: not isinstance(value, list | Mapping),
    "subdomain": _matching(_SUBDOMAIN),
    "text": lambda value: isinstance(value, str),
    "variable": _matching(_VARIABLE),
}
