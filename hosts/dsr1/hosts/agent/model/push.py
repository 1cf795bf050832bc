"""The job behind `dsr1 model push`, on the source and on every host that receives.

It tells its port, is told the hosts ahead, and goes on serving when it has everything until it is
told to end.
"""

import os
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.shards import read_sums
from dsr1.hosts.agent.model.hashes import hash_file
from dsr1.hosts.agent.model.receive import Receiver, Upstreams
from dsr1.hosts.agent.model.relay import RelayServer, make_context
from dsr1.hosts.agent.model.stock import ModelStore, list_folder, parse_items
from dsr1.hosts.agent.model.workplace import refuse_without_room, staging_folder
from dsr1.hosts.protocol.job import JobContext, JobOrder, JobRefused, Meter

HASHING = 4


def push_model_job(order: JobOrder, desk: JobContext) -> Mapping[str, Any]:
    """Order: `address`, `secrets`, `patience_s`, and `source`, a folder to serve, or `to`, a folder
    to fill."""
    try:
        server = RelayServer(order["address"], order["secrets"])
    except OSError as error:
        raise JobRefused("work", f"can't listen on {order['address']}: {error.strerror}") from None
    return (
        serve_files(order, desk, server)
        if "source" in order
        else receive_files(order, desk, server)
    )


def serve_files(order: JobOrder, desk: JobContext, server: RelayServer) -> Mapping[str, Any]:
    folder = Path(order["source"])
    stock = ModelStore(list_folder(folder))
    for index, item in enumerate(stock.items):
        stock.put(index, folder / item.name, item.size)
    threading.Thread(
        target=_hash_or_end, args=(stock, read_sums(folder), desk), daemon=True
    ).start()
    server.begin(stock)
    desk.ask(
        {
            "port": server.port,
            "items": [[item.name, item.size, item.changed] for item in stock.items],
        }
    )
    return {}


def receive_files(order: JobOrder, desk: JobContext, server: RelayServer) -> Mapping[str, Any]:
    folder = Path(order["to"])
    with staging_folder(folder) as work:
        told = desk.ask({"port": server.port})
        stock = ModelStore(parse_items(told["items"]))
        context = make_context(ssl.PROTOCOL_TLS_CLIENT, order["secrets"])
        ahead = [(str(address), int(port)) for address, port in told["ahead"]]
        receiver = Receiver(folder, work, stock, Upstreams(ahead, context, order["patience_s"]))
        receiver.take_there()
        before = stock.have()
        refuse_without_room(folder, stock.total - before)
        desk.meter.total, desk.meter.doing, desk.meter.measure = (
            stock.total,
            "receiving",
            stock.have,
        )
        server.begin(stock)
        receiver.run()
        for left in work.glob("*.part"):  # of sources that have changed since
            left.unlink()
        desk.ask({"whole": True})
    return {"came": stock.total - before}


def _hash_or_end(stock: ModelStore, recorded: Mapping[str, str], desk: JobContext) -> None:
    """A file that can't be read ends the source: the others would wait for its hash for ever."""
    try:
        hash_all(stock, recorded)
    except OSError as error:
        desk.say(
            {
                "refused": [
                    "work",
                    f"{error.filename}: can't be read at the source: {error.strerror}",
                ]
            }
        )
        os._exit(1)


def hash_all(stock: ModelStore, recorded: Mapping[str, str]) -> None:
    """The source's hashes, each told as soon as it is known. Those of shards on record are taken
    from there.

    The rest is small, and people change a config.json.
    """

    def one(index: int) -> None:
        name = stock.items[index].name
        known = recorded.get(name) if name.endswith(".safetensors") else None
        stock.put_hash(index, known or hash_file(stock.path(index), Meter()))

    with ThreadPoolExecutor(HASHING) as pool:
        list(pool.map(one, range(len(stock.items))))
