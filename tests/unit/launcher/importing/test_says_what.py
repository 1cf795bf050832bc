"""An import says what a person would: of other hardware, of containers' paths, of pickers, and of
files that are no deployment."""

import pytest
from tests.unit.launcher.importing.deployments import deployed, notes_of, scripted, worker

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.manifest.ledger import NoteKind

HEAD = "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: a}\nspec:\n"


@pytest.mark.parametrize(
    ("args", "more", "wanted"),
    [
        (["--all2all-backend", "flashinfer_nvlink_two_sided"], {}, "'flashinfer_nvlink_two_sided'"),
        (["--moe-backend", "flashinfer_trtllm"], {}, "'flashinfer_trtllm'"),
        (["--served-model-name", "r1-NVFP4"], {}, "'NVFP4'"),
        ([], {"envs": [{"name": "X_FP4", "value": "mxfp4"}]}, "'mxfp4'"),
        ([], {"resources": {"limits": {"gpu": "4", "gpuType": "B200"}}}, "'B200'"),
        ([], {"labels": {"for": "GB300"}}, "'GB300'"),
    ],
)
def test_blackwell_has_one_note(args: list[str], more: dict[str, object], wanted: str) -> None:
    asked = notes_of(deployed(decode=worker(*args, **more)), NoteKind.TO_SET).splitlines()
    (note,) = [line for line in asked if "Blackwell" in line]
    assert wanted in note


@pytest.mark.parametrize("word", ["H200", "a100", "1b200", "GB/s", "fp8"])
def test_hopper_has_none(word: str) -> None:
    result = deployed(decode=worker(labels={"for": word}))
    assert "Blackwell" not in notes_of(result, NoteKind.TO_SET)


@pytest.mark.parametrize(
    "name",
    ["HOME", "CUDA_HOME", "XDG_CACHE_HOME", "LIBRARY_PATH", "TMPDIR", "CPATH", "VIRTUAL_ENV"],
)
def test_paths_of_the_image_are_left_out(name: str) -> None:
    result = deployed(decode=worker(envs=[{"name": name, "value": "/usr/local/x"}]))
    assert f"{name}: a path of the container's image" in notes_of(result, NoteKind.LEFT_OUT)
    assert name not in str(result.recipe)


def test_without_its_picker_the_frontend_routes() -> None:
    sidecar = {"name": "front", "args": ["-m", "dynamo.frontend", "--router-mode", "direct"]}
    pod = worker("--data-parallel-size", "8")
    pod["extraPodSpec"]["containers"] = [sidecar]
    result = deployed(Picker={"componentType": "epp", "replicas": 1}, worker=pod)
    assert result.recipe["frontend"]["router_mode"] == "kv"
    assert "dsr1's frontend routes" in notes_of(result, NoteKind.REWRITTEN)
    assert "container 'front': the frontend" in notes_of(result, NoteKind.REWRITTEN)
    assert "sidecars" not in notes_of(result, NoteKind.LEFT_OUT)


@pytest.mark.parametrize(
    ("command", "is_program"),
    [
        ("env -u A B=1 python3 -m dynamo.kv_state_agent --max-slots 2 &", True),
        ("env --unset A -C /x nats-server &", True),
        ("nohup -- etcd &", True),
        ("exec -a name tini", True),
        ("env", False),
        ("env A=1", False),
        ("env A=1 sleep 5", False),
        ("time sleep 5", False),
        ("command true", False),
    ],
)
def test_what_runs_beside_the_worker_is_told(command: str, is_program: bool) -> None:
    """Also behind `env`, as Dynamo's kvcr example starts its agent."""
    result = scripted(f"{command}\npython3 -m dynamo.vllm --model m")
    asked, left = (notes_of(result, kind) for kind in (NoteKind.TO_SET, NoteKind.LEFT_OUT))
    assert ("ran in the container beside the worker" in asked) == is_program
    assert ("of the script alone" in left) != is_program


def test_a_sidecar_that_is_no_frontend_stays_out() -> None:
    pod = worker()
    pod["extraPodSpec"]["containers"] = [{"name": "log", "args": ["-m", "fluent"]}]
    assert "dsr1 runs no sidecars" in notes_of(deployed(worker=pod), NoteKind.LEFT_OUT)


@pytest.mark.parametrize("flag", ["--enable-elastic-ep", "--elastic-ep-max-dp-size=16"])
def test_what_vllm_would_refuse_is_left_out(flag: str) -> None:
    result = deployed(decode=worker("--enable-eplb", "--enable-expert-parallel", flag))
    assert "vLLM resizes engines with Ray" in notes_of(result, NoteKind.LEFT_OUT)
    assert "elastic" not in str(result.recipe)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{HEAD}  services: {{a: {{replicas: 1}}}}\n", "a patch: .*`kubectl kustomize FOLDER`"),
        (
            f"{HEAD}  components: [{{name: a, podTemplate: {{spec: {{containers: [{{name: main,"
            " resources: {}}]}}}]\n",
            "a patch",
        ),
        (f"{HEAD}  x: {{{{ .Values.y }}}}\n", "f.yaml:5: a Helm template.*`helm template CHART"),
        ("{{- range .Values.workers }}\na: 1\n{{- end }}\n", "f.yaml:1: a Helm template"),
        ('{{ include "x" . }}\n', "a Helm template"),
        (
            "apiVersion: batch/v1\nkind: Job\n",
            "Job: a job runs once.*`kubectl get dgd NAME -o yaml`",
        ),
        ("kind: Kustomization\nresources: [a]\n", "Kustomization: `kubectl kustomize FOLDER`"),
        ("apiVersion: v2\nkind: HelmRelease\n", "`helm get manifest NAME`"),
        ("apiVersion: apps/v1\nkind: StatefulSet\n", "`kubectl get dgd NAME -o yaml`"),
    ],
)
def test_what_is_no_deployment_is_told_with_a_way(text: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        import_manifest(text, "f.yaml")


def test_braces_of_a_chat_template_are_no_helm() -> None:
    result = deployed(
        decode=worker("--custom-jinja-template", "{% if a %}{{ messages[0] }}{% endif %}")
    )
    assert "messages" in str(result.recipe)


def test_a_number_that_the_shell_has_yet_to_fill_in() -> None:
    """As llm-d's templates have them: `replicas: ${DECODE_REPLICAS}`."""
    with pytest.raises(InputError, match=r"'\$\{N\}'; .*; `envsubst < FILE \| dsr1 import -`"):
        deployed(decode=worker(replicas="${N}"))
    with pytest.raises(InputError, match=r"it must be a whole number$"):
        deployed(decode=worker(replicas="many"))
