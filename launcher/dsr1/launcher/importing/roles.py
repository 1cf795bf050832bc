"""Which workers prefill, which decode, and which do both: by their flags, their types and their names. Pure."""

from collections.abc import Container

PREFILL, DECODE, BOTH = "prefill", "decode", "aggregated"


def role_of(by_flag: str, said: str, others: Container[str]) -> str:
    """A worker's role, of what its flags and its type or name say, and what the other workers turned out to be.

    A flag is what runs, so it wins. In Dynamo a worker without one serves whole requests, and called decode or not,
    it decodes alone only where another worker prefills.
    """
    if by_flag in (PREFILL, BOTH):
        return by_flag
    if said == PREFILL and not by_flag:
        return PREFILL
    return DECODE if PREFILL in others else BOTH
