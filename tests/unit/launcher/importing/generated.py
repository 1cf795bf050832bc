"""Manifests made at random, with a value of its own in every place: what became of each can then be
told."""

import random
from collections.abc import Callable
from typing import Any

FLAGS = (
    "load-format",
    "kv-cache-dtype",
    "tokenizer-mode",
    "dtype",
    "revision",
    "moe-backend",
    "download-dir",
)
POD_KEYS = (
    "tolerations",
    "affinity",
    "nodeSelector",
    "hostNetwork",
    "schedulerName",
    "mystery",
    "volumes",
    "dnsPolicy",
)
SERVICE_KEYS = (
    "dynamoNamespace",
    "annotations",
    "labels",
    "ingress",
    "scalingAdapter",
    "autoscaling",
    "surprise",
)
CONTAINER_KEYS = (
    "image",
    "workingDir",
    "ports",
    "securityContext",
    "livenessProbe",
    "lifecycle",
    "oddity",
    "resources",
)


class Maker:
    """`unique()` never gives the same text twice."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._count = 0

    def unique(self) -> str:
        self._count += 1
        return f"unique{self._count}value"

    def manifest(self) -> list[dict[str, Any]]:
        """Documents: a deployment of either shape, and at times something beside it."""
        is_new = self._chance.random() < 0.5
        services = [self._frontend(is_new), *(self._worker(is_new, role) for role in self._roles())]
        spec: dict[str, Any] = {"backendFramework": "vllm", "envs": [self._variable()]}
        spec |= (
            {"components": services}
            if is_new
            else {"services": {s.pop("name"): s for s in services}}
        )
        spec |= self._some(("pvcs", "annotations", "priorityClassName", "enigma"))
        deployment = {
            "apiVersion": f"nvidia.com/{'v1beta1' if is_new else 'v1alpha1'}",
            "kind": "DynamoGraphDeployment",
            "metadata": {"name": self.unique(), **self._some(("labels", "namespace", "riddle"))},
            "spec": spec,
        }
        beside = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.unique()},
            "data": self._any(),
        }
        return self._chance.choice(([deployment], [beside, deployment], [deployment, beside]))

    def _roles(self) -> tuple[str, ...]:
        return self._chance.choice((("",), ("prefill", "decode"), ("decode", "prefill", "prefill")))

    def _some(self, keys: tuple[str, ...]) -> dict[str, Any]:
        return {key: self._any() for key in keys if self._chance.random() < 0.3}

    def _any(self) -> Any:
        forms: tuple[Callable[[], Any], ...] = (
            self.unique,
            lambda: [self.unique(), {self.unique(): self.unique()}],
            lambda: {"a": self.unique(), "b": [self.unique()]},
        )
        return self._chance.choice(forms)()

    def _variable(self) -> dict[str, Any]:
        name = self._chance.choice(("NCCL_DEBUG", "GLOO_SOCKET_IFNAME", "HF_HOME", "X"))
        name = f"{name}_{self._count}" if name == "X" else name
        source = {"valueFrom": {"secretKeyRef": {"name": self.unique(), "key": self.unique()}}}
        return {"name": name, **self._chance.choice(({"value": self.unique()}, source))}

    def _frontend(self, is_new: bool) -> dict[str, Any]:
        container = {"args": ["--model-name", self.unique()], **self._some(CONTAINER_KEYS)}
        return self._service(f"Front{self.unique()}", "frontend", container, is_new)

    def _worker(self, is_new: bool, role: str) -> dict[str, Any]:
        words = ["--model", "the-model", *(["--disaggregation-mode", role] if role else [])]
        for flag in self._chance.sample(FLAGS, k=self._chance.randrange(len(FLAGS))):
            words += [f"--{flag}", self.unique()]
        container: dict[str, Any] = {"command": ["python3", "-m", "dynamo.vllm"], "args": words}
        if self._chance.random() < 0.5:
            script = " \\\n  ".join(["exec python3 -m dynamo.vllm", *words])
            container = {"command": ["/bin/sh", "-c"], "args": [f"ulimit -l unlimited\n{script}\n"]}
        container |= {"env": [self._variable() for _ in range(3)], **self._some(CONTAINER_KEYS)}
        return self._service(f"Worker{self.unique()}", "worker", container, is_new)

    def _service(
        self, name: str, kind: str, container: dict[str, Any], is_new: bool
    ) -> dict[str, Any]:
        service = {
            "name": name,
            "type" if is_new else "componentType": kind,
            **self._some(SERVICE_KEYS),
        }
        pod = self._some(POD_KEYS)
        if is_new:
            return service | {
                "podTemplate": {"spec": {**pod, "containers": [{"name": "main", **container}]}}
            }
        return service | {"extraPodSpec": {**pod, "mainContainer": container}}
