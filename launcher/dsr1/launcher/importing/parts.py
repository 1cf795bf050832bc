"""The parts of a deployment, as they were read."""

from collections.abc import Iterator
from dataclasses import field, replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.services import GraphService
from dsr1.launcher.importing.shell.secrecy import conceal, is_secret
from dsr1.launcher.importing.vllm.arguments import Flag, KnownFlags, known_flags
from dsr1.launcher.importing.vllm.draft import WorkerDraft
from dsr1.launcher.importing.vllm.flag_handlers import argument_value
from dsr1.launcher.importing.vllm.frontend import FrontendDraft


@dataclass(frozen=True, slots=True)
class DeploymentParts:
    """`env` are the variables that all its services share."""

    ledger: Ledger
    env: dict[str, str]
    front: FrontendDraft
    front_services: list[GraphService] = field(default_factory=list)
    workers: list[WorkerDraft] = field(default_factory=list)

    @property
    def services(self) -> list[GraphService]:
        return [*self.front_services, *(worker.service for worker in self.workers)]

    def unknown_flags(self) -> Iterator[tuple[Flag, KnownFlags]]:
        for flag in self.front.unknown:
            yield flag, known_flags("frontend")
        for worker in self.workers:
            for flag in worker.unknown:
                yield flag, known_flags("worker")

    def leave_server_flags(self) -> None:
        """Of vLLM's own server, which no worker of Dynamo's has."""
        for number, worker in enumerate(self.workers):
            served = [flag for flag in worker.unknown if flag.name in known_flags("server").kinds]
            for flag in served:
                text = f"--{flag.name}: of vLLM's own server; clients ask Dynamo's frontend"
                self.ledger.leave(text, *flag.places)
            kept = tuple(flag for flag in worker.unknown if flag not in served)
            self.workers[number] = replace(worker, unknown=kept)

    def keep_unknown_flags(self) -> None:
        """Passed on as they stand, but for secrets."""
        for flag in self.front.unknown:
            self._keep(flag, self.front.args, "frontend")
        for worker in self.workers:
            for flag in worker.unknown:
                self._keep(flag, worker.draft.args, worker.draft.key)

    def _keep(self, flag: Flag, args: dict[str, object], key: str) -> None:
        name = conceal(flag.name)
        if name != flag.name or is_secret(flag.name, flag.text):
            text = f"--{name}: a secret, which is not copied into a recipe"
            self.ledger.ask(text, f"{key}.args", *flag.places)
            return
        args[flag.name] = argument_value(flag)
        text = f"--{flag.name}: neither vLLM 0.31 nor Dynamo 1.6.1 knows it; passed on as it stands"
        self.ledger.ask(text, f"{key}.args.{flag.name}", *flag.places)
