"""The variables that every vLLM process of a node gets: addresses, interfaces, DeepEP's queue
depth, timeouts."""

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import Variable

LOOPBACK = "lo"
ADDRESSES = ("VLLM_HOST_IP", "VLLM_NIXL_SIDE_CHANNEL_HOST")
EXACT = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
# These match by prefix unless the name begins with `=`: eth1 matches eth10, too (NCCL's socket.cc,
# and NVSHMEM's copy of it).
BY_PREFIX = ("NCCL_SOCKET_IFNAME", "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME")


def control_plane(host: Host) -> tuple[Variable, ...]:
    """Which address and interface this node talks over. Without them gloo binds what /etc/hosts
    says."""
    found = [Variable(name, host.address, address_source(host)) for name in ADDRESSES]
    source = f"interface of {host.address}{_origin(host)}"
    if host.interface:
        found += [Variable(name, host.interface, source) for name in EXACT]
        found += [Variable(name, f"={host.interface}", source) for name in BY_PREFIX]
    return tuple(found)


def address_source(host: Host) -> str:
    return f"address of {host.name}{_origin(host)}"


def _origin(host: Host) -> str:
    return " (facts)" if host.interface and host.interface != LOOPBACK else ""


def queue_depth(all2all_backend: str | None, token_budget: int | None) -> tuple[Variable, ...]:
    """DeepEP's low-latency kernels assert NVSHMEM_QP_DEPTH >= 2 * (tokens per step + 1); NVSHMEM's
    default is 1024."""
    if all2all_backend != "deepep_low_latency" or token_budget is None:
        return ()
    depth = max(1024, 1 << (2 * (token_budget + 1) - 1).bit_length())
    return (
        Variable(
            "NVSHMEM_QP_DEPTH", str(depth), f"2 * ({token_budget} tokens + 1), as a power of two"
        ),
    )


def visible_devices(devices: tuple[int, ...], on_host: int) -> tuple[Variable, ...]:
    """Name the GPUs only where a process takes fewer than the host has."""
    if not devices or len(devices) == on_host:
        return ()
    return (
        Variable(
            "CUDA_VISIBLE_DEVICES",
            ",".join(map(str, devices)),
            f"GPUs of this process ({on_host} on the host)",
        ),
    )
