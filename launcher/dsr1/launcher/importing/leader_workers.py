"""LeaderWorkerSets, and the DisaggregatedSets that are made of them, as the deployment that they
mean: a service each, whose pods are the nodes of an engine. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.documents import KIND, objects_of
from dsr1.launcher.importing.manifest.tree import YamlList, YamlMapping, YamlText, YamlValue
from dsr1.launcher.importing.script_file import as_worker

SET, ROLES = "LeaderWorkerSet", "DisaggregatedSet"
_ROLE_LABEL = "llm-d.ai/role"
_ENGINE = re.compile(r"\bvllm\b")


@dataclass(frozen=True, slots=True)
class LeaderWorkers:
    """`documents` have one deployment in the place of the `sets`. `serves`: its servers are vLLM's
    own, since no role stands apart."""

    documents: tuple[YamlValue, ...]
    sets: tuple[YamlMapping, ...]
    serves: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """Pods that are one engine: `size` of them, by the template of the leader."""

    name: YamlText
    role: YamlText
    spec: YamlMapping

    @property
    def pod(self) -> YamlMapping:
        template = self.spec.fields("leaderWorkerTemplate")
        leader = template.fields("leaderTemplate", "spec")
        return leader if leader.values else template.fields("workerTemplate", "spec")


def read_leader_workers(documents: Sequence[YamlValue], name: str) -> LeaderWorkers | None:
    """None: there are none, or a deployment stands beside them, which says more."""
    items = list(objects_of(documents))
    sets = tuple(item for item in items if item.text("kind") in (SET, ROLES))
    if not sets or any(item.text("kind") == KIND for item in items):
        return None
    chosen = tuple(one for one in sets if not name or one.text("metadata", "name") == name) or sets
    groups = [group for one in chosen for group in _groups(one)]
    if not groups:
        return None
    others = tuple(item for item in items if item not in sets)
    roles = {group.role.text for group in groups} & {"prefill", "decode"}
    return LeaderWorkers((_deployment(chosen[0], groups), *others), chosen, not roles)


def _groups(item: YamlMapping) -> Iterator[_Group]:
    name = _text(item.get("metadata", "name"), item)
    if item.text("kind") == SET:
        yield _Group(name, _role(item, name), item.fields("spec"))
    for role in item.items("spec", "roles"):
        if isinstance(role, YamlMapping):
            called = _text(role.get("name"), role)
            yield _Group(called, _role(role, called), role.fields("spec"))


def _role(item: YamlMapping, name: YamlText) -> YamlText:
    """By its label, else by its name."""
    template = item.fields("spec", "leaderWorkerTemplate", "workerTemplate")
    for labels in (item.fields("metadata", "labels"), template.fields("metadata", "labels")):
        label = labels.get(_ROLE_LABEL)
        if isinstance(label, YamlText) and label.text in ("prefill", "decode"):
            return label
    found = next((word for word in ("prefill", "decode") if word in name.text.lower()), "")
    return replace(name, text=found)


def _text(value: YamlValue | None, around: YamlMapping) -> YamlText:
    return value if isinstance(value, YamlText) else YamlText(around.place, "serve")


def _deployment(first: YamlMapping, groups: Sequence[_Group]) -> YamlMapping:
    place = first.place
    services = YamlMapping(place, {_called(one, groups): _service(one) for one in groups})
    named = _text(first.get("metadata", "name"), first)
    short = re.sub(r"-(prefill|decode)$", "", named.text)
    texts = {"apiVersion": "nvidia.com/v1alpha1", "kind": KIND}
    return YamlMapping(
        place,
        {
            **{key: _spelt(first.get(key), text, first) for key, text in texts.items()},
            "metadata": YamlMapping(place, {"name": replace(named, text=short)}),
            "spec": YamlMapping(first.fields("spec").place, {"services": services}),
        },
    )


def _spelt(value: YamlValue | None, text: str, around: YamlMapping) -> YamlText:
    return replace(_text(value, around), text=text)


def _called(group: _Group, groups: Sequence[_Group]) -> str:
    """By its role, where no other has it."""
    role = group.role.text
    alone = role and sum(one.role.text == role for one in groups) == 1
    return role if alone else group.name.text


def _service(group: _Group) -> YamlMapping:
    spec, pod = group.spec, group.pod
    size = spec.get("leaderWorkerTemplate", "size")
    main = _main(pod)
    values: dict[str, YamlValue] = {
        "componentType": replace(group.name, text="worker"),
        "extraPodSpec": YamlMapping(
            pod.place, {**_beside(pod), "mainContainer": _as_worker(main)} if main else {}
        ),
    }
    if group.role.text:
        values["subComponentType"] = group.role
    if (replicas := spec.get("replicas")) is not None:
        values["replicas"] = replicas
    if size is not None:
        values["multinode"] = YamlMapping(size.place, {"nodeCount": size})
    return YamlMapping(spec.place, values)


def _beside(pod: YamlMapping) -> dict[str, YamlValue]:
    return {key: value for key, value in pod.values.items() if key != "containers"}


def _main(pod: YamlMapping) -> YamlMapping | None:
    """The container that runs vLLM; where none says so, the first."""
    containers = [one for one in pod.items("containers") if isinstance(one, YamlMapping)]
    runs = [one for one in containers if _ENGINE.search(" ".join(_words(one)))]
    return next(iter(runs or containers), None)


def _words(container: YamlMapping) -> Iterator[str]:
    for key in _LINE:
        yield from (one.text for one in container.items(key) if isinstance(one, YamlText))


def _as_worker(container: YamlMapping) -> YamlMapping:
    """Its command as that of a worker of Dynamo's, which takes the same arguments: `command` and
    `args` are one line."""
    lists = [value for key in _LINE if isinstance(value := container.get(key), YamlList)]
    values = {key: value for key, value in container.values.items() if key not in _LINE}
    if lists:
        items = [item for one in lists for item in one.values]
        values["args"] = replace(lists[0], values=tuple(_worker_words(items)))
    return YamlMapping(container.place, values)


_LINE = ("command", "args")


def _worker_words(items: Sequence[YamlValue]) -> Iterator[YamlValue]:
    """`vllm serve MODEL` as single words, or within a script."""
    texts = [item.text if isinstance(item, YamlText) else "" for item in items]
    serve = texts.index("serve") if "serve" in texts else -1
    for number, item in enumerate(items):
        before = texts[number - 1] if number else ""
        if not isinstance(item, YamlText):
            yield item
        elif item.text in _LISTEN or before in _LISTEN or item.text.startswith(_LISTENS):
            continue
        elif number == serve - 1 and item.text.rpartition("/")[2] == "vllm":
            yield from (replace(item, text=word) for word in ("python3", "-m"))
        elif number == serve > 0:
            yield replace(item, text="dynamo.vllm")
        elif number == serve + 1 > 1 and not item.text.startswith("-"):
            yield from (replace(item, text="--model"), item)
        else:
            yield replace(item, text=as_worker(item.text)) if " " in item.text else item


_LISTEN = ("--host", "--port")
_LISTENS = tuple(f"{flag}=" for flag in _LISTEN)
"""Where a server listens is for dsr1 to say."""
