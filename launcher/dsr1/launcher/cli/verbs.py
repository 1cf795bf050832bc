"""The table of verbs: `dsr1 --help` is printed from it alone, and no verb's module is imported
before the verb is called or asked for its own help."""

from collections.abc import Sequence

from dsr1.hosts.dataclass import dataclass

ABOUT = "DeepSeek-R1 on bare Hopper hosts: plan, launch, watch, stop."


@dataclass(frozen=True, slots=True)
class Verb:
    """`help` is the first sentence of the function `target`, MODULE:FUNCTION in this package. A
    verb with `verbs` of its own has none."""

    name: str
    help: str
    target: str = ""
    verbs: "tuple[Verb, ...]" = ()


CACHE = (
    Verb("ls", "List the JIT caches kept here, or with --hosts those on the hosts.", "cache.ls:ls"),
    Verb("push", "Copy JIT caches kept here to hosts that lack them.", "cache.push:push_caches"),
    Verb("prune", "Remove JIT caches here, or with --hosts on the hosts.", "cache.prune:prune"),
)
MODEL = (
    Verb("verify", "Verify that a model is complete on every host.", "model.verify:verify"),
    Verb("fetch", "Download a model from a hub.", "model.fetch:fetch"),
    Verb("push", "Copy a model from one host to a disk of each.", "model.push:push"),
)
GROUPS = {
    "Serve": (
        Verb("launch", "Start a deployment: here, over SSH, or in a Slurm job.", "launch:launch"),
        Verb("wait", "Wait until a run serves, and show how far it is.", "runs.wait:wait"),
        Verb("ps", "List the runs, newest last.", "runs.ps:ps"),
        Verb("status", "Show the state of a run and what is alive of it.", "runs.status:status"),
        Verb("logs", "Print the logs of every process of a run.", "runs.logs:logs"),
        Verb("smoke", "Ask every rank the same questions and compare the answers.", "smoke:smoke"),
        Verb("stop", "Stop a run and prove that nothing of it is left.", "runs.stop:stop"),
        Verb(
            "rm",
            "Remove what is kept of runs that are over: their folders, with their logs.",
            "runs.rm:rm",
        ),
    ),
    "Watch and measure": (
        Verb(
            "top",
            "Show what a run does: tokens, requests, latencies, GPUs, the worst first.",
            "observe.top:top",
        ),
        Verb(
            "metrics",
            "Write what a Prometheus and a Grafana need to watch a run, or start one.",
            "observe.metrics:metrics",
        ),
        Verb(
            "events",
            "Print what happened to a run, a line of JSON for each event.",
            "observe.events:events",
        ),
        Verb(
            "timeline",
            "Show how a run started: the phases of each rank, the slowest first.",
            "observe.timeline:timeline",
        ),
        Verb(
            "report",
            "Write a page of HTML about a run: how it started, what it did, how to repeat it.",
            "observe.report:report",
        ),
        Verb(
            "bench",
            "Put a run under load and measure it: latencies, tokens a second, goodput.",
            "tune.bench:bench",
        ),
    ),
    "Change a run that serves": (
        Verb(
            "restart",
            "Restart engines of a run that serves, one after the other.",
            "change.restart:restart",
        ),
        Verb(
            "drain",
            "Take a run's engines off a host, so that it may be rebooted or repaired.",
            "change.drain:drain",
        ),
        Verb(
            "scale",
            "Run more or fewer replicas of an engine, while the others serve.",
            "change.scale:scale",
        ),
        Verb(
            "update",
            "Give a run that serves another recipe, engine by engine.",
            "change.update:update",
        ),
        Verb(
            "sleep",
            "Put engines of a run to sleep: they free their GPUs' memory.",
            "change.sleep:sleep",
        ),
        Verb(
            "wake", "Wake engines that sleep; each is asked before it counts.", "change.sleep:wake"
        ),
    ),
    "When something went wrong": (
        Verb("why", "Show why a run failed, and what to do about it.", "diagnose.why:why"),
        Verb(
            "bundle",
            "Pack all that tells of a run into one archive for a bug report.",
            "diagnose.bundle:bundle",
        ),
        Verb(
            "explain",
            "Explain a check: what it looks at, when it fails, and what to do.",
            "about.explain:explain",
        ),
        Verb("supervise", "Take over a run whose supervisor is gone.", "supervise:supervise"),
        Verb(
            "adopt",
            "Rebuild a run's folder from its hosts, and watch the run again.",
            "adopt:adopt",
        ),
    ),
    "Choose what to serve": (
        Verb("recipes", "List the built-in recipes, or show one in full.", "recipes:recipes"),
        Verb("plan", "Show exactly what would run on every host.", "plan:plan"),
        Verb("render", "Print a script for sbatch or bash, or a proxy in front.", "render:render"),
        Verb(
            "import",
            "Turn a manifest of Dynamo's, a script or an srt-slurm recipe into a recipe.",
            "import_:import_",
        ),
        Verb(
            "convert",
            "Give a recipe with its engines in another mapping: tp8, tep8, dep16 or dp2xtp4.",
            "tune.convert:convert",
        ),
        Verb(
            "tune",
            "Find the best recipe for these hosts and a load: predict first, then measure.",
            "tune.tune:tune",
        ),
        Verb(
            "schema",
            "Print the JSON schema of a recipe, of a site file or of an answer.",
            "about.schema:schema",
        ),
    ),
    "Prepare hosts and models": (
        Verb(
            "init", "Write a site file, so that other commands need not be told again.", "init:init"
        ),
        Verb("check", "Check whether every host is fit.", "check:check"),
        Verb("prep", "Show what would make every host fit, and do it.", "prep:prep"),
        Verb("exec", "Run a command on every host.", "exec:exec_"),
        Verb("model", "Fetch, copy and verify the model's files.", verbs=MODEL),
        Verb("cache", "Manage the JIT caches that earlier starts compiled.", verbs=CACHE),
        Verb(
            "prewarm", "Compile JIT kernels on one host before the first start.", "prewarm:prewarm"
        ),
    ),
}
"""By what one wants to do: the day's use first."""
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)

OPTIONS = (
    ("--debug", "Show the traceback of an error."),
    ("--raw", "Print control characters of logs and hosts as they are."),
    ("--version", "Show dsr1's version."),
    ("--install-completion", "Install completion for the current shell."),
    ("--show-completion", "Show completion for the current shell."),
    ("-h, --help", "Show this message and exit."),
)


def render_help() -> str:
    """What `dsr1 --help` prints."""
    usage = f"Usage: dsr1 [OPTIONS] COMMAND [ARGS]...\n\n  {ABOUT}"
    commands = {
        title: [(verb.name, verb.help) for verb in verbs] for title, verbs in GROUPS.items()
    }
    wide = max(len(verb.name) for verb in VERBS)
    shown = (f"{title}:\n{_rows(rows, wide)}" for title, rows in commands.items())
    options = _rows(OPTIONS, max(len(name) for name, _ in OPTIONS))
    return "\n\n".join((usage, *shown, f"Options:\n{options}\n"))


def _rows(rows: Sequence[tuple[str, str]], wide: int) -> str:
    return "\n".join(f"  {name:<{wide}}  {text}" for name, text in rows)
