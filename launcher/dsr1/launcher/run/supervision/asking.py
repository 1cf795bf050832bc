"""An engine that was started again is asked before it counts: what of it takes requests."""

import threading
from collections.abc import Callable, Sequence

from dsr1.hosts.protocol.process import Process
from dsr1.launcher.commands.etcd import ETCD, GATEWAY
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.engine import await_engine, await_frontend
from dsr1.launcher.smoke.metrics import AskHost


def ask_engine(
    run: Run,
    plan: Plan,
    ask: AskHost,
    processes: Sequence[Process],
    chat_s: float,
    done: threading.Event,
    report: Callable[[str], None],
) -> str | None:
    """Empty: it serves; else what is wrong with its answers. None: it was `done` before. That etcd
    listens was waited for already."""
    names = frozenset(process.name for process in processes)
    if names == {ETCD}:
        return ""
    if names == {GATEWAY} or not any(process.ranks for process in processes):
        return await_frontend(plan.service, _urls(plan, processes), chat_s, done)
    meaningful = not run.recipe().is_meaningless
    return await_engine(plan, ask, names, chat_s, meaningful, done, report)


def _urls(plan: Plan, processes: Sequence[Process]) -> tuple[str, ...]:
    """Of a frontend among several by its port; else where clients connect."""
    ports = {port for process in processes for port in process.ports}
    own = [url for url in plan.service.frontend_urls if int(url.rpartition(":")[2]) in ports]
    return tuple(own) or (plan.service.url,)
