"""A tuning's rehearsal: every engine a simulator, timed by the prediction, on this machine. Pure.

Two cores carry a few thousand tokens a second through frontend and driver, so answers are short and
few requests are under way at once; the knee of prefill is then at few, too.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.npz import render_npz
from dsr1.launcher.tuning.prediction.table import TimeTable

SPEEDUP = 5.0
MOST_OSL, MOST_ISL, MOST_AT_ONCE = 64, 4096, 32
PROFILE, SPEED = "planner-profile-data", "speedup-ratio"
MARGIN = 8.0


def rehearsed_goal(goal: TuneGoal) -> TuneGoal:
    return replace(goal, isl=min(goal.isl, MOST_ISL), osl=min(goal.osl, MOST_OSL))


def render_profile(table: TimeTable, goal: TuneGoal) -> bytes:
    """The simulator's table of times: prompts by their tokens, steps by what is under way."""
    context = goal.isl + goal.osl / 2
    most = max(tokens for tokens, _ in table.prefill) * MARGIN
    prompts = [0.0, *(tokens for tokens, _ in table.prefill), most]
    kv_tokens = [0.0, *(batch * context for batch, _ in table.decode)]
    steps = [table.decode_ms(tokens / context) for tokens in kv_tokens]
    return render_npz(
        {
            "prefill_isl": prompts,
            "prefill_ttft_ms": [table.prefill_ms(tokens) for tokens in prompts],
            "decode_active_kv_tokens": kv_tokens,
            "decode_context_length": [1.0, context * MARGIN],
            "decode_itl": [[step, step] for step in steps],
        }
    )


def rehearsed_recipe(recipe: Recipe, candidate: Candidate, profiles: Mapping[str, Path]) -> Recipe:
    """`profiles` by a mapping's label."""
    simulated = rehearse(recipe)
    engines = dict(simulated.engines)
    for part in candidate.parts:
        file = profiles[part.mapping.label]
        args = {PROFILE: str(file), SPEED: SPEEDUP}
        engines[part.engine] = engines[part.engine].model_copy(update={"args": args})
    return simulated.model_copy(update={"engines": engines})
