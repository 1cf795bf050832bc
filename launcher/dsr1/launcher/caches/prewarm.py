"""Fill the JIT caches of a recipe's engines with one rank on one host, before all hosts are taken
for the real start.

A kernel's shape follows from the model's dimensions, the experts of a GPU and the tokens of a step,
not from the number of layers. So one rank with dummy weights, a layer of each kind, and as many
experts as a GPU of the real plan holds compiles the same kernels. What only several ranks run
(all-to-all and its layouts) is left to the first real start.
"""

from collections.abc import Mapping

from dsr1.env.caches import HostCache
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.types import FlagValue

DUMMY: dict[str, FlagValue] = {"load-format": "dummy"}


def prewarm_engines(plan: Plan) -> dict[str, HostCache]:
    """By engine, the cache of its leader's host."""
    return {one.engine: one for one in reversed(plan.caches)}


def make_prewarming(recipe: Recipe, name: str, ranks: int, config: Mapping[str, object]) -> Recipe:
    """The recipe of one rank that compiles for the engine `name` of so many. `config` is the
    model's config.json."""
    engine = recipe.engines[name]
    overrides = {**shrunk(config, engine, ranks), **engine.overrides}
    args = {**engine.args, **DUMMY}
    one = {
        "role": "aggregated",
        "replicas": 1,
        "kv_transfer": None,
        "kv_events": False,
        "layout": "per_node",
        "nodes": 1,
        "ranks_per_node": 1,
        "data_parallel_size": "all",
        "all2all_backend": None,
        "eplb": None,
        "dbo": None,
        "args": {**args, **({"hf-overrides": overrides} if overrides else {})},
    }
    changes = {"stack": "vllm", "engines": {name: engine.model_copy(update=one)}, "spares": []}
    return recipe.model_copy(update=changes)


def shrunk(config: Mapping[str, object], engine: Engine, ranks: int) -> dict[str, object]:
    """Overrides that leave one MoE layer behind the dense ones, and one GPU's share of the
    experts."""
    dense, experts = config.get("first_k_dense_replace"), config.get("n_routed_experts")
    if not isinstance(dense, int) or not isinstance(experts, int):
        return {}
    redundant = engine.eplb.num_redundant_experts if engine.eplb else 0
    slots = -(-(experts + redundant) // ranks)
    fewer = {"n_routed_experts": slots, "n_group": 1, "topk_group": 1} if slots != experts else {}
    chosen = config.get("num_experts_per_tok")
    # a router can't choose more experts than there are
    if isinstance(chosen, int) and chosen > slots:
        fewer["num_experts_per_tok"] = slots
    return {"num_hidden_layers": dense + 1, **fewer}
