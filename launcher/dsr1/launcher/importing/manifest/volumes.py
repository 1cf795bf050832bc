"""Where the volumes of a service are mounted: paths that a host doesn't have by itself. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from dsr1.launcher.importing.manifest.services import GraphService
from dsr1.launcher.importing.manifest.tree import Place, YamlMapping, YamlText


@dataclass(frozen=True, slots=True)
class Mount:
    name: str
    path: str
    place: Place


def mounts_of(service: GraphService) -> tuple[Mount, ...]:
    """In either spelling: mountPoint of a service, mountPath of a container."""
    found = []
    for holder, key in ((service.fields, "mountPoint"), (service.container, "mountPath")):
        for item in holder.items("volumeMounts"):
            path = item.get(key) if isinstance(item, YamlMapping) else None
            if isinstance(item, YamlMapping) and isinstance(path, YamlText):
                found.append(Mount(item.text("name"), path.text.rstrip("/"), path.place))
    return tuple(found)


def mount_holding(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path lies in, the deepest of several."""
    around = [
        mount
        for mount in mounts
        if mount.path and (path == mount.path or path.startswith(f"{mount.path}/"))
    ]
    return max(around, key=lambda mount: len(mount.path), default=None)
