"""A manifest's text to a recipe and notes: every service read, what they share settled, and what is
left reported."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.assembly import assemble
from dsr1.launcher.importing.leader_workers import read_leader_workers
from dsr1.launcher.importing.manifest.advice import refuse_patch, refuse_template
from dsr1.launcher.importing.manifest.command import read_program
from dsr1.launcher.importing.manifest.documents import (
    check_backend,
    choose_deployment,
    config_maps,
    report_others,
    report_version,
)
from dsr1.launcher.importing.manifest.environment import (
    ConfigMaps,
    ContainerVariable,
    plain_values,
    read_variables,
)
from dsr1.launcher.importing.manifest.hardware import note_blackwell
from dsr1.launcher.importing.manifest.ledger import Ledger, Note
from dsr1.launcher.importing.manifest.left_out import KEYS
from dsr1.launcher.importing.manifest.names import recipe_name
from dsr1.launcher.importing.manifest.program import Program
from dsr1.launcher.importing.manifest.services import (
    GraphService,
    count_of,
    group_values,
    read_services,
    sidecar_frontends,
)
from dsr1.launcher.importing.manifest.tree import YamlMapping, parse_documents, refuse
from dsr1.launcher.importing.manifest.variables import (
    READY,
    SortedVariables,
    sort_variables,
    with_exports,
)
from dsr1.launcher.importing.parts import DeploymentParts
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.draft import EngineDraft, WorkerDraft
from dsr1.launcher.importing.vllm.engine import read_flags
from dsr1.launcher.importing.vllm.frontend import FrontendDraft, read_frontend, take_special

_MOST_NAMED = 20
WORKER, FRONTEND = "dynamo.vllm", "dynamo.frontend"
_OTHER_PARTS = (
    "dynamo.planner",
    "dynamo.router",
    "dynamo.global_router",
    "dynamo.global_planner",
    "dynamo.profiler",
)


@dataclass(frozen=True, slots=True)
class Imported:
    """The recipe as plain data, and what became of every value of the manifest."""

    recipe: dict[str, Any]
    notes: tuple[Note, ...]


def import_manifest(text: str, source: str, name: str = "", keep_unknown: bool = False) -> Imported:
    """The deployment called `name`, or the only one. Raises InputError that names source, line and
    key."""
    refuse_template(text, source)
    documents = parse_documents(text, source)
    groups = read_leader_workers(documents, name)
    if groups:
        documents, name = groups.documents, ""
    deployment = choose_deployment(documents, name, source)
    ledger = Ledger()
    parts = _read_parts(deployment.fields("spec"), config_maps(documents), ledger, source)
    note_blackwell(deployment, ledger)
    if groups and not groups.serves:
        parts.leave_server_flags()
    if keep_unknown or (groups and groups.serves):
        parts.keep_unknown_flags()
    else:
        _refuse_unknown_flags(parts)
    recipe = assemble(parts, deployment)
    if groups and groups.serves:
        recipe["stack"] = "vllm"
    report_version(deployment, ledger)
    report_others(documents, deployment, ledger)
    for item in groups.sets if groups else (deployment,):
        ledger.use("stack", *(item.values[key].place for key in ("apiVersion", "kind")))
        ledger.sweep(item, KEYS)
    return Imported(recipe, tuple(ledger.notes))


def _read_parts(
    spec: YamlMapping, files: ConfigMaps, ledger: Ledger, source: str
) -> DeploymentParts:
    check_backend(spec, ledger)
    shared = read_variables((spec,), files, ledger)
    sorted_shared = sort_variables(shared, "runtime", ledger)
    front = FrontendDraft(ledger)
    take_special(front, sorted_shared.special)
    parts = DeploymentParts(ledger, sorted_shared.env, front)
    reader = _ServiceReader(parts, files, shared, sorted_shared)
    services = read_services(spec, ledger)
    refuse_patch(services, source)
    running = tuple(_running(services, ledger))
    for service in running:
        reader.read(service)
    for sidecar in (one for service in running for one in sidecar_frontends(service)):
        reader.read_sidecar(sidecar)
    _note_picker(services, parts)
    if not parts.workers:
        refuse(spec.place, f"no service runs vLLM workers ({WORKER})")
    return parts


def _note_picker(services: Sequence[GraphService], parts: DeploymentParts) -> None:
    """Without the picker the frontend routes, and it has to be told how."""
    pickers = [service for service in services if service.kind == "epp"]
    mode = parts.front.values.get("router_mode")
    if not pickers and mode != "direct":
        return
    chosen = "kv" if mode in (None, "direct") else mode
    parts.front.values["router_mode"] = chosen
    text = f"router_mode: {chosen}: the endpoint picker is left out, so dsr1's frontend routes"
    places = [picker.fields.place for picker in pickers]
    parts.ledger.rewrite(text, "frontend.router_mode", *places)


def _running(services: Sequence[GraphService], ledger: Ledger) -> Iterator[GraphService]:
    """Those of a kind that dsr1 runs, with at least one replica."""
    for service in services:
        place, replicas = service.fields.place, service.fields.get("replicas")
        called = f"service {quoted(service.name)}"
        if service.kind not in ("frontend", "worker"):
            why = _PICKER if service.kind == "epp" else _NOT_RUN
            ledger.leave(f"{called} ({service.kind}): {why}", place)
        elif replicas is not None and count_of(replicas, "replicas") == 0:
            ledger.leave(f"{called}: it has 0 replicas, so it is off", place)
        else:
            yield service


_NOT_RUN = "dsr1 runs no such service"
_PICKER = (
    "picks endpoints for a gateway of Kubernetes; here clients ask the frontend, which routes"
    " (frontend.router_mode)"
)


@dataclass(frozen=True, slots=True)
class _ServiceReader:
    """Reads one service after the other into the parts. `shared` are the variables of the whole
    deployment."""

    parts: DeploymentParts
    files: ConfigMaps
    shared: dict[str, ContainerVariable]
    sorted_shared: SortedVariables

    def read(self, service: GraphService) -> None:
        ledger = self.parts.ledger
        layers = (service.fields, service.container)
        variables = read_variables(layers, self.files, ledger, self.shared)
        values = group_values(service) | plain_values({**self.shared, **variables})
        default = FRONTEND if service.kind == "frontend" else WORKER
        program = read_program(service.container, values, default, ledger)
        self._note_unset(program)
        variables = with_exports(variables, program, ledger)
        if program.name == FRONTEND:
            self._frontend(service, program, variables)
        elif program.name in _OTHER_PARTS:
            text = f"service {quoted(service.name)} runs {program.name}: {_NOT_RUN}"
            ledger.leave(text, service.fields.place)
        else:
            self._worker(service, program, variables)

    def read_sidecar(self, service: GraphService) -> None:
        """A frontend in a worker's pod; there is one a pod, and a recipe has one."""
        if not self.parts.front_services:
            self.read(service)
            text = (
                f"container {quoted(service.name)}: the frontend, beside a worker's own container"
            )
            self.parts.ledger.rewrite(text, "frontend", service.fields.place)

    def _note_unset(self, program: Program) -> None:
        for name, argument in program.exports.items():
            if argument is None and name in self.parts.env:
                text = f"{name}: a script unsets it for its own program, but runtime.env is for all"
                places = self.shared[name].places
                self.parts.ledger.ask(text, f"runtime.env.{name}", *places)

    def _frontend(
        self, service: GraphService, program: Program, variables: dict[str, ContainerVariable]
    ) -> None:
        parts = self.parts
        if parts.front_services:
            first = quoted(parts.front_services[0].name)
            text = f"service {quoted(service.name)}: a recipe has one frontend, which is {first}"
            parts.ledger.leave(text, service.fields.place)
            return
        parts.front_services.append(service)
        read_frontend(parts.front, program, sort_variables(variables, "frontend", parts.ledger))

    def _worker(
        self, service: GraphService, program: Program, variables: dict[str, ContainerVariable]
    ) -> None:
        parts, place = self.parts, service.fields.place
        if program.name != WORKER:
            text = f"runs {quoted(program.name)}; dsr1 reads workers that run python3 -m {WORKER}"
            beside = ": give it the engine's own command, as `vllm serve MODEL ...`, in a script"
            refuse(place, f"{text}{beside if 'sidecar' in program.name else ''}")
        name = recipe_name(service.name, [worker.draft.name for worker in parts.workers])
        draft = EngineDraft(name, parts.ledger, place)
        own = sort_variables(variables, draft.key, parts.ledger)
        for key, variable in own.special.items():
            if key != READY:
                text = f"{variable.name}: only the frontend reads it, and this is a worker"
                parts.ledger.leave(text, *variable.places)
        retired = {**self.sorted_shared.retired, **own.retired}
        special = {**self.sorted_shared.special, **own.special}
        sorted_variables = SortedVariables(own.env, retired, special)
        unknown = read_flags(draft, program, sorted_variables)
        parts.workers.append(WorkerDraft(service, draft, sorted_variables, tuple(unknown)))


def _refuse_unknown_flags(parts: DeploymentParts) -> None:
    """Names the first ones at once."""
    lines = []
    for flag, known in islice(parts.unknown_flags(), _MOST_NAMED):
        place, name = flag.places[0], quoted(flag.name)
        where = f"{place.source}:{place.line}: {place}"
        lines.append(f"{where}: unknown flag {name}{known.guess(flag.name)}")
    if lines:
        advice = "--keep-unknown-flags passes it on as it stands"
        raise InputError(
            "\n".join([*lines, f"Neither vLLM 0.31 nor Dynamo 1.6.1 knows it; {advice}"])
        )
