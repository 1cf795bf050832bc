"""JIT caches that this machine keeps: of every key one packed file, and beside it what the pack
holds."""

import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import parse_json
from dsr1.launcher.state_folder import state_folder


@dataclass(frozen=True, slots=True)
class Pack:
    """What is known of a pack: `files` and `bytes` of its contents, its own size `packed`;
    `changed`: epoch seconds.

    `fills` are the engines that it has been filled for, see JitCache.
    """

    key: str
    made_of: tuple[tuple[str, str], ...]
    fills: tuple[str, ...]
    files: int
    bytes: int
    digest: str
    source: str
    sha256: str = ""
    packed: int = 0
    changed: float = 0.0


def jit_store() -> "PackStore":
    """This user's, on the machine that supervises."""
    return PackStore(state_folder() / "jit")


class PackStore:
    """A folder of KEY.tar.xz and KEY.json; the JSON comes last, so a pack without it isn't
    there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self) -> list[Pack]:
        """The newest first. What can't be read is passed over."""
        found = (self.find(file.stem) for file in self._folder.glob("*.json"))
        return sorted((pack for pack in found if pack), key=lambda pack: -pack.changed)

    def find(self, key: str) -> Pack | None:
        try:
            pack: Pack = parse_json(Pack, self._file(key, "json").read_bytes())
        except (OSError, ValueError):
            return None
        return pack if self._file(key, "tar.xz").exists() else None

    def read(self, pack: Pack) -> bytes:
        """ValueError: it isn't what was saved."""
        file = self._file(pack.key, "tar.xz")
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != pack.sha256:
            raise ValueError(
                f"{file} is damaged: its sha256 is not the one in its .json;"
                f" `dsr1 cache prune {pack.key}` removes it"
            )
        return data

    def save(self, pack: Pack, data: bytes) -> Pack:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole = replace(
            pack, sha256=hashlib.sha256(data).hexdigest(), packed=len(data), changed=time.time()
        )
        self._file(pack.key, "json").unlink(missing_ok=True)
        write_file(self._file(pack.key, "tar.xz"), data)
        write_file(self._file(pack.key, "json"), json.dumps(asdict(whole), indent=1).encode())
        return whole

    def drop(self, key: str) -> None:
        for kind in ("json", "tar.xz"):
            self._file(key, kind).unlink(missing_ok=True)

    def _file(self, key: str, kind: str) -> Path:
        return self._folder / f"{key}.{kind}"
