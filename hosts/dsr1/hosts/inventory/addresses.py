"""What may stand for a host in a URL or an argument: a name, or an IPv4 address. Pure."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_LONGEST = 253  # RFC 1035
_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)+", re.ASCII)


def address_problem(value: str) -> str:
    """Why it can't; empty: it can."""
    if is_ipv6(value.strip("[]")):
        return "an IPv6 address is for SSH alone: give a name or an IPv4 address here"
    if _NUMBERS.fullmatch(value) and not _is_ipv4(value):
        return "is not an IPv4 address: four numbers from 0 to 255 are wanted"
    if len(value) > _LONGEST or not _NAME.fullmatch(value) or ".." in value:
        return "is not a host's name or address"
    return ""


def is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text).compressed)
    except ValueError:
        return False


def first_address(network: str | None) -> str:
    """One that the kernel has a route to, if it is in that network; empty: no network is given."""
    return str(next(iter(IPv4Network(network).hosts()))) if network else ""


def is_within(address: str, network: str) -> bool:
    return _is_ipv4(address) and IPv4Address(address) in IPv4Network(network)


def _is_ipv4(text: str) -> bool:
    try:
        return bool(IPv4Address(text).compressed)
    except ValueError:
        return False
