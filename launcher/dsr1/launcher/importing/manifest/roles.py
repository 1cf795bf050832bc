"""Which workers prefill, which decode, and which do both: by their flags, their types and their
names. Pure."""

from collections.abc import Sequence

PREFILL, DECODE, BOTH = "prefill", "decode", "aggregated"


def role_of(by_flag: str, declared: str, prefills: Sequence[str]) -> str:
    """A worker's role, of what its flags and its type or name say; `prefills` has PREFILL for each
    that is to prefill.

    A flag is what runs, so it wins. In Dynamo a worker without one serves whole requests, whatever
    it is called; it decodes alone only where another worker prefills, and prefills alone only where
    another does not.
    """
    if by_flag in (PREFILL, BOTH):
        return by_flag
    if declared == PREFILL and not by_flag:
        return PREFILL if "" in prefills else BOTH
    return DECODE if PREFILL in prefills else BOTH
