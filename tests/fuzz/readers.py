"""Everything that reads what may be hostile: a row each, with what makes inputs for it and the
errors that it may end with. Any other is a defect."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.fuzz.inputs import (
    Maker,
    any_text,
    either,
    host_list,
    pack,
    spoilt,
    spoilt_bytes,
    spoilt_json,
    yaml_bomb,
)
from tests.unit.env.hgx import make_facts

from dsr1.hosts.agent.caches.jit_cache import CacheError, unpack
from dsr1.hosts.agent.facts.model.shards import INDEX, SUMS, list_model_files, read_sums
from dsr1.hosts.agent.prep.journal import FOLDER, JournalStore
from dsr1.hosts.agent.process.progress import ProgressReader
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.hosts.protocol.facts.fact import to_plain
from dsr1.hosts.protocol.prep import PrepJournal
from dsr1.launcher.caches.store import Pack, PackStore
from dsr1.launcher.commands.phases import DYNAMO_PHASES, MOCKER_PHASES
from dsr1.launcher.health.counters import read_counters
from dsr1.launcher.health.page import parse_page
from dsr1.launcher.importing.files import read_manifest
from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import (
    imported_values,
    render_imported_recipe,
    render_notes,
)
from dsr1.launcher.metrics.store import FILE as METRICS
from dsr1.launcher.metrics.store import MetricsReader
from dsr1.launcher.operate.bundle.redaction import Redactor
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_bash import render_bash
from dsr1.launcher.recipe.load import RecipeChanges, built_in_recipes, load_recipe, resolve_recipe
from dsr1.launcher.recipe.render import render_resolved
from dsr1.launcher.run.evidence import read_evidence
from dsr1.launcher.run.record.starts import parse_phases
from dsr1.launcher.run.recovery import find_run_id, hosts_to_end, read_recovery_info, unidentified
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.site.files import read_site_layers
from dsr1.launcher.site.load import judge_site
from dsr1.launcher.triage.folder import planned_ranks, read_folder
from dsr1.launcher.triage.judge import find_cause
from dsr1.launcher.triage.render import render_why
from dsr1.launcher.triage.rules import load_rules
from dsr1.slurm.allocation import parse_allocation
from dsr1.slurm.handle import parse_handle
from dsr1.slurm.spec import JobSpec, check_time, render_directives
from dsr1.slurm.states import parse_sacct, parse_squeue

DATA = Path(__file__).parents[1] / "data"
HOSTS = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))


@dataclass(frozen=True, slots=True)
class FuzzedReader:
    """`read` is given what `make` made, and a folder of its own."""

    name: str
    make: Maker
    read: Callable[[Any, Path], object]
    allowed: tuple[type[Exception], ...] = ()


def read_one(reader: FuzzedReader, given: object) -> None:
    """Raises what the reader isn't allowed to raise."""
    made = tempfile.TemporaryDirectory(prefix="dsr1-fuzz-")
    with made as folder, contextlib.suppress(*reader.allowed):
        reader.read(given, Path(folder))


def _texts(*patterns: str) -> tuple[str, ...]:
    files = [file for pattern in patterns for file in sorted(DATA.glob(pattern))]
    return tuple(file.read_text(errors="replace")[:60_000] for file in files)


RECIPES = tuple(file.read_text() for file in built_in_recipes().values())
MANIFESTS, LOGS = _texts("manifests/*.yaml"), _texts("failures/*/main-0.log", "vllm-logs/*.log")
INVENTORY = (
    "defaults: {user: me, port: 22, labels: {rack: a}}\nhosts:\n  node[1-3]: {gpus: 8, hca: [mlx5_0]}"
    "\n  b: {address: 10.0.0.2, key: ./key, jump: gate, control_address: 10.1.0.2}\n  c:\n"
)

SITE = (
    "hosts: {a: 'node[1-3]', b: {defaults: {user: me}, hosts: {c: {}}}, d: '@x.txt'}\nruntime: {venv: v}"
    "\nmodels: {deepseek-ai/DeepSeek-R1: /m}\ncontrol_network: 10.1.0.0/16\nports: {base: 21000}\n"
    "checks:\n  skip:\n    - {check: gpu, reason: x, until: 2027-01-31}\nprofiles: {p: {hca: [a]}}\n"
)


@cache
def plan_of_two() -> Any:
    return make_plan(load_recipe("dsr1-dep", ["model.path=/m"]), HOSTS, "r", "/run/r")


def _hosts(text: str, folder: Path) -> None:
    job = {"SLURM_JOB_ID": "1"}
    for read in (parse_hosts, lambda names: parse_allocation({**job, "SLURM_JOB_NODELIST": names})):
        try:
            read(text)
        except InputError:
            continue


def _host_file(data: bytes, folder: Path) -> None:
    (folder / "hosts.txt").write_bytes(data)
    parse_hosts(f"@{folder / 'hosts.txt'}")


def _inventory(data: bytes, folder: Path) -> None:
    (folder / "hosts.yaml").write_bytes(data)
    parse_hosts(f"@{folder / 'hosts.yaml'}")


def _recipe(data: bytes, folder: Path) -> None:
    """As far as a script: what a recipe lets pass, a plan must be able to say."""
    (folder / "r.yaml").write_bytes(data)
    resolved = resolve_recipe(
        str(folder / "r.yaml"), RecipeChanges(model="/m", venv="/v", keep_unset=True)
    )
    render_resolved(resolved)
    render_bash(make_plan(resolved.recipe, HOSTS, "r", "/run/r"), "/run/r")


def _site(data: bytes, folder: Path) -> None:
    """As far as its sets of hosts, and a recipe with it."""
    (folder / "site.yaml").write_bytes(data)
    site = judge_site(read_site_layers((folder / "site.yaml",), ""))
    changes = RecipeChanges(keep_unset=True, site=site.values())
    with contextlib.suppress(InputError):
        resolve_recipe("dsr1-dep", changes)
    for name in site.site.hosts:
        with contextlib.suppress(InputError):
            site.host_set(name, False)


def _setting(text: str, folder: Path) -> None:
    load_recipe("dsr1-dep", [text], model="/m")


def _manifest(data: bytes, folder: Path) -> None:
    (folder / "m.yaml").write_bytes(data)
    text = read_manifest(str(folder / "m.yaml"))
    imported = import_manifest(text, "m.yaml", keep_unknown=True)
    prove(imported, render_imported_recipe(imported, "m.yaml"), "m.yaml")
    json.dumps(imported_values(imported))
    render_notes(imported.notes)


def _script(text: str, folder: Path) -> None:
    """A manifest whose worker is started by a script."""
    worker = {"mainContainer": {"command": ["bash", "-c"], "args": [text]}}
    service = {"componentType": "worker", "extraPodSpec": worker}
    head = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeployment"}
    whole = {**head, "metadata": {"name": "a"}, "spec": {"services": {"w": service}}}
    _manifest(yaml.safe_dump(whole).encode(), folder)


def _pack(data: bytes, folder: Path) -> None:
    unpack(folder / "jit", "key", hashlib.sha256(data).hexdigest(), data)


def _pack_record(text: str, folder: Path) -> None:
    (folder / "k.json").write_text(text, errors="surrogatepass")
    (folder / "k.tar.xz").write_bytes(b"")
    for one in PackStore(folder).list():
        hash(one)


def _run_folder(text: str, folder: Path) -> None:
    """Each of a run's files, as whatever it is read by."""
    run = Run(folder)
    names = ("plan", "state", "settings", "facts", "recipe", "job", "job-end", "allocation")
    for name in (*names, "evidence", "supervisor"):
        (folder / f"{name}.json").write_text(text, errors="surrogatepass")
    (folder / "run-id").write_text(text[:40], errors="surrogatepass")
    readers = (run.plan, run.state, run.settings, run.facts, run.recipe, run.job, run.allocation)
    for read in (*readers, run.job_end, run.run_id, run.supervisor, lambda: read_evidence(run)):
        try:
            read()
        except LaunchFailed:
            continue
    info = read_recovery_info(run)
    find_run_id(run)
    planned_ranks(folder)
    if info:
        (hosts_to_end(run, info), unidentified(run, info))


def _log(data: bytes, folder: Path) -> None:
    """As `dsr1 why` reads a folder of logs, and as an agent follows a log that grows."""
    (folder / "main-0.log").write_bytes(data)
    evidence = read_folder(folder, {})
    if cause := find_cause(evidence, load_rules(), {}):
        list(render_why(cause, evidence))
    for rules in (DYNAMO_PHASES, MOCKER_PHASES):
        reader = ProgressReader(rules)
        for at in range(0, len(data), 5000):
            reader.feed(data[at : at + 5000])
        reader.feed(b"\n")


def _redaction(text: str, folder: Path) -> None:
    Redactor(["secret1"], ["me"], ["10.1.1.1"]).redact(text)


def _model_folder(data: bytes, folder: Path) -> None:
    for name in (INDEX, SUMS, "config.json", "a.safetensors"):
        (folder / name).write_bytes(data)
    length = len(data).to_bytes(8, "little")
    (folder / "b.safetensors").write_bytes(length + data)
    list_model_files(folder)
    read_sums(folder)


def _journal(text: str, folder: Path) -> None:
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "journal.json").write_text(text, errors="surrogatepass")
    JournalStore(folder).read()


def _slurm(text: str, folder: Path) -> None:
    for read in (parse_squeue, parse_sacct):
        try:
            read(text)
        except ValueError:
            continue


def _slurm_values(text: str, folder: Path) -> None:
    parse_handle(text)
    for read in (check_time, lambda value: render_directives(JobSpec("a", 1, comment=value))):
        try:
            read(text)
        except InputError:
            continue
    render_directives(JobSpec("a", 1, directives=(text,)))


def _metrics(text: str, folder: Path) -> None:
    """A page of a server's, and a run's snapshots and phases that another wrote."""
    parse_page(text)
    read_counters(text, 0)
    list(parse_phases(text))
    (folder / METRICS).write_text(text, errors="surrogatepass")
    MetricsReader(folder).since()


def _encoded(make: Maker) -> Maker:
    return lambda chance: make(chance).encode("utf-8", "surrogatepass")


SLURM = tuple(json.loads(text) for text in _texts("slurm/*/*.json"))
SETTINGS = asdict(RunSettings("python", *(1.0,) * 7, restarts=1, backoff_s=1.0, machines=HOSTS))
STATE = asdict(RunState("ready", 1.0, reason="x", left=("a",)))
FACTS = {"a": to_plain(make_facts())}
SACCT = "71|COMPLETED|None|0:0|me|node1|c|name\n72|CANCELLED by 2000|x|1:15|me|None assigned|c|n\n"
SQUEUE = "71|RUNNING|None|2026-11-26T11:49:53|me|node1|name\n"
SHARD = json.dumps(
    {"weight_map": {"a": "a.safetensors"}, "b": {"dtype": "F8", "data_offsets": [0, 8]}}
)
PACK = asdict(Pack("k", (("root", "/r"),), ("f",), 1, 1, "d", "s"))
JOURNAL = asdict(PrepJournal())
SCRIPT = (
    "set -e\nA=${B:-1}\nexport C=(a b)\nif [[ $A == 1 ]]; then echo <<E\nx\nE\nfi\n"
    'exec python3 -m dynamo.vllm --model "$A" --tp {1,2} $((1+1)) `id` || exit 1\n',
    "python3 -m dynamo.vllm --model m",
)
VALUES = (
    "4:00:00", "2-4", "UNLIMITED", "slurm://c/7", "--licenses=a:1", "model.path=/m", "-C", "a b#c",
    "engines.main.max_num_seqs=5", "engines.main.args.load-format=[1, {a: 2}]", "ready.timeout=1h",
)  # fmt: skip
PAGES = tuple(text[:6000] for text in _texts("*/*-metrics.txt"))
EVIDENCE = {"a": asdict(HostEvidence("a"))}
RECORDS = (asdict(plan_of_two()), STATE, SETTINGS, FACTS, EVIDENCE, {"pid": 1, "started": 1})
INPUT = (InputError,)
READERS = (
    FuzzedReader("hosts", either(host_list, any_text), _hosts, INPUT),
    FuzzedReader("host-file", spoilt_bytes(("a\nnode[1-3] # x\nb,c\n",)), _host_file, INPUT),
    FuzzedReader("inventory", spoilt_bytes((INVENTORY,)), _inventory, INPUT),
    FuzzedReader("recipe", spoilt_bytes(RECIPES), _recipe, INPUT),
    FuzzedReader("site", spoilt_bytes((SITE,)), _site, INPUT),
    FuzzedReader("setting", spoilt(VALUES), _setting, INPUT),
    FuzzedReader("yaml-inventory", _encoded(yaml_bomb), _inventory, INPUT),
    FuzzedReader("yaml-recipe", _encoded(yaml_bomb), _recipe, INPUT),
    FuzzedReader("yaml-manifest", _encoded(yaml_bomb), _manifest, INPUT),
    FuzzedReader("manifest", spoilt_bytes(MANIFESTS), _manifest, INPUT),
    FuzzedReader("script", spoilt(SCRIPT), _script, INPUT),
    FuzzedReader("pack", pack, _pack, (CacheError, OSError)),
    FuzzedReader("pack-record", spoilt_json((PACK,)), _pack_record),
    FuzzedReader("run-folder", spoilt_json(RECORDS), _run_folder),
    FuzzedReader("log", spoilt_bytes(LOGS), _log),
    FuzzedReader("metrics", spoilt(PAGES), _metrics),
    FuzzedReader("redaction", spoilt(LOGS), _redaction),
    FuzzedReader("model-folder", spoilt_bytes((SHARD,)), _model_folder),
    FuzzedReader("prep-journal", spoilt_json((JOURNAL,)), _journal, (ValueError,)),
    FuzzedReader("slurm", either(spoilt((SACCT, SQUEUE)), spoilt_json(SLURM)), _slurm),
    FuzzedReader("slurm-values", spoilt(VALUES), _slurm_values, INPUT),
)
