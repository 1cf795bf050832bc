"""Values that no honest host sends."""

import copy
from typing import Any

from hypothesis import strategies as st

NUMBERS = (
    0,
    -1,
    -(10**18),
    2**31,
    2**63,
    2**64,
    10**30,
    10**400,
    1e308,
    -1e308,
    float("inf"),
    float("nan"),
    0.1,
)
TEXTS = (
    "",
    "\0",
    "\x1b[2J",
    "‮",
    "\udcff",
    "../../etc",
    "a b",
    "';id",
    "9" * 5000,
    "x" * 100_000,
    "9.9.9.9.9",
    "-",
)
HOSTILE_TEXTS = (
    b"",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"0",
    b'""',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 500 + b"]" * 500,
    b"1e999",
    b"9" * 100_000,
    b"NaN",
    b"Infinity",
    b'{"processes": 1, "agent": 2, "boot_id": []}',
    b'{"clock.now": {"value": 1e999, "source": ""}}',
    b"\x1b]0;owned\x07",
    b"<html>",
)
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS)
    | st.integers()
    | st.floats()
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def one_part_changed(draw: st.DrawFn, value: Any) -> Any:
    """The same, but for one value somewhere in it, one key that is gone, or one more."""
    changed = copy.deepcopy(value)
    path: list[Any] = []
    here = changed
    while isinstance(here, (dict, list)) and here and (not path or draw(st.integers(0, 3))):
        keys = sorted(here) if isinstance(here, dict) else range(min(len(here), 20))
        path.append(draw(st.sampled_from(list(keys))))
        here = here[path[-1]]
    if not path:
        return draw(any_json)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if draw(st.integers(0, 9)) == 0:
        del parent[path[-1]]
    else:
        parent[path[-1]] = draw(any_json)
    return changed
