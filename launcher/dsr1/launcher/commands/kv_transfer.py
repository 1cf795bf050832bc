"""KV caches: how they move between engines and how a router learns of them, as vLLM's own JSON
arguments. Pure.

vLLM adds the global DP index to the port of the KV events and to the NIXL side channel's: every
rank of an engine is given the same base.
"""

import json
from collections.abc import Mapping
from typing import Any

from dsr1.launcher.layout.pinned import EnginePorts
from dsr1.launcher.recipe.engine import Engine

ROLES = {"aggregated": "kv_both", "prefill": "kv_producer", "decode": "kv_consumer"}
_KVBM = "kvbm.vllm_integration.connector"
_PARTS: Mapping[str, Mapping[str, str]] = {
    "lmcache": {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"},
    "kvbm": {
        "kv_connector": "DynamoConnector",
        "kv_connector_module_path": _KVBM,
        "kv_role": "kv_both",
    },
}


def kv_arguments(engine: Engine, ports: EnginePorts) -> tuple[str, ...]:
    transfer, events = transfer_config(engine), events_config(engine, ports)
    return (
        *(("--kv-transfer-config", _json(transfer)) if transfer else ()),
        *(("--kv-events-config", _json(events)) if events else ()),
    )


def transfer_config(engine: Engine) -> dict[str, Any] | None:
    """What Dynamo 1.6 says that its former --connector words mean; a cache lies before NIXL in
    prefill alone."""
    connector, role = engine.connector, ROLES[engine.role]
    if isinstance(connector, dict):
        return {"kv_role": role, **connector}
    if connector is None:
        return None
    nixl = {"kv_connector": "NixlConnector", "kv_role": role}
    if connector == "nixl" or engine.role == "decode":
        return nixl
    if engine.role == "aggregated":
        return dict(_PARTS[connector])
    return {
        "kv_connector": "PdConnector",
        "kv_connector_module_path": _KVBM,
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": [dict(_PARTS[connector]), nixl]},
    }


def events_config(engine: Engine, ports: EnginePorts) -> dict[str, Any] | None:
    """They are prompts in clear. Who reads them is the worker of the same host: a Unix socket, in
    the agent's own folder, where the worker and its engines stand. vLLM adds the rank to what
    follows the last colon, where "tcp" is in the name. Dynamo's block manager reads TCP alone, and
    vLLM listens there on a wildcard alone, and connects to any other address."""
    if not engine.kv_events:
        return None
    where = "tcp://*" if "DynamoConnector" in engine.connectors else "ipc://kv-events-as-by-tcp"
    return {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"{where}:{ports.kv_events}",
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
