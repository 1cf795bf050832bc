"""A shell script, or a command line, that starts vLLM's servers or Dynamo's workers: as the
container of a deployment. Its lines keep their numbers, so that messages name them."""

import re
from collections.abc import Iterator

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

_GAP = r"(?:[ \t]|\\\n){1,999}"
_SERVE = re.compile(
    rf"\bvllm\s+serve\b(?:((?:{_GAP}\$\{{?\w{{1,99}}\}}?){{1,9}}){_GAP}([\w.-]*/[\w./-]+)(?!\S)"
    rf"|{_GAP}(?![-\\#])(\"[^\"\n]*\"|'[^'\n]*'|[^\s\\]\S*))?"
)
"""With its model: its first word, or a path or hub's id behind variables that hold flags."""
_MODULE = re.compile(r"-m\s+(?:dynamo\.vllm|vllm\.entrypoints\.openai\.api_server)\b")
_OPENAI = re.compile(r"\bpython3?\s+-m\s+vllm\.entrypoints\.openai\.api_server\b")
_LISTEN = re.compile(r"--(host|port)(?:[ =]+)(\S+)")
_OTHER_NODE = re.compile(
    r"--headless\b|--data-parallel-start-rank[ =]+(?!0\b)|--node-rank[ =]+(?!0\b)"
)
_SIZE = re.compile(r"(?:--data-parallel-size|-dp)[ =]+(\S+)")
_LOCAL = re.compile(r"(?:--data-parallel-size-local|-dpl)[ =]+(\S+)")
_VARIABLE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=[\"']?(\d+)[\"']?\s*$", re.MULTILINE)
_KIND = re.compile(r"^(?:apiVersion|kind|backend|resources|spec):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """`manifest` is the deployment that has it. `serves`: it starts vLLM's own server. `port`: 0
    where it says none. `shift`: by how many lines the script stands lower there."""

    manifest: str
    serves: bool
    port: int
    shift: int
    left_out: tuple[str, ...]


def is_script(text: str) -> bool:
    return not _KIND.search(text) and bool(_SERVE.search(text) or _MODULE.search(text))


def read_script_file(text: str, source: str) -> ScriptFile:
    """Raises InputError where nothing of it is left to start."""
    commands = list(_commands(text.replace("\r\n", "\n").split("\n")))
    starts = [command for command in commands if _starts(command.text)]
    others = [one for one in starts[1:] if _OTHER_NODE.search(one.text)]
    kept = "\n".join(_blank(one) if one in others else one.text for one in commands)
    leader = starts[0].text if starts else ""
    left_out = [
        f"line {one.line}: a node beside the first; dsr1 starts all of them" for one in others
    ]
    left_out += [
        f"--{flag} {value}: servers listen where dsr1 tells them (frontend.host)"
        for flag, value in _LISTEN.findall(leader)
        if flag == "host"
    ]
    ports = [value for flag, value in _LISTEN.findall(leader) if flag == "port"]
    serves = bool(_SERVE.search(leader) or _OPENAI.search(leader))
    script = as_worker(kept)
    if not script.strip():
        raise InputError(f"{source}: starts nothing that dsr1 knows")
    return ScriptFile(
        manifest=_manifest(script, _nodes(leader, text)),
        serves=serves,
        port=int(ports[0]) if ports and ports[0].isdecimal() else 0,
        shift=0 if _begins_idle(script) else 1,
        left_out=tuple(left_out),
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """A line with those that continue it."""

    line: int
    text: str


def _commands(lines: list[str]) -> Iterator[_Lines]:
    held: list[str] = []
    for number, line in enumerate(lines, 1):
        held.append(line)
        if not line.rstrip().endswith("\\"):
            yield _Lines(number - len(held) + 1, "\n".join(held))
            held = []
    if held:
        yield _Lines(len(lines) - len(held) + 1, "\n".join(held))


def _starts(text: str) -> bool:
    words = text.lstrip()
    return not words.startswith("#") and bool(_SERVE.search(words) or _MODULE.search(words))


def _blank(command: _Lines) -> str:
    return "\n" * command.text.count("\n")


def as_worker(script: str) -> str:
    """vLLM's server takes what Dynamo's worker does: the model is its first argument. Where it
    listens is for dsr1 to say."""

    def worker(found: re.Match[str]) -> str:
        flags, behind, first = found.groups("")
        model = f" --model {behind or first}" if behind or first else ""
        return f"python3 -m dynamo.vllm{model}{flags}"

    served = _OPENAI.sub("python3 -m dynamo.vllm", _SERVE.sub(worker, script))
    return _LISTEN.sub("", served)


def _nodes(leader: str, text: str) -> int:
    """All ranks over those of a node; numbers may stand in variables of the script."""
    variables = dict(_VARIABLE.findall(text))
    sizes = []
    for pattern in (_SIZE, _LOCAL):
        found = pattern.search(leader)
        word = found[1].strip("\"'") if found else ""
        word = variables.get(word.strip("${}"), word)
        sizes.append(int(word) if word.isdecimal() else 0)
    whole, local = sizes
    return whole // local if local and whole > local and whole % local == 0 else 1


def _begins_idle(script: str) -> bool:
    first = script.partition("\n")[0]
    return not first.strip() or first.startswith("#")


def _manifest(script: str, nodes: int) -> str:
    """The script's first line is the key's, where it is a comment: then all numbers stay."""
    lines = script.split("\n")[1 if _begins_idle(script) else 0 :]
    body = "\n".join(f"  {line}" for line in lines)
    multinode = f"multinode: {{nodeCount: {nodes}}}, " if nodes > 1 else ""
    return (
        f"x-script: &script |2\n{body}\n"
        "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: serve}\n"
        f"spec: {{services: {{main: {{componentType: worker, {multinode}extraPodSpec:"
        " {mainContainer: {command: [bash, -c], args: [*script]}}}}}\n"
    )
