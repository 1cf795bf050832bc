"""A manifest's text to a recipe and notes: every service read, what they share settled, and what is
left reported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.assembly import Parts, assemble
from dsr1.launcher.importing.manifest.command import Program, Wanted, read_program, short
from dsr1.launcher.importing.manifest.documents import (
    check_backend,
    choose_deployment,
    config_maps,
    report_others,
    report_version,
)
from dsr1.launcher.importing.manifest.environment import (
    ConfigMaps,
    Setting,
    plain_values,
    read_settings,
)
from dsr1.launcher.importing.manifest.ledger import Ledger, Note
from dsr1.launcher.importing.manifest.left_out import KEYS
from dsr1.launcher.importing.manifest.names import recipe_name
from dsr1.launcher.importing.manifest.services import Service, count_of, read_services
from dsr1.launcher.importing.manifest.tree import Fields, parse_documents
from dsr1.launcher.importing.manifest.variables import READY, Taken, sort_settings, with_exports
from dsr1.launcher.importing.vllm.arguments import Flag, Known
from dsr1.launcher.importing.vllm.draft import Draft, Worker
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
    documents = parse_documents(text, source)
    deployment = choose_deployment(documents, name, source)
    importing = _Importing(source, Ledger(), config_maps(documents, source))
    recipe = assemble(importing.parts(deployment, keep_unknown), deployment)
    report_version(deployment, importing.ledger)
    report_others(documents, deployment, importing.ledger)
    importing.ledger.sweep(deployment, KEYS)
    return Imported(recipe, tuple(importing.ledger.notes))


@dataclass(frozen=True, slots=True)
class _Importing:
    source: str
    ledger: Ledger
    files: ConfigMaps

    def parts(self, deployment: Fields, keep_unknown: bool) -> Parts:
        spec = deployment.fields("spec")
        check_backend(spec, self.source, self.ledger)
        shared = read_settings((spec,), self.files, self.ledger)
        taken = sort_settings(shared, "runtime", self.source, self.ledger)
        front = FrontendDraft(self.source, self.ledger)
        take_special(front, taken.special)
        parts = Parts(self.source, self.ledger, taken.env, front)
        for service in self._running(read_services(spec, self.source, self.ledger)):
            self._read(service, parts, shared, taken)
        if not parts.workers:
            raise InputError(
                f"{self.source}:{spec.place.line}: {spec.place}: no service runs vLLM workers"
                f" ({WORKER})"
            )
        self._judge_unknown(parts, keep_unknown)
        return parts

    def _running(self, services: Sequence[Service]) -> Iterator[Service]:
        """Those of a kind that dsr1 runs, with at least one replica."""
        for service in services:
            place, replicas = service.fields.place, service.fields.get("replicas")
            if service.kind not in ("frontend", "worker"):
                self.ledger.leave(
                    f"service {short(service.name)} ({service.kind}): dsr1 runs none", place
                )
            elif replicas is not None and count_of(replicas, "replicas", self.source) == 0:
                self.ledger.leave(
                    f"service {short(service.name)}: it has 0 replicas, so it is off", place
                )
            else:
                yield service

    def _read(
        self, service: Service, parts: Parts, shared: dict[str, Setting], outer: Taken
    ) -> None:
        settings = read_settings(
            (service.fields, service.container), self.files, self.ledger, shared
        )
        values = plain_values({**shared, **settings})
        wanted = Wanted(FRONTEND if service.kind == "frontend" else WORKER, self.source)
        program = read_program(service.container, values, wanted, self.ledger)
        settings = with_exports(settings, program)
        if program.name == FRONTEND:
            self._front(service, program, settings, parts)
        elif program.name in _OTHER_PARTS:
            self.ledger.leave(
                f"service {short(service.name)} runs {program.name}: dsr1 runs none",
                service.fields.place,
            )
        else:
            self._worker(service, program, settings, parts, outer)

    def _front(
        self, service: Service, program: Program, settings: dict[str, Setting], parts: Parts
    ) -> None:
        if parts.front_services:
            text = (
                f"service {short(service.name)}: a recipe has one frontend;"
                f" {short(parts.front_services[0].name)} is it"
            )
            self.ledger.leave(text, service.fields.place)
            return
        parts.front_services.append(service)
        read_frontend(
            parts.front, program, sort_settings(settings, "frontend", self.source, self.ledger)
        )

    def _worker(
        self,
        service: Service,
        program: Program,
        settings: dict[str, Setting],
        parts: Parts,
        outer: Taken,
    ) -> None:
        place = service.fields.place
        if program.name != WORKER:
            raise InputError(
                f"{self.source}:{place.line}: {place}: runs {short(program.name)}; "
                f"dsr1 reads workers that run python3 -m {WORKER}"
            )
        name = recipe_name(service.name, [worker.draft.name for worker in parts.workers])
        draft = Draft(name, self.source, self.ledger, place)
        own = sort_settings(settings, draft.key, self.source, self.ledger)
        taken = Taken(own.env, {**outer.retired, **own.retired}, {**outer.special, **own.special})
        for key, setting in own.special.items():
            if key != READY:
                self.ledger.leave(
                    f"{setting.name}: of the frontend, and this is a worker", *setting.places
                )
        unknown = read_flags(draft, program, taken)
        parts.workers.append(Worker(service, draft, taken, tuple(unknown)))

    def _judge_unknown(self, parts: Parts, keep: bool) -> None:
        """Flags that nobody knows: refused, the first ones at once; or passed on as they stand."""
        if keep:
            parts.keep_unknown()
            return
        lines = [self._unknown(flag, known) for flag, known in islice(parts.unknown(), _MOST_NAMED)]
        if lines:
            wish = (
                "Neither vLLM 0.31 nor Dynamo 1.6.1 knows it; --keep-unknown-flags passes it on as"
                " it stands"
            )
            raise InputError("\n".join([*lines, wish]))

    def _unknown(self, flag: Flag, known: Known) -> str:
        place = flag.places[0]
        return (
            f"{self.source}:{place.line}: {place}: unknown flag"
            f" {short(flag.name)}{known.guess(flag.name)}"
        )
