"""NumPy's .npz of float64 arrays, without NumPy, which dsr1 needs for nothing else. The format is
of numpy.lib.format, version 1.0. Pure."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

_Row = Sequence[float]
_MAGIC, _ALIGNMENT = b"\x93NUMPY\x01\x00", 64
_TIME = (1980, 1, 1, 0, 0, 0)


def render_npz(arrays: Mapping[str, _Row | Sequence[_Row]]) -> bytes:
    """By name; the same values give the same bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, values in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _TIME), _npy(values))
    return written.getvalue()


def _npy(values: _Row | Sequence[_Row]) -> bytes:
    rows = [list(one) if isinstance(one, Sequence) else [one] for one in values]
    is_table = isinstance(values[0], Sequence)
    shape = f"({len(rows)}, {len(rows[0])})" if is_table else f"({len(rows)},)"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    padding = -(len(_MAGIC) + 2 + len(header) + 1) % _ALIGNMENT
    header += b" " * padding + b"\n"
    flat = [number for row in rows for number in row]
    return _MAGIC + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(flat)}d", *flat)
