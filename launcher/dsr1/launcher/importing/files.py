"""The manifest's file in, the recipe's file out."""

import os
import sys
from pathlib import Path

from dsr1.hosts.errors import InputError

_MAX_BYTES = 4 * 2**20


def read_manifest(name: str) -> str:
    """The text of a file, of a pipe, or of stdin (-). Raises InputError for what is no text, or too
    long."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{name}: can't be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(data) > _MAX_BYTES:
        raise InputError(f"{name}: larger than {_MAX_BYTES} bytes, so it is not a manifest")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not text: byte {error.start} is no UTF-8") from None
    if "\0" in text:
        raise InputError(
            f"{name}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: not text: it has a NUL byte"
        )
    return text


def write_recipe(file: Path, text: str, force: bool) -> None:
    """Whole or not at all, and over nothing that is there unless forced. Raises InputError."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        if force:
            partial.replace(file)
        else:
            os.link(partial, file)
    except FileExistsError:
        raise InputError(f"{file}: is there already; --force writes over it") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: can't be written: {getattr(error, 'strerror', None) or error}"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
