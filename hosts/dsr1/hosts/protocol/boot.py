"""Which boot of the host this is; apart from the rest, since every introduction of a host needs
it."""


def boot_id() -> str:
    """Another one after every boot of the host."""
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 - pathlib takes longer to import
        return file.read().strip()
