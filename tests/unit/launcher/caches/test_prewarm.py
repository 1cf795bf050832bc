"""What one rank must be like to compile what the ranks of the real plan will need."""

from dsr1.launcher.caches.prewarm import make_prewarming, shrunk
from dsr1.launcher.recipe.engine import Engine, Eplb
from dsr1.launcher.recipe.load import load_recipe, parse_recipe

R1 = {"first_k_dense_replace": 3, "n_routed_experts": 256, "n_group": 8}


def test_one_layer_of_each_kind_and_one_gpus_experts() -> None:
    wanted = {"num_hidden_layers": 4, "n_routed_experts": 16, "n_group": 1, "topk_group": 1}
    assert shrunk(R1, Engine(), 16) == wanted
    redundant = Engine(eplb=Eplb(num_redundant_experts=32))
    assert shrunk(R1, redundant, 16)["n_routed_experts"] == 18


def test_one_rank_has_all_experts() -> None:
    assert shrunk(R1, Engine(), 1) == {"num_hidden_layers": 4}


def test_a_token_goes_to_no_more_experts_than_one_gpu_has() -> None:
    chosen = [
        shrunk({**R1, "num_experts_per_tok": 8}, Engine(), ranks).get("num_experts_per_tok")
        for ranks in (32, 64)
    ]
    assert chosen == [None, 4]


def test_another_kind_of_model_is_left_as_it_is() -> None:
    assert shrunk({}, Engine(), 16) == {}
    assert shrunk({"first_k_dense_replace": "3", "n_routed_experts": None}, Engine(), 16) == {}


def test_the_recipe_of_one_rank() -> None:
    one = make_prewarming(load_recipe("dsr1-dep"), "main", 16, R1)
    engine = one.engines["main"]
    assert (one.stack, engine.nodes, engine.ranks_per_node, engine.all2all_backend) == (
        "vllm",
        1,
        1,
        None,
    )
    assert engine.args["load-format"] == "dummy"
    assert (
        engine.max_num_batched_tokens
        == load_recipe("dsr1-dep").engines["main"].max_num_batched_tokens
    )


def test_the_users_own_overrides_win() -> None:
    text = (
        "{name: x, model: {path: /m}, engines: {main: {args: {hf-overrides: {num_hidden_layers:"
        " 5}}}}}"
    )
    one = make_prewarming(parse_recipe(text, "x"), "main", 16, R1)
    assert one.engines["main"].args["hf-overrides"] == {
        "num_hidden_layers": 5,
        "n_routed_experts": 16,
        "n_group": 1,
        "topk_group": 1,
    }


def test_what_is_sent_between_engines_is_left_out() -> None:
    recipe = load_recipe("dsr1-disagg-h200", ["engines.prefill.args={seed: 1}"])
    one = make_prewarming(recipe, "prefill", 16, {}).engines["prefill"]
    assert (one.connectors, one.kv_events, one.args) == (
        (),
        False,
        {"seed": 1, "load-format": "dummy"},
    )
