"""The job behind `dsr1 model push`, on the source and on every host that receives.

It sends its port, gets the hosts ahead, and goes on serving when it has everything until the reply
to that comes.
"""

import os
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dsr1.hosts.agent.facts.model.shards import read_sums
from dsr1.hosts.agent.model.hashes import hash_file
from dsr1.hosts.agent.model.receive import Receiver, Upstreams
from dsr1.hosts.agent.model.relay import RelayServer, make_context
from dsr1.hosts.agent.model.source_hashes import SourceHashes
from dsr1.hosts.agent.model.staging import refuse_without_room, staging_folder
from dsr1.hosts.agent.model.store import ModelStore, list_folder, refuse_unsafe
from dsr1.hosts.protocol.jobs.messages import JobContext, JobRefused, Meter
from dsr1.hosts.protocol.jobs.orders import PushMessage, PushOrder, PushResult

HASHING = 4


def push_model_job(order: PushOrder, context: JobContext) -> PushResult:
    try:
        server = RelayServer(order.address, order.secrets)
    except OSError as error:
        raise JobRefused("work", f"can't listen on {order.address}: {error.strerror}") from None
    take_part = serve_files if order.source else receive_files
    return take_part(order, context, server)


def serve_files(order: PushOrder, context: JobContext, server: RelayServer) -> PushResult:
    folder = Path(order.source)
    store = ModelStore(list_folder(folder), folder)
    for index, item in enumerate(store.items):
        store.put(index, folder / item.name, item.size)
    values = (store, read_sums(folder), context)
    hashing = threading.Thread(target=_hash_or_end, args=values, daemon=True)
    hashing.start()
    server.begin(store)
    context.ask(PushMessage(server.port, tuple(store.items)))
    hashing.join()
    context.ask(PushMessage(complete=True))
    return PushResult()


def receive_files(order: PushOrder, context: JobContext, server: RelayServer) -> PushResult:
    folder, meter = Path(order.to), context.meter
    with staging_folder(folder) as area:
        reply = context.ask(PushMessage(server.port))
        refuse_unsafe(reply.files)
        store = ModelStore(reply.files, folder)
        tls = make_context(ssl.PROTOCOL_TLS_CLIENT, order.secrets)
        upstreams = Upstreams(reply.ahead, tls, order.patience_s)
        receiver = Receiver(area, store, upstreams, SourceHashes(context.ask).wait)
        receiver.adopt_existing()
        before = store.have()
        refuse_without_room(folder, store.total - before)
        meter.total, meter.doing, meter.measure = store.total, "receiving", store.have
        server.begin(store)
        receiver.run()
        for left in area.work.glob("*.part"):  # of sources that have changed since
            left.unlink()
        context.ask(PushMessage(complete=True))
    return PushResult(store.total - before)


def _hash_or_end(store: ModelStore, recorded: Mapping[str, str], context: JobContext) -> None:
    """A file that can't be read ends the source: the others would wait for its hash for ever."""
    try:
        hash_all(store, recorded, lambda *one: context.ask(PushMessage(hashes=(one,))))
    except OSError as error:
        text = f"{error.filename}: can't be read at the source: {error.strerror}"
        context.refuse("work", text)
        os._exit(1)


def hash_all(
    store: ModelStore, recorded: Mapping[str, str], tell: Callable[[int, str], object]
) -> None:
    """The source's hashes, each told as soon as it is known. Those of shards on record are taken
    from there.

    The rest is small, and people change a config.json.
    """

    def one(index: int) -> None:
        name = store.items[index].name
        known = recorded.get(name) if name.endswith(".safetensors") else None
        if not known:
            with store.opened(index) as file:
                known = hash_file(file, Meter())
        tell(index, known)

    with ThreadPoolExecutor(HASHING) as pool:
        list(pool.map(one, range(len(store.items))))
