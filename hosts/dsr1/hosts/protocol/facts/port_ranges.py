"""The kernel's words for ranges of ports, as /proc/sys/net/ipv4 has them."""


def parse_range(text: str) -> tuple[int, int]:
    """/proc/sys/net/ipv4/ip_local_port_range: both ends belong to it."""
    low, high = text.split()
    return int(low), int(high)


def parse_reserved(text: str) -> list[tuple[int, int]]:
    """/proc/sys/net/ipv4/ip_local_reserved_ports: "8080,9148-9150"."""
    parts = [part.partition("-") for part in text.strip().split(",") if part]
    return [(int(low), int(high or low)) for low, _, high in parts]
