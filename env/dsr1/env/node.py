"""The variables that every vLLM process of a node gets: addresses, interfaces, DeepEP's queue depth, timeouts."""

from dsr1.hosts.host import Host
from dsr1.hosts.process import Variable


def control_plane(host: Host) -> tuple[Variable, ...]:
    """Which address and interface this node talks over. Without them gloo binds what /etc/hosts says."""
    address = ("VLLM_HOST_IP", "VLLM_NIXL_SIDE_CHANNEL_HOST")
    names = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME")
    found = [Variable(name, host.address, f"address of {host.name}") for name in address]
    if host.interface:
        found += [Variable(name, _exact(name, host.interface), f"interface of {host.address}") for name in names]
    return tuple(found)


def _exact(name: str, interface: str) -> str:
    """NCCL and NVSHMEM match by prefix unless told otherwise: eth1 would match eth10."""
    return f"={interface}" if name.startswith("NCCL") else interface


def queue_depth(all2all_backend: str | None, token_budget: int | None) -> tuple[Variable, ...]:
    """DeepEP's low-latency kernels assert NVSHMEM_QP_DEPTH >= 2 * (tokens per step + 1); NVSHMEM's default is 1024."""
    if all2all_backend != "deepep_low_latency" or token_budget is None:
        return ()
    depth = max(1024, 1 << (2 * (token_budget + 1) - 1).bit_length())
    return (Variable("NVSHMEM_QP_DEPTH", str(depth), f"2 * ({token_budget} tokens + 1), as a power of two"),)


def visible_devices(devices: tuple[int, ...], on_host: int) -> tuple[Variable, ...]:
    """Name the GPUs only where a process takes fewer than the host has."""
    if not devices or len(devices) == on_host:
        return ()
    return (
        Variable("CUDA_VISIBLE_DEVICES", ",".join(map(str, devices)), f"GPUs of this process ({on_host} on the host)"),
    )
