"""What the checks say of a model, from its facts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.agent.facts.model.folder import draft_readers
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, FactValue
from dsr1.hosts.protocol.jobs.orders import VerifyResult
from dsr1.launcher.model.verify import judge_model as verified

NEEDS = Requirements(8, 2)
NAMES = [f"model-{n:05}-of-000163.safetensors" for n in range(1, 164)]
SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
SHARD: dict[str, FactValue] = {
    "size": 4_225_000_000,
    "wanted": 4_225_000_000,
    "digest": "",
    "problem": "",
}
R1: dict[str, dict[str, FactValue]] = {
    **{name: dict(SHARD) for name in NAMES},
    **{name: {"size": 10, "wanted": None, "digest": "ab" * 32, "problem": ""} for name in SMALL},
}


def facts(files: Mapping[str, FactValue] = R1, **more: FactValue) -> dict[str, Fact]:
    told: dict[str, FactValue] = {
        "model.folder": "/models/R1",
        "model.config": {"model_type": "deepseek_v3"},
        "model.files": dict(files),
        "model.leftovers": [],
        "model.fs": {"type": "xfs", "mount": "/models", "source": "/dev/nvme0n1", "free": 10**12},
        "hub.cache": {
            "type": "xfs",
            "mount": "/",
            "source": "/dev/sda",
            "free": 10**12,
            "path": "/h",
        },
        "memory.available": 2 * 10**12,
    }
    changed = {name.replace("_", ".", 1): value for name, value in more.items()}
    return {name: Fact(value, name) for name, value in (told | changed).items()}


def absent(model: str) -> dict[str, Fact]:
    names = ("model.folder", "model.config", "model.files", "model.leftovers", "model.fs")
    return facts() | {name: Fact(None, model, "No such file or directory") for name in names}


def judge(of: Mapping[str, Fact], check: str, needs: Requirements = NEEDS) -> Finding:
    (found,) = run_checks({"h": of}, needs, (check,))
    return found


def test_a_whole_r1_passes() -> None:
    found = run_checks({"a": facts(), "b": facts()}, NEEDS)
    of_model = {
        f.check: f.verdict for f in found if f.check.startswith(("model.", "disk.download"))
    }
    skipped = [of_model.pop(name) for name in ("model.hash", "model.drafts", "disk.download")]
    assert set(skipped) == {"SKIP"}
    assert set(of_model.values()) == {"PASS"}
    assert judge(facts(), "model.shards").seen == "163 shards, 688.7 GB"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": None, "problem": "not there"}, "model-00007-of-000163.safetensors: not there"),
        ({"size": 12}, "model-00007-of-000163.safetensors: 12 bytes of 4225000000"),
    ],
)
def test_a_broken_shard_fails_and_is_named(change: dict[str, FactValue], said: str) -> None:
    found = judge(facts({**R1, NAMES[6]: SHARD | change}), "model.shards")
    assert (found.verdict, found.seen) == ("FAIL", said)


def test_a_shard_that_is_shut_need_not_be_fetched_again() -> None:
    found = judge(
        facts({**R1, NAMES[6]: SHARD | {"size": None, "problem": "Permission denied"}}),
        "model.shards",
    )
    assert (found.verdict, found.fix) == (
        "FAIL",
        "Make the files readable: chmod -R a+rX the model's folder.",
    )


def test_of_many_a_few_are_named() -> None:
    files = {name: SHARD | {"problem": "not there"} for name in NAMES}
    assert judge(facts(files), "model.shards").seen.endswith(
        "00004-of-000163.safetensors: not there and 159 more"
    )


def test_shards_that_nobody_indexed_must_count_up() -> None:
    few: dict[str, FactValue] = dict.fromkeys(NAMES[:100], SHARD)
    assert judge(facts(few), "model.shards").seen == "100 shards of 163 by their names"
    assert (
        judge(facts({"config.json": R1["config.json"]}), "model.shards").seen
        == "no *.safetensors files"
    )


def test_a_download_that_goes_on() -> None:
    assert judge(facts(model_leftovers=["/m/a.incomplete"]), "model.incomplete").verdict == "FAIL"


@pytest.mark.parametrize(
    ("lacking", "verdict"), [("tokenizer.json", "FAIL"), ("generation_config.json", "WARN")]
)
def test_a_tokenizer_that_lacks_something(lacking: str, verdict: str) -> None:
    files = {name: file for name, file in R1.items() if name != lacking}
    found = judge(facts(files), "model.tokenizer")
    assert (found.verdict, lacking in found.seen) == (verdict, True)


def test_another_model_is_told() -> None:
    found = judge(facts(model_config={"model_type": "llama"}), "model.dir")
    assert (found.verdict, found.seen) == ("WARN", "/models/R1: llama")


@pytest.mark.parametrize(
    "config", [[1], {}, "deepseek_v3", {"model_type": None}, {"model_type": ["deepseek_v3"]}]
)
def test_a_config_that_is_none_fails(config: FactValue) -> None:
    found = judge(facts(model_config=config), "model.dir")
    assert (found.verdict, found.seen) == (
        "FAIL",
        "/models/R1/config.json: not an object with a model_type",
    )


def test_a_config_that_cannot_be_read_fails() -> None:
    found = judge(
        facts() | {"model.config": Fact(None, "/models/R1/config.json", "Expecting value")},
        "model.dir",
    )
    assert (found.verdict, found.seen) == ("FAIL", "/models/R1/config.json: Expecting value")


def test_a_folder_that_is_not_there() -> None:
    found = run_checks({"h": absent("/models/R1")}, NEEDS)
    told = {f.check: f for f in found}
    assert (told["model.dir"].verdict, told["model.dir"].seen) == (
        "FAIL",
        "/models/R1: No such file or directory",
    )
    assert told["model.shards"].verdict == "SKIP"


@pytest.mark.parametrize(("free", "verdict"), [(10**12, "PASS"), (700 * 10**9, "FAIL")])
def test_a_hub_id_needs_room_to_download(free: int, verdict: str) -> None:
    cache = Fact({"free": free, "path": "/h"}, "")
    told = {
        f.check: f
        for f in run_checks({"h": absent("deepseek-ai/DeepSeek-R1") | {"hub.cache": cache}}, NEEDS)
    }
    assert (told["disk.download"].verdict, told["model.dir"].verdict) == (verdict, "WARN")
    assert told["model.shards"].verdict == "SKIP"
    assert judge(absent("some/other") | {"hub.cache": cache}, "disk.download").verdict == "SKIP"


@pytest.mark.parametrize(
    ("kind", "verdict", "said"),
    [
        ("nfs4", "WARN", "enable-ep-weight-filter"),
        ("fuse.juicefs", "WARN", "safetensors-load-strategy: prefetch"),
        ("lustre", "WARN", "dsr1 model push"),
        ("tmpfs", "PASS", ""),
    ],
)
def test_a_model_that_is_far_away(kind: str, verdict: str, said: str) -> None:
    far = facts(model_fs={"type": kind, "mount": "/m", "source": "filer:/x", "free": 1})
    found = judge(far, "model.fs")
    assert (found.verdict, said in found.fix) == (verdict, True)


def test_a_model_that_the_page_cache_cannot_hold() -> None:
    assert judge(facts(memory_available=700 * 10**9), "model.cache").verdict == "WARN"


def test_weights_that_are_not_read_are_not_judged() -> None:
    found = run_checks({"h": absent("/models/R1")}, Requirements(0, 1, weights=False))
    assert {f.verdict for f in found if f.check in ("model.shards", "model.cache", "model.fs")} == {
        "SKIP"
    }


def test_hosts_that_differ_are_told_by_file() -> None:
    odd = facts(
        {
            **R1,
            NAMES[0]: SHARD | {"size": 12},
            "config.json": R1["config.json"] | {"digest": "cd" * 32},
        }
    )
    found = {
        f.host: f
        for f in run_checks({"a": facts(), "b": facts(), "c": odd}, NEEDS, ("model.same",))
    }
    assert [found[host].verdict for host in "abc"] == ["PASS", "PASS", "FAIL"]
    assert f"{NAMES[0]}: 12 bytes, 4225000000 bytes on most" in found["c"].seen
    assert f"config.json: 10 bytes {'cd' * 6}, 10 bytes {'ab' * 6} on most" in found["c"].seen
    fewer = facts({name: file for name, file in R1.items() if name != NAMES[5]})
    first, *_ = run_checks({"a": facts(), "b": facts(), "c": fewer}, NEEDS, ("model.same",))
    assert (first.host, first.seen) == ("c", f"{NAMES[5]}: nothing, 4225000000 bytes on most")


def test_hashes_against_the_record_and_among_hosts() -> None:
    good: dict[str, FactValue] = dict.fromkeys(NAMES, "a" * 64)
    bad: dict[str, FactValue] = {**good, NAMES[1]: "b" * 64}
    one, two = facts(model_hashes=good, model_sums=good), facts(model_hashes=bad, model_sums=good)
    found = {(f.check, f.host): f for f in run_checks({"a": one, "b": one, "c": two}, NEEDS)}
    assert (found["model.hash", "a"].verdict, found["model.hash", "c"].verdict) == ("PASS", "FAIL")
    assert (found["model.same", "a"].verdict, found["model.same", "c"].verdict) == ("PASS", "FAIL")
    assert found["model.hash", "c"].seen == f"{NAMES[1]}: {'b' * 12}"
    changed = facts(
        model_hashes=good | {"config.json": "b" * 64}, model_sums=good | {"config.json": "a" * 64}
    )
    assert judge(changed, "model.hash").verdict == "WARN"


def test_no_path_of_a_checkout_stands_for_a_hub_id(tmp_path: Path) -> None:
    assert judge(absent(str(tmp_path)), "model.dir").verdict == "FAIL"
    assert judge(absent("a b/c"), "model.dir").verdict == "FAIL"


def test_a_model_that_cannot_be_told_whole_is_not_verified() -> None:
    """Whoever goes by the exit code must not go on."""
    broken = {**facts(), "model.files": Fact(None, "/models/R1", "Input/output error")}
    found = {finding.check: finding.verdict for finding in verified({"h": VerifyResult(broken)})}
    assert (found["model.shards"], found["model.dir"]) == ("FAIL", "PASS")
    assert {finding.verdict for finding in verified({"h": VerifyResult({**facts()})})} <= {
        "PASS",
        "SKIP",
    }


HEADER = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
SMALLEST = len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)


def test_the_model_that_drafts_is_looked_at_too(tmp_path: Path) -> None:
    """As the agent tells it: a folder that is whole, one that is cut, and none."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for one in (whole, cut):
        one.mkdir()
        (one / "model.safetensors").write_bytes(SMALLEST)
    (whole / "config.json").write_text("{}")
    (cut / "model.safetensors").write_bytes(SMALLEST[:20])

    def judged(*drafts: str) -> Finding:
        ((_, _, read),) = draft_readers(drafts)
        needs = replace(NEEDS, drafts=drafts)
        found = run_checks({"a": facts(model_drafts=read())}, needs, ["model.drafts"])
        return found[0]

    assert judged().verdict == "SKIP"
    assert judged(str(whole)).verdict == "PASS"
    bad = judged(str(whole), str(cut))
    assert bad.verdict == "FAIL"
    assert "config.json is not there" in bad.seen
    assert "cut" in bad.seen
    assert str(whole) not in bad.seen
    assert judged("/nowhere/at-all").verdict == "FAIL"
    absent = judged("nobody/has-this")
    assert absent.verdict == "WARN"
    assert "fetch nobody/has-this --to FOLDER" in absent.fix
    assert f"push {cut} from a host that has it" in bad.fix
    assert judged("nobody/has-this", str(cut)).verdict == "FAIL"


@pytest.mark.parametrize("lie", [7, {"m": 1}, {"m": {"folder": "/x"}}, {"m": {"problems": "x"}}])
def test_a_lie_about_it_is_unknown(lie: FactValue) -> None:
    needs = replace(NEEDS, drafts=("m",))
    told = {**facts(), "model.drafts": Fact(lie, "")}
    assert run_checks({"a": told}, needs, ["model.drafts"])[0].verdict == "UNKNOWN"
