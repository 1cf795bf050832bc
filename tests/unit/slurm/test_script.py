"""Batch scripts: golden files, clean for shellcheck, and hostile values that stay values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.batch.script import (
    BatchSite,
    make_spec,
    needed_hosts,
    render_job,
    render_job_recipe,
    unused_spares,
)
from dsr1.launcher.recipe.load import load_recipe, parse_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.slurm.script import BatchCommand, render_script
from dsr1.slurm.spec import JobSpec, check_time, render_directives

GOLDEN = Path(__file__).parents[2] / "golden" / "slurm"
SITE = BatchSite("/opt/dsr1/bin/python", "/home/u/.local/state/dsr1")
FULL = (
    "slurm.account=phys", "slurm.partition=h100", "slurm.qos=high", "slurm.reservation=r1", "slurm.nodes=2",
    "slurm.spares=1", 'slurm.time="1-12"', "slurm.constraint=h100&ib", "slurm.exclude=node[01-03,7]",
    "slurm.mail_user=u@example.org", "slurm.mail_type=END", "slurm.comment=it's R1", "slurm.warn=300",
    "slurm.directives=[--licenses=a:1]", "slurm.setup=[module load cuda/12.9]", "slurm.output=/logs/%x-%j.out",
)  # fmt: skip
HOSTILE = ("a b", "';id", "x,y", '{"a": "b"}', "$(id)", "`id`", "a\\b", 'a"b', "é", "#c", "!x")


def shellcheck(script: str, *options: str) -> str:
    tool = Path(sys.executable).with_name("shellcheck")
    return subprocess.run(
        (tool, *options, "-"), input=script, capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize(
    ("golden", "changes"), [("dsr1-dep.sh", ("slurm.nodes=2",)), ("dsr1-dep-full.sh", FULL)]
)
def test_golden(golden: str, changes: tuple[str, ...]) -> None:
    script = render_job(load_recipe("dsr1-dep", changes), SITE)
    assert script == (GOLDEN / golden).read_text()
    assert shellcheck(script) == ""


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_reach_the_job_as_they_are(value: str, tmp_path: Path) -> None:
    """The script is run, with `cat` in the supervisor's place: stdin and the variable are what they
    were."""
    batch = BatchCommand(
        ("bash", "-c", 'printf "%s\\n" "$V"; cat; :'), {"V": value}, f"{value}\n$V `id` \\\n"
    )
    script = tmp_path / "job.sh"
    script.write_text(render_script(JobSpec("n", 1, comment=value), batch, ()))
    ran = subprocess.run(("bash", script), capture_output=True, text=True, check=True)
    assert ran.stdout == f"{value}\n{value}\n$V `id` \\\n"
    assert (
        shellcheck(script.read_text(), "--exclude=SC2016") == ""
    )  # that a quoted $ stays one is what is wanted


def test_setup_may_read_what_is_not_set_and_dsr1_may_not(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(
        render_script(
            JobSpec("n", 1, setup=('echo "[$NOT_SET]"',)), BatchCommand(("echo", "$-"), {}, "")
        )
    )
    ran = subprocess.run(
        ("bash", script),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert ran.stdout.startswith("[]\n")
    assert script.read_text().index("\nset -u\n") < script.read_text().index("\nexec ")


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\x1b[0m", "a\x00b"])
def test_what_would_be_another_line_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="on one line"):
        render_directives(JobSpec("n", 1, comment=value))


@pytest.mark.parametrize("option", ["licenses=a", "-", "--", "rm -rf /", "--a b", "; id"])
def test_a_directive_that_is_no_option_is_refused(option: str) -> None:
    with pytest.raises(InputError, match="no option"):
        render_directives(JobSpec("n", 1, directives=(option,)))


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--time=1", "the recipe's own key: slurm.time"),
        ("-t1", "the recipe's own key: slurm.time"),
        ("-p=x", "the recipe's own key: slurm.partition"),
        ("--no-requeue", "the recipe's own key: slurm.requeue"),
        ("--signal=B:TERM@9", "the recipe's own key: slurm.warn"),
        ("--array=1-3", "dsr1"),
        ("--export=NONE", "dsr1"),
        ("--no-kill", "dsr1: a job that has lost its first node"),
        ("-Mother", "dsr1: it asks for and ends jobs of this cluster"),
        ("--clusters=other", "dsr1: it asks for and ends jobs of this cluster"),
    ],
)
def test_a_directive_that_is_dsr1s_own_is_refused(option: str, key: str) -> None:
    with pytest.raises(InputError, match=rf"slurm\.directives: '{option}' is set by {key}"):
        render_directives(JobSpec("n", 1, directives=(option,)))


@pytest.mark.parametrize(
    "time", ["90", "4:00:00", "30:00", "1-12", "1-12:30", "1-12:30:00", "UNLIMITED"]
)
def test_times_that_slurm_reads(time: str) -> None:
    assert check_time(time) == time


@pytest.mark.parametrize("time", ["", "4h", "abc", "-1", "4:0", "1:00:00:00", "1 00", "90\n", "٣"])
def test_times_that_it_doesnt(time: str) -> None:
    with pytest.raises(InputError, match=r"slurm\.time"):
        check_time(time)


@pytest.mark.parametrize("time", ["2", "2:00", "0:02:00", "0-0:02", "1"])
def test_a_time_that_ends_before_the_warning(time: str) -> None:
    with pytest.raises(
        InputError, match=r"120 s, before its end: 4:00 is 4 minutes to Slurm; 4 hours is 4:00:00"
    ):
        check_time(time, 120)


@pytest.mark.parametrize("time", ["3", "2:01", "0-1", "0", "1-0:00:00", "infinite"])
def test_a_time_that_leaves_some(time: str) -> None:
    assert check_time(time, 120) == time


def test_a_bare_time_in_yaml_is_a_number_and_refused() -> None:
    with pytest.raises(InputError, match="put it in quotes"):
        load_recipe("dsr1-dep", ("slurm.time=4:00:00",))


def test_the_recipe_in_a_script_reads_back_the_same() -> None:
    for name, changes in (
        ("dsr1-dep", FULL),
        ("dsr1-dep", ("engines.main.env={A: 'x,y', B: \"';id\"}",)),
    ):
        recipe = load_recipe(name, changes)
        assert parse_recipe(render_job_recipe(recipe), "t") == recipe


def test_a_recipe_that_would_end_the_text_doesnt() -> None:
    recipe = load_recipe("dsr1-dep", ('engines.main.env={A: "x\\nRECIPE\\nid"}', "slurm.nodes=2"))
    assert render_job(recipe, SITE).splitlines().count("RECIPE") == 1


def engines(text: str) -> Recipe:
    return parse_recipe(f"name: t\nmodel: {{path: /m}}\nengines: {{{text}}}\n", "t.yaml")


def test_the_nodes_that_a_recipe_needs() -> None:
    whole, half = (
        "{role: %s, nodes: 1, ranks_per_node: 8}",
        "{role: %s, nodes: 1, ranks_per_node: 4}",
    )
    assert needed_hosts(engines(f"p: {whole % 'prefill'}, d: {whole % 'decode'}")) == 2
    assert needed_hosts(engines(f"p: {half % 'prefill'}, d: {half % 'decode'}")) == 1
    with pytest.raises(InputError, match=r"slurm\.nodes: engines\.main\.nodes is all"):
        needed_hosts(load_recipe("dsr1-dep"))


@pytest.mark.parametrize(
    ("ranks", "asked", "needed"), [(8, 2, 2), (8, 5, 2), (4, 1, 1), (4, 2, 2), (4, 4, 2)]
)
def test_nodes_that_no_engine_gets_are_spares(ranks: int, asked: int, needed: int) -> None:
    one = f"nodes: 1, ranks_per_node: {ranks}"
    recipe = engines(f"p: {{role: prefill, {one}}}, d: {{role: decode, {one}}}")
    slurm = recipe.slurm.model_copy(update={"nodes": asked, "spares": 1})
    recipe = recipe.model_copy(update={"slurm": slurm})
    assert (needed_hosts(recipe), make_spec(recipe, SITE).nodes) == (needed, asked + 1)


def test_an_engine_of_all_nodes_has_them() -> None:
    assert needed_hosts(load_recipe("dsr1-dep", ("slurm.nodes=5",))) == 5


def test_spares_that_are_hosts_are_told_of() -> None:
    assert "spares: a, b" in unused_spares(load_recipe("dsr1-dep", ("spares=[a, b]",)))
    assert unused_spares(load_recipe("dsr1-dep")) == ""
