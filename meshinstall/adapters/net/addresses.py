"""Addresses of this machine."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, with IPv4 inside of IPv6 as IPv4; None for a name."""
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address alone."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback
