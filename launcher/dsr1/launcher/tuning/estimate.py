"""What a deployment would do under a closed loop, from the times of its steps. Pure.

Little's law holds the parts together: what is under way is what comes a second times how long it
stays. A prompt of a neighbour interrupts an aggregated rank's answers; where prefill is apart, its
rate is a ceiling, and what is beyond waits before it.
"""

from collections.abc import Mapping

from dsr1.launcher.tuning.candidate import Candidate, EnginePart
from dsr1.launcher.tuning.goal import Figures, TuneGoal, best, meets
from dsr1.launcher.tuning.prediction.table import TimeTable

Tables = Mapping[str, TimeTable]
"""By a mapping's label."""
MOST_CONCURRENCY = 16384
_ROUNDS = 40


def estimate(candidate: Candidate, tables: Tables, goal: TuneGoal, concurrency: int) -> Figures:
    """KeyError: a mapping that has no table."""
    if len(candidate.parts) == 1:
        return _aggregated(candidate, tables, goal, concurrency)
    return _apart(candidate, tables, goal, concurrency)


def _aggregated(candidate: Candidate, tables: Tables, goal: TuneGoal, concurrency: int) -> Figures:
    (part,) = candidate.parts
    table, prompt = tables[part.mapping.label], tables[part.mapping.label].prefill_ms(goal.isl)
    held, why = _held(part, goal, concurrency)
    batch = held / part.ranks
    stalls = prompt * max(0.0, batch - 1) / goal.osl
    itl = table.decode_ms(batch) + stalls
    rate = held / (prompt + goal.osl * itl)
    ttft = prompt + (concurrency - held) / rate
    limit = why or ("prefill" if stalls > itl / 2 else "decode")
    return _figures(candidate, goal, concurrency, ttft, itl, rate, limit)


def _apart(candidate: Candidate, tables: Tables, goal: TuneGoal, concurrency: int) -> Figures:
    prefill, decode = candidate.part_of("prefill"), candidate.part_of("decode")
    prompt = tables[prefill.mapping.label].prefill_ms(goal.isl)
    ceiling, steps = prefill.ranks / prompt, tables[decode.mapping.label]
    rate = ceiling
    for _ in range(_ROUNDS):
        held, why = _held(decode, goal, concurrency - rate * prompt)
        itl = steps.decode_ms(held / decode.ranks)
        rate = (rate + min(ceiling, held / (goal.osl * itl))) / 2
    inside = rate * goal.osl * itl
    ttft = max(prompt, (concurrency - inside) / rate)
    limit = "prefill" if rate > 0.95 * ceiling else why or "decode"
    return _figures(candidate, goal, concurrency, ttft, itl, rate, limit)


def _held(part: EnginePart, goal: TuneGoal, wanted: float) -> tuple[float, str]:
    """How many sequences are under way, and what keeps others waiting."""
    room = part.kv_tokens / (goal.isl + goal.osl) if part.kv_tokens else MOST_CONCURRENCY
    most = min(part.sequences or MOST_CONCURRENCY, room) * part.ranks
    if wanted <= most:
        return max(wanted, 0.001), ""
    return most, "KV cache" if room < (part.sequences or MOST_CONCURRENCY) else "queue"


def _figures(
    candidate: Candidate,
    goal: TuneGoal,
    concurrency: int,
    ttft: float,
    itl: float,
    rate: float,
    limit: str,
) -> Figures:
    """`rate`: requests a ms."""
    per_gpu = rate * 1000 / candidate.gpus
    notes = ("extrapolated",) if candidate.is_wide else ()
    found = Figures(concurrency, ttft, itl, per_gpu * goal.osl, 1000 / itl, per_gpu, limit, notes)
    if meets(goal, found):
        return found
    return Figures(concurrency, ttft, itl, per_gpu * goal.osl, 1000 / itl, 0.0, limit, notes)


def curve(candidate: Candidate, tables: Tables, goal: TuneGoal) -> tuple[Figures, ...]:
    """At 1, 2, 4 ... at once, until more at once gives no more."""
    found = [estimate(candidate, tables, goal, 1)]
    while found[-1].concurrency < MOST_CONCURRENCY:
        found.append(estimate(candidate, tables, goal, found[-1].concurrency * 2))
        if found[-1].tokens_s_gpu < 1.02 * found[-2].tokens_s_gpu:
            break
    return tuple(found)


def knee(goal: TuneGoal, figures: tuple[Figures, ...]) -> int:
    """Where to begin: the best of those that meet the limits, else the least load."""
    found = best(goal, figures)
    return found.concurrency if found else figures[0].concurrency
