"""Facts from every host of a recipe at once, and what the checks say of them."""

from collections.abc import Sequence

from dsr1.env.checks.all import IDS, run_checks, worst_first
from dsr1.env.checks.judging import Needs, Share
from dsr1.hosts.access import Access
from dsr1.hosts.errors import CheckFailed, HostError, InputError
from dsr1.hosts.events import Finding
from dsr1.launcher import runtime_fit
from dsr1.launcher.agents import raise_all
from dsr1.launcher.findings import folded, unreached
from dsr1.launcher.recipe import Recipe
from dsr1.launcher.recipe_engine import Engine
from dsr1.launcher.survey import Seen, Told, survey_any
from dsr1.launcher.topology import local_size

CHECKS = (*IDS, *runtime_fit.IDS)


def check_hosts(recipe: Recipe, accesses: Sequence[Access], only: Sequence[str], skip: Sequence[str]) -> list[Finding]:
    """Worst first. InputError for a word that names no check."""
    ids = choose(only, skip)
    return judge_site(recipe, survey_any(recipe, accesses, asks_runtime(ids)), ids)


def asks_runtime(ids: Sequence[str]) -> bool:
    """Whether a check needs it: the first time it takes an import of vLLM."""
    return any(check in runtime_fit.IDS for check in ids)


def judge_site(recipe: Recipe, seen: Seen, ids: Sequence[str]) -> list[Finding]:
    """What the hosts told, each and together, and the plan on them. Worst first."""
    told = seen.told_of_hosts
    return worst_first([*judge(recipe, told, ids), *runtime_fit.judge_runtimes(recipe, seen.hosts, told, ids)])


def judge(recipe: Recipe, told: Told, ids: Sequence[str]) -> list[Finding]:
    """A host that can't be reached is a finding; the others are judged all the same."""
    site = {host: facts for host, facts in told.items() if not isinstance(facts, HostError)}
    lost = [unreached(host, error) for host, error in told.items() if isinstance(error, HostError)]
    return [*lost, *run_checks(site, make_needs(recipe, len(told)), ids)]


def choose(only: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    """Ids of checks; `ib` stands for all of `ib.*`. InputError for a word that is none."""
    for word in (*only, *skip):
        if not any(_stands_for(word, name) for name in CHECKS):
            raise InputError(f"{word!r} is no check; there are: {', '.join(sorted(CHECKS))}")
    wanted = [name for name in CHECKS if not only or any(_stands_for(word, name) for word in only)]
    return tuple(name for name in wanted if not any(_stands_for(word, name) for word in skip))


def _stands_for(word: str, name: str) -> bool:
    return name == word or name.startswith(f"{word}.")


def make_needs(recipe: Recipe, hosts: int) -> Needs:
    backends = sorted({engine.all2all_backend or "" for engine in recipe.engines.values()})
    simulated = recipe.runtime.device == "cpu" or recipe.stack == "mocker"
    gpus = 0 if simulated else max(_gpus_per_host(name, engine, hosts) for name, engine in recipe.engines.items())
    deepep = next((backend for backend in backends if backend.startswith("deepep")), backends[-1])
    shares = tuple(make_share(name, engine, hosts) for name, engine in recipe.engines.items()) if gpus else ()
    return Needs(gpus, hosts, deepep if gpus else "", shares, reads_weights(recipe))


def reads_weights(recipe: Recipe) -> bool:
    formats = {engine.args.get("load-format", engine.args.get("load_format")) for engine in recipe.engines.values()}
    return recipe.stack != "mocker" and formats != {"dummy"}


def _nodes(engine: Engine, hosts: int) -> int:
    return max(1, hosts // engine.replicas) if engine.nodes == "all" else engine.nodes


def _gpus_per_host(name: str, engine: Engine, hosts: int) -> int:
    return local_size(name, engine, _nodes(engine, hosts), on_cpu=False) * engine.tensor_parallel_size


def make_share(name: str, engine: Engine, hosts: int) -> Share:
    """vLLM's own defaults where the recipe is silent."""
    return Share(
        engine=name,
        expert_ranks=_nodes(engine, hosts) * _gpus_per_host(name, engine, hosts),
        tensor_ranks=engine.tensor_parallel_size,
        redundant_experts=engine.eplb.num_redundant_experts if engine.eplb else 0,
        utilization=engine.gpu_memory_utilization or 0.9,
        context=engine.max_model_len or 4096,
        low_latency=engine.all2all_backend == "deepep_low_latency",
    )


def refuse_unfit(recipe: Recipe, seen: Seen, ids: Sequence[str]) -> None:
    """CheckFailed naming all that fails, on all hosts; HostError when one told no facts."""
    raise_all(seen.told_of_hosts)
    failed = [finding for finding in judge_site(recipe, seen, ids) if finding.verdict == "FAIL"]
    if failed:
        way = "`dsr1 check` shows all; --skip-check CHECK goes on without one, --no-check without any"
        raise CheckFailed("\n".join((*folded(failed), way)))
