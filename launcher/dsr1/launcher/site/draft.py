"""The text of a new site file, from what hosts and Slurm told: every line explained. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.inventory.names import fold_names
from dsr1.launcher.recipe.render import yaml_line
from dsr1.launcher.site.look import HERE, SeenHost, SeenSlurm

R1 = "deepseek-ai/DeepSeek-R1"
_HEAD = """\
# What this place says once for all recipes of dsr1. These files are read, the nearest first:
# $DSR1_SITE, ./dsr1.yaml, ~/.config/dsr1/site.yaml, /etc/dsr1/site.yaml. A nearer one wins, key by
# key, and a recipe wins over them all. `dsr1 recipes NAME` shows where each value comes from.
schema: 1
"""
_MORE = """
# More that may be said here, and any other key of docs/site.md:
# control_network: 10.1.0.0/16              # where hosts reach each other, if not where SSH does
# ports: {base: 20000}                      # the first of the ports that dsr1 chooses
# spares: [node09]                          # take the place of a host that is down
# hooks: {failed: [/opt/tell-the-chat.sh]}  # run when a deployment fails
# profiles: {careful: {restart: {max: 2}}}  # for --profile careful, with every recipe
# checks: {skip: [{check: net.mtu, reason: old switches, until: 2027-01-31}]}
"""


def render_site(seen: Mapping[str, SeenHost], hosts: str, slurm: SeenSlurm) -> str:
    """`hosts` is what --hosts gave; empty: this machine alone was looked at."""
    parts = (
        _HEAD,
        *_host_lines(seen, hosts),
        *_runtime_lines(seen),
        *_model_lines(seen),
        *_slurm_lines(slurm),
    )
    return "\n".join(parts) + _MORE


def name_of_set(gpus: Sequence[str]) -> str:
    """`NVIDIA H100 80GB HBM3` -> `h100`."""
    found = re.search(r"\b([A-Z]{1,2}\d{2,4})\b", gpus[0]) if gpus else None
    return found[1].lower() if found else ("gpus" if gpus else "hosts")


def host_sets(seen: Mapping[str, SeenHost], hosts: str) -> dict[str, str]:
    """By their GPUs; a file of hosts is one set."""
    if hosts.startswith("@"):
        return {name_of_set(next(iter(seen.values())).gpus): hosts}
    groups: dict[str, list[str]] = {}
    for host, one in seen.items():
        groups.setdefault(name_of_set(one.gpus), []).append(host)
    if len(groups) == 1:
        return {next(iter(groups)): hosts}
    user = f"{hosts.partition('@')[0]}@" if "@" in hosts else ""
    return {name: f"{user}{fold_names(names)}" for name, names in groups.items()}


def _host_lines(seen: Mapping[str, SeenHost], hosts: str) -> Iterator[str]:
    yield "# Sets of hosts, for --on NAME; written as for --hosts, or as an inventory."
    if HERE in seen:
        yield "# hosts: {h100: 'node[01-16]'}"
        return
    yield "hosts:"
    for name, value in host_sets(seen, hosts).items():
        yield f"  {name}: {yaml_line(value)}"


def _runtime_lines(seen: Mapping[str, SeenHost]) -> Iterator[str]:
    yield "\n# The environment that has vLLM, at the same path on every host (--venv)."
    yield from _keyed("runtime", "venv", _common([one.venvs for one in seen.values()]), "/opt/vllm")


def _model_lines(seen: Mapping[str, SeenHost]) -> Iterator[str]:
    yield "\n# Where models lie on the hosts, by the name that a recipe or --model gives."
    found = _common([one.models for one in seen.values()])
    yield from _keyed("models", R1, found, "/models/DeepSeek-R1")


def _slurm_lines(slurm: SeenSlurm) -> Iterator[str]:
    yield "\n# How jobs are asked for, with --slurm: any key of a recipe's slurm."
    if not slurm.partitions:
        yield "# slurm: {partition: gpu, account: mine, time: '4:00:00'}"
        return
    yield "slurm:"
    first, *others = slurm.partitions
    more = f"; others: {', '.join(one.name for one in others)}" if others else ""
    limit = f"limit {first.time}{more}"
    yield f"  partition: {yaml_line(first.name)}  # {first.nodes} nodes, {first.gres}, {limit}"
    accounts = slurm.accounts
    if accounts:
        others_too = f"  # yours, too: {', '.join(accounts[1:])}" if accounts[1:] else ""
        yield f"  account: {yaml_line(accounts[0])}{others_too}"
    yield "  # time: '4:00:00'  # of a job; without it the partition's default"


def _keyed(key: str, name: str, found: Sequence[str], example: str) -> Iterator[str]:
    """The first that was found; what else there is, or an example, as a comment."""
    if not found:
        yield f"# {key}: {{{yaml_line(name)}: {example}}}  # none was found on all hosts"
        return
    others = f"  # also there: {', '.join(found[1:])}" if found[1:] else ""
    yield f"{key}:\n  {yaml_line(name)}: {yaml_line(found[0])}{others}"


def _common(lists: Sequence[Sequence[str]]) -> list[str]:
    """What all of them have, in the first one's order."""
    first, *others = lists
    return [one for one in first if all(one in other for other in others)]
