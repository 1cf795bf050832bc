"""A model's files as they lie there, beside what its index and the headers of its shards
promise."""

import hashlib
import json
import os
import stat
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import reason_of

INDEX, SUMS = "model.safetensors.index.json", "SHA256SUMS"
WORK = ".dsr1"  # where `fetch` and `push` keep what isn't complete yet
UNFINISHED = (".incomplete", ".part")
LFS, POINTER_BYTES = b"version https://git-lfs", 1024
LONGEST_HEADER = 100_000_000  # safetensors takes no longer one
SMALL_BYTES = 64 << 20
LARGEST_RECORD = 256 << 20
_NO_NAMES = ("", ".", "..")
AT_ONCE = 16  # a network's file system answers many as quickly as one


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file. `wanted`: the size by a shard's own header. `digest`: of files that are no
    shards.

    `problem` is what is there in place of a file that can be read.
    """

    size: int | None = None
    wanted: int | None = None
    digest: str = ""
    problem: str = ""


def list_model_files(folder: Path) -> dict[str, ModelFile]:
    """Every file of the folder, and every shard that its index names, by name. OSError: the folder
    can't be read."""
    listed = {entry.name for entry in os.scandir(folder) if _counts(entry)}
    index, problem = _index(folder)
    names = sorted(listed | set(index))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        read = pool.map(lambda name: _read(folder, name, index.get(name, ())), names)
        files = dict(zip(names, read, strict=True))
    return files | ({INDEX: ModelFile(problem=problem)} if problem else {})


def _counts(entry: "os.DirEntry[str]") -> bool:
    """Not hidden, no folder, and none of the record of hashes: it need not be on every host."""
    return not entry.name.startswith(".") and entry.name != SUMS and not _is_folder(entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """A link that leads in a circle is none; what is wrong with it shows when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _index(folder: Path) -> tuple[dict[str, list[str]], str]:
    """Tensors by shard, and what is wrong with the index. A model of one shard has none."""
    try:
        return read_index(_read_regular(folder / INDEX)), ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"is no index: {error}"


def _read_regular(path: Path) -> bytes:
    """Opening a pipe would never end, and what is larger is no record of a model."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_RECORD:
        raise ValueError(f"{path} is no regular file of at most {LARGEST_RECORD} bytes")
    return path.read_bytes()


def read_index(data: bytes) -> dict[str, list[str]]:
    """Tensors by shard. ValueError: it isn't what safetensors writes."""
    try:
        shards: dict[str, list[str]] = {}
        for tensor, shard in json.loads(data)["weight_map"].items():
            shards.setdefault(_plain_name(shard), []).append(tensor)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no weight_map of tensors to files ({error})") from error
    return shards


def _plain_name(name: object) -> str:
    if not isinstance(name, str) or not name.isprintable() or "/" in name or name in _NO_NAMES:
        raise ValueError(f"{name!r} is not the name of a file beside it")
    return name


def _read(folder: Path, name: str, tensors: "list[str] | tuple[()]") -> ModelFile:
    path = folder / name
    try:
        return _read_file(path, tensors)
    except FileNotFoundError:
        there = path.is_symlink()
        return ModelFile(problem=f"a link to nothing: {path.readlink()}" if there else "not there")
    except OSError as error:
        return ModelFile(problem=reason_of(error))


def _read_file(path: Path, tensors: "list[str] | tuple[()]") -> ModelFile:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would never end
        return ModelFile(problem="no regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < POINTER_BYTES and file.read(len(LFS)) == LFS:
            return ModelFile(size, problem="a Git LFS pointer, not the file itself")
        file.seek(0)
        if path.suffix != ".safetensors":
            is_small = size <= SMALL_BYTES
            digest = hashlib.sha256(file.read()).hexdigest() if is_small else ""
            return ModelFile(size, digest=digest)
        length = file.read(8)
        header = file.read(min(_length(length), size, LONGEST_HEADER))
    try:
        return ModelFile(size, *_judge_header(length, header, tensors))
    except ValueError as error:
        return ModelFile(size, problem=str(error))


def _length(data: bytes) -> int:
    return int(struct.unpack("<Q", data)[0]) if len(data) == 8 else 0


def _judge_header(
    length: bytes, data: bytes, tensors: "list[str] | tuple[()]"
) -> tuple[int, str, str]:
    """Wanted size, no digest, and a problem. ValueError: this is no header."""
    size = _length(length)
    if size != len(data) or not data:
        raise ValueError(
            f"no safetensors header: {size} bytes are announced, {len(data)} are there"
        )
    ends = parse_header(data)
    problem = ""
    if lacking := sorted(set(tensors) - set(ends)):
        problem = f"lacks {len(lacking)} tensors of the index: {', '.join(lacking[:3])}"
    return 8 + size + max(ends.values(), default=0), "", problem


def parse_header(data: bytes) -> dict[str, int]:
    """Where each tensor's bytes end, counted from the end of the header. ValueError: this is no
    header."""
    try:
        header = json.loads(data)
        header.pop("__metadata__", None)
        return {name: int(entry["data_offsets"][1]) for name, entry in header.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no safetensors header: {error}") from error


def leftovers(folder: Path) -> list[str]:
    """What downloads have not finished: here, in the hub's notes beside it, and, in its cache,
    where the blobs lie."""
    found = [
        *folder.glob("*"),
        *(folder / ".cache/huggingface/download").rglob("*"),
        *(folder / WORK).rglob("*"),
    ]
    if folder.parent.name == "snapshots":
        found += (folder.parent.parent / "blobs").glob("*")
    return sorted(str(path) for path in found if path.suffix in UNFINISHED)


def find_folder(model: str, environ: Mapping[str, str]) -> Path:
    """A folder as it is; of a hub's id, the snapshot of `main` in the hub's cache.
    FileNotFoundError says where."""
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")) or model.count("/") != 1:
        return folder
    home = hub_cache(environ) / f"models--{model.replace('/', '--')}"
    try:
        return home / "snapshots" / (home / "refs" / "main").read_text().strip()
    except FileNotFoundError:
        raise FileNotFoundError(2, f"{model} is not in {hub_cache(environ)}") from None


def hub_cache(environ: Mapping[str, str]) -> Path:
    """As huggingface_hub's constants.py has it."""
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def read_sums(folder: Path) -> dict[str, str]:
    """Hash by name, as `sha256sum` writes them; empty when there is no such record."""
    try:
        lines = _read_regular(folder / SUMS).decode(errors="replace").splitlines()
    except (FileNotFoundError, ValueError):
        return {}
    return dict(_sum(line) for line in lines if line.strip())


def _sum(line: str) -> tuple[str, str]:
    digest, _, name = line.partition(" ")
    return name.lstrip(" *"), digest


def render_sums(hashes: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
