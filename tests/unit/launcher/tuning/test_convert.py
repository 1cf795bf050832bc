"""A recipe in another mapping: golden files, what can't be divided in words, and that what is written reads back as
the same recipe."""

from pathlib import Path

import pytest
from tests.answers import data_of
from tests.unit.launcher.conftest import Call

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.load import RecipeChanges, Resolved, resolve_recipe
from dsr1.launcher.tuning.mapping.convert import KeyChange, convert_engine
from dsr1.launcher.tuning.mapping.dimensions import (
    Dimensions,
    ModelConfig,
    parse_dimensions,
    read_model_config,
)
from dsr1.launcher.tuning.mapping.divide import mapping_problems
from dsr1.launcher.tuning.mapping.label import parse_mapping
from dsr1.launcher.tuning.mapping.recipe import convert_recipe

GOLDEN = Path(__file__).parents[3] / "golden" / "convert"
R1 = Dimensions(256, 128, 128, 18432, 2048, 128, True)
DENSE = Dimensions(0, 32, 8, 14336, 0, 0, False)
CASES = [
    ("dsr1-dep", "tp8"),
    ("dsr1-dep", "dp2xtp4"),
    ("dsr1-dep", "dep16"),
    ("dsr1-disagg-h200", "tep8 --role decode"),
    ("dsr1-disagg-h100", "dep24"),
    ("dsr1-disagg-8gpu", "tep8 --profile fp8-two-hosts"),
]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_it_is_the_golden_one(
    case: tuple[str, str], call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, words = case
    assert call("convert", recipe, "--to", *words.split()) == 0
    golden = GOLDEN / f"{recipe}-{words.replace(' ', '')}.yaml"
    assert capsys.readouterr().out == golden.read_text()


def given(recipe: str, *settings: str) -> Resolved:
    return resolve_recipe(recipe, RecipeChanges(settings=settings, model="/m/DeepSeek-R1"))


@pytest.mark.parametrize(
    ("recipe", "to"),
    [
        ("dsr1-dep", "tp8"),
        ("dsr1-dep", "dep4xtp2"),
        ("dsr1-disagg-h200", "dep32"),
        ("dsr1-disagg-h200", "dp2xtp4"),
        ("dsr1-disagg-8gpu", "tep8"),
        ("dsr1-vllm", "dep16"),
    ],
)
def test_what_is_written_is_what_was_made(recipe: str, to: str, tmp_path: Path, call: Call) -> None:
    """And in its own mapping again nothing is left to change."""
    file = tmp_path / "new.yaml"
    settings = ("engines.main.kv_events=false",) if recipe == "dsr1-vllm" else ()
    more = [word for one in settings for word in ("--set", one)]
    model = ("--model", "/m/DeepSeek-R1")
    assert call("convert", recipe, "--to", to, "-o", str(file), *model, *more) == 0
    made = convert_recipe(given(recipe, *settings), parse_mapping(to))
    assert resolve_recipe(str(file), RecipeChanges()).recipe == made.resolved.recipe
    again = convert_recipe(made.resolved, parse_mapping(to))
    assert [one.key for one in again.changes if one.key != "name"] == []


def changes(engine: Engine, to: str, sizes: Dimensions = R1) -> dict[str, object]:
    return {one.key: one.value for one in convert_engine("main", engine, parse_mapping(to), sizes)}


def test_limits_are_of_a_rank() -> None:
    """An MLA cache is whole on each GPU of a rank; others are divided, so a wide rank holds more."""
    engine = Engine(role="prefill", max_num_seqs=16, max_num_batched_tokens=8192)
    assert changes(engine, "tep8")["max_num_batched_tokens"] == 32768
    assert "max_num_seqs" not in changes(engine, "tep8")
    dense = engine.model_copy(update={"expert_parallel": False})
    assert changes(dense, "tp8", DENSE)["max_num_seqs"] == 128
    uncut = Engine(
        max_num_seqs=4,
        max_model_len=9000,
        max_num_batched_tokens=9000,
        tensor_parallel_size=8,
        args={"enable-chunked-prefill": False},
    )
    assert "max_num_batched_tokens" not in changes(uncut, "dep8")  # a whole prompt must fit


def test_balancing_goes_where_there_is_nothing_to_deal() -> None:
    engine = Engine.model_validate({"eplb": {"num_redundant_experts": 32}, "nodes": 2})
    assert changes(engine, "tp8")["eplb"] is None
    assert changes(Engine.model_validate({"eplb": {}}), "dep24")["eplb.num_redundant_experts"] == 8
    assert changes(engine, "dep64")["eplb.num_redundant_experts"] == 64


def test_a_size_that_was_given_is_given_anew() -> None:
    engine = Engine(data_parallel_size=16, nodes=2)
    assert changes(engine, "dep8")["data_parallel_size"] == 8
    assert "data_parallel_size" not in changes(Engine(nodes=2), "dep8")


@pytest.mark.parametrize(
    ("to", "sizes", "words"),
    [
        ("tep3", R1, "128 attention heads can't be divided evenly among 3 GPUs; 2 would do"),
        ("dep7", R1, "256 experts can't be divided evenly among 7 GPUs; 4 would do"),
        ("dp32", R1, "moe_intermediate_size 2048 over 32 GPUs is 64 each, no multiple of the 128"),
        ("tp16", R1, "wider than a host, which has 8"),
        ("dep8", DENSE, "has no routed experts; tp or dp"),
        ("tp3", DENSE, "8 KV heads and 3 GPUs: neither divides the other"),
        ("dp9", DENSE, "9 ranks can't be dealt evenly to hosts of 8 GPUs"),
        ("dep4xtp8", R1, ""),
        ("tp8", DENSE, ""),
        ("dp16", R1, ""),
    ],
)
def test_what_is_not_divided_is_said(to: str, sizes: Dimensions, words: str) -> None:
    told = "\n".join(mapping_problems(parse_mapping(to), sizes))
    assert words in told
    assert bool(words) == bool(told)


@pytest.mark.parametrize(
    "text", ["", "tp", "tp0", "tp08", "dep2xtp", "tp8x2", "dp2xdp4", "tp٨", "tp999999", "8"]
)
def test_a_label_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="is no mapping; write it as"):
        parse_mapping(text)


@pytest.mark.parametrize("text", ["tp8", "tep8", "dp8", "dep16", "dp2xtp4", "dep4xtp2"])
def test_a_label_is_its_mappings(text: str) -> None:
    assert parse_mapping(text.upper()).label == text


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("args={pipeline-parallel-size: 2}", "args.pipeline-parallel-size is 2"),
        ("args={decode-context-parallel-size: 3}", "doesn't divide 8 GPUs"),
    ],
)
def test_arguments_that_multiply_are_not_passed_over(argument: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        convert_recipe(given("dsr1-dep", f"engines.main.{argument}"), parse_mapping("tp8"))


def config(**values: object) -> ModelConfig:
    return ModelConfig(values, "c")


def test_moe_or_not_is_read_from_the_model() -> None:
    dense = config(num_attention_heads=32, intermediate_size=11008)
    assert not parse_dimensions(dense, {}).is_moe
    for key in ("n_routed_experts", "num_experts", "num_local_experts"):
        assert parse_dimensions(dense, {key: 8}).experts == 8
    inner = config(text_config={"num_attention_heads": 4, "intermediate_size": 8, "num_experts": 2})
    assert parse_dimensions(inner, {}).experts == 2
    with pytest.raises(InputError, match="c: num_attention_heads is '32'; a whole number"):
        parse_dimensions(dense, {"num_attention_heads": "32"})
    values: list[object] = [[], [{}], "8", [None], [-1], {"a": 1}]
    for value in values:
        broken = {"quantization_config": {"weight_block_size": value}}
        assert parse_dimensions(dense, broken).block == 0


@pytest.mark.parametrize("text", ["[]", "{", '"a"', "\x00", "[" * 100_000])
def test_a_config_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    recipe = resolve_recipe("dsr1-dep", RecipeChanges(model=str(tmp_path))).recipe
    with pytest.raises(InputError, match=r"config\.json: "):
        read_model_config(recipe)


def test_a_model_that_nobody_knows(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = ("--model", "/m/other", "--set", "model.served_name=other")
    assert call("convert", "dsr1-dep", "--to", "tp8", *unknown) == 2
    assert "give --model FOLDER" in capsys.readouterr().err


def test_roles(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("convert", "dsr1-dep", "--to", "tp8", "--role", "decode") == 2
    assert "the recipe's are aggregated" in capsys.readouterr().err
    assert call("convert", "dsr1-dep", "--to", "tp8", "--role", "x") == 2
    assert "a role is aggregated, prefill, decode" in capsys.readouterr().err


def test_a_job_asks_for_what_is_left() -> None:
    made = convert_recipe(given("dsr1-dep", "slurm.nodes=4"), parse_mapping("tp8"))
    assert made.resolved.recipe.slurm.nodes is None
    assert KeyChange("slurm.nodes", None, 4, "no engine takes all hosts now") in made.changes


def test_in_json(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("convert", "dsr1-disagg-h200", "--to", "tep8", "--role", "decode", "--json") == 0
    answer = data_of(capsys.readouterr().out)
    assert answer["extends"] == "dsr1-disagg-h200"
    assert answer["recipe"]["engines"]["decode"]["dbo"] is None
    assert {one["key"] for one in answer["changes"]} >= {"engines.decode.nodes", "name"}
