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
from dsr1.hosts.agent.model.relay import Server, make_context
from dsr1.hosts.agent.model.stock import Stock, list_folder, parse_items
from dsr1.hosts.agent.model.workplace import refuse_without_room, workplace
from dsr1.hosts.protocol.job import Desk, Meter, Order, Refused

HASHING = 4


def push(order: Order, desk: Desk) -> Mapping[str, Any]:
    """Order: `address`, `secrets`, `patience_s`, and `source`, a folder to serve, or `to`, a folder
    to fill."""
    try:
        server = Server(order["address"], order["secrets"])
    except OSError as error:
        raise Refused("work", f"can't listen on {order['address']}: {error.strerror}") from None
    return serve(order, desk, server) if "source" in order else receive(order, desk, server)


def serve(order: Order, desk: Desk, server: Server) -> Mapping[str, Any]:
    folder = Path(order["source"])
    stock = Stock(list_folder(folder))
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


def receive(order: Order, desk: Desk, server: Server) -> Mapping[str, Any]:
    folder = Path(order["to"])
    with workplace(folder) as work:
        told = desk.ask({"port": server.port})
        stock = Stock(parse_items(told["items"]))
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


def _hash_or_end(stock: Stock, recorded: Mapping[str, str], desk: Desk) -> None:
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


def hash_all(stock: Stock, recorded: Mapping[str, str]) -> None:
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
