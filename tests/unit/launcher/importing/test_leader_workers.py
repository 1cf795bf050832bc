"""LeaderWorkerSets, as guides of wide expert parallelism have them after `kubectl kustomize`."""

import subprocess

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.foreign import import_file
from dsr1.launcher.importing.importer import Imported
from dsr1.launcher.importing.manifest.ledger import NoteKind
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import render_imported_recipe
from dsr1.launcher.importing.shell.arithmetic import calculate

SCRIPT = r"""
                find /dev/shm -type f -delete
                START_RANK=$(( ${LWS_WORKER_INDEX:-0} * DP_SIZE_LOCAL ))
                exec vllm serve \
                  deepseek-ai/DeepSeek-R1-0528 \
                  --port 8200 \
                  --api-server-count 1 \
                  --disable-access-log-for-endpoints=/health,/metrics \
                  --data-parallel-hybrid-lb \
                  --enable-expert-parallel \
                  --tensor-parallel-size $TP_SIZE \
                  --data-parallel-size $((LWS_GROUP_SIZE * DP_SIZE_LOCAL)) \
                  --data-parallel-size-local $DP_SIZE_LOCAL \
                  --data-parallel-address ${LWS_LEADER_ADDRESS} \
                  --data-parallel-rpc-port 5555 \
                  --data-parallel-start-rank $START_RANK \
                  --kv_transfer_config '{"kv_connector":"NixlConnector",
                                         "kv_role":"kv_both"}' \
                  --all2all-backend BACKEND"""
POD = """
      spec:
        serviceAccountName: r1
        initContainers:
          - {name: routing-proxy, image: proxy:1, args: [--port=8000, --vllm-port=8200]}
        volumes: [{name: dshm, emptyDir: {medium: Memory, sizeLimit: 2Gi}}]
        containers:
          - name: vllm
            image: registry.example/vllm:1
            command: [/bin/bash, -c]
            args:
              - |-SCRIPT
            env:
              - {name: DP_SIZE_LOCAL, value: "8"}
              - {name: TP_SIZE, value: "1"}
              - {name: NCCL_SOCKET_IFNAME, value: eth0}
              - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}
            ports: [{containerPort: 8200}]
            resources: {limits: {nvidia.com/gpu: "8"}}
"""
SET = """apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata:
  name: wide-ROLE
  labels: {LABEL: ROLE}
spec:
  replicas: REPLICAS
  startupPolicy: LeaderCreated
  leaderWorkerTemplate:
    size: SIZE
    restartPolicy: RecreateGroupOnPodRestart
    workerTemplate:
      metadata: {labels: {x: y}}"""


def a_set(role: str, backend: str, size: int = 2, replicas: int = 1, label: str = "x") -> str:
    text = SET.replace("ROLE", role).replace("SIZE", str(size)).replace("LABEL", label)
    pod = POD.replace("SCRIPT", SCRIPT).replace("BACKEND", backend)
    return text.replace("REPLICAS", str(replicas)) + pod


PREFILL = a_set("prefill", "deepep_high_throughput")
DECODE = a_set("decode", "deepep_low_latency", replicas=2, label="llm-d.ai/role")


def read(text: str, name: str = "") -> Imported:
    imported = import_file(text, "lws.yaml", name)
    prove(imported, render_imported_recipe(imported, "lws.yaml"), "lws.yaml")
    return imported


def test_prefill_and_decode_are_two_engines_of_one_deployment() -> None:
    found = read(f"{PREFILL}---\n{DECODE}")
    recipe = found.recipe
    assert (recipe["name"], recipe["stack"]) == ("wide", "dynamo")
    assert recipe["model"]["path"] == "deepseek-ai/DeepSeek-R1-0528"
    prefill, decode = recipe["engines"]["prefill"], recipe["engines"]["decode"]
    assert (prefill["role"], prefill["nodes"], prefill["ranks_per_node"]) == ("prefill", 2, 8)
    assert (decode["role"], decode["replicas"], decode["kv_transfer"]) == ("decode", 2, "nixl")
    assert decode["all2all_backend"] == "deepep_low_latency"


def test_each_key_is_used_or_there_is_a_note() -> None:
    """At its own line of the file, and of what nobody asked nothing is to be set."""
    found = read(f"{PREFILL}---\n{DECODE}")
    texts = [note.text for note in found.notes]
    assert not [note for note in found.notes if note.kind is NoteKind.NOT_KNOWN]
    for wanted in ("initContainers", "HF_TOKEN", "startupPolicy", "restartPolicy", "image"):
        assert any(wanted in str(note) for note in found.notes), wanted
    assert any(text.startswith("--api-server-count: of vLLM's own server") for text in texts)
    asked = [note.text for note in found.notes if note.kind is NoteKind.TO_SET]
    assert not [text for text in asked if "$" in text or "LWS" in text], asked
    lines = f"{PREFILL}---\n{DECODE}".splitlines()
    token = next(note for note in found.notes if note.text.startswith("HF_TOKEN"))
    assert all("HF_TOKEN" in lines[place.line - 1] for place in token.places)


def test_without_roles_vllms_own_servers_serve() -> None:
    recipe = read(a_set("all", "deepep_low_latency")).recipe
    assert recipe["stack"] == "vllm"
    (engine,) = recipe["engines"].values()
    assert (engine["nodes"], engine["ranks_per_node"]) == (2, 8)
    assert engine["args"]["api-server-count"] == 1


def test_a_port_for_each_rank_is_a_process_for_each() -> None:
    text = a_set("all", "deepep_low_latency")
    flags = "--data-parallel-multi-port-external-lb --data-parallel-supervisor-port 8008"
    (engine,) = read(text.replace("--data-parallel-hybrid-lb", flags)).recipe["engines"].values()
    assert engine["layout"] == "per_gpu"


def test_a_set_is_chosen_by_name_and_a_leader_speaks_for_its_group() -> None:
    leader = POD.replace("      spec:", "    leaderTemplate:\n      spec:", 1)
    leader = leader.replace("SCRIPT", SCRIPT).replace("BACKEND", "deepep_low_latency")
    worker = "    workerTemplate:\n      spec: {containers: [{name: w, args: [--headless]}]}\n"
    text = SET.replace("ROLE", "one").replace("SIZE", "2").replace("REPLICAS", "1")
    text = text.replace("LABEL", "x").rpartition("    workerTemplate:")[0] + leader + worker
    recipe = read(f"{PREFILL}---\n{text}", "wide-one").recipe
    assert recipe["name"] == "wide-one"
    assert len(recipe["engines"]) == 1


def test_a_disaggregated_set_has_its_roles_in_one_object() -> None:
    def role(name: str, backend: str) -> str:
        body = a_set(name, backend).partition("spec:\n")[2]
        lines = ["  - name: " + name, "    spec:"]
        return "\n".join(lines + ["    " + line for line in body.splitlines()])

    head = "apiVersion: disaggregatedset.x-k8s.io/v1\nkind: DisaggregatedSet\n"
    parts = (role("prefill", "deepep_high_throughput"), role("decode", "deepep_low_latency"))
    text = f"{head}metadata: {{name: r1}}\nspec:\n  roles:\n" + "\n".join(parts) + "\n"
    recipe = read(text).recipe
    assert (recipe["name"], set(recipe["engines"])) == ("r1", {"prefill", "decode"})


@pytest.mark.parametrize(
    "line",
    [
        'command: [vllm, serve, m/x, --port, "8000", -tp, "1", --data-parallel-size, "16"]',
        'command: [vllm, serve]\n            args: [m/x, --host=0.0.0.0, --data-parallel-size, "16"]',
        'command: [/opt/bin/vllm]\n            args: [serve, m/x, --data-parallel-size, "16"]',
        'args: [vllm, serve, --model, m/x, --data-parallel-size, "16"]',
    ],
)
def test_single_words(line: str) -> None:
    pod = POD.partition("            command:")
    rest = pod[2].partition("            env:")
    text = SET.replace("ROLE", "one").replace("SIZE", "2").replace("REPLICAS", "1")
    container = f"{pod[0]}            {line}\n{rest[1]}{rest[2]}"
    recipe = read(text.replace("LABEL", "x") + container).recipe
    assert recipe["model"]["path"] == "m/x"


def test_other_engines_are_refused() -> None:
    other = a_set("one", "x").replace("vllm serve", "python3 -m sglang.launch_server")
    with pytest.raises(InputError, match=r"runs 'sglang.launch_server'"):
        import_file(other, "lws.yaml")


@pytest.mark.parametrize("text", ["spec: {}", "spec: {leaderWorkerTemplate: 7}", "spec: []"])
def test_a_set_without_its_parts_is_refused_in_plain_words(text: str) -> None:
    head = "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: x}\n"
    with pytest.raises(InputError, match=r"lws\.yaml"):
        import_file(f"{head}{text}\n", "lws.yaml")


EXPRESSIONS = (
    "2 * 8",
    "${A:-0} * B",
    "$A+B",
    "(A + 1) * B - 3",
    "-7 / 2",
    "-7 % 3",
    "7 / -2",
    "A*B*B*B",
    " \n B ",
    "${UNSET:-4} * 2",
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_is_reckoned_as_in_bash(expression: str) -> None:
    script = f"A=3 B=8; echo $(( {expression} ))"
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    known = {"A": "3", "B": "8"}
    assert calculate(expression, lambda name: known.get(name, "")) == int(told.stdout)


@pytest.mark.parametrize(
    "expression",
    [
        "C * 2",
        "2 ** 9999",
        "1 / 0",
        "010 + 1",
        "A = 4",
        "A++",
        "1 if 1 else 2",
        "9" * 50,
        "(" * 150,
        "",
        "a.b",
        "A[0]",
        "1 // 2",
        "1e9",
        "99999 * 99999",
        "~A",
    ],
)
def test_what_only_a_shell_knows_stays(expression: str) -> None:
    assert calculate(expression, lambda name: "3" if name == "A" else "") is None
