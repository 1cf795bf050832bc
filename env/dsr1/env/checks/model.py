"""Checks of the model: whole, the same on all hosts, near, and room for what is not there yet."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dsr1.env.checks.judging import (
    NONSENSE,
    CheckFunction,
    FactsOfHosts,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    known_or,
    passed,
)
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.fact import Facts

GB = 10**9
MOST_NAMED = 4
NETWORK = (
    "nfs",
    "nfs4",
    "lustre",
)  # those that vLLM prefetches from by itself (model_loader/weight_utils.py)
CACHED = 0.9  # of the memory: vLLM prefetches no more
FAMILY = ("deepseek_v3", "deepseek_v32", "kimi_k2")
HUB_BYTES = {
    f"deepseek-ai/DeepSeek-{name}": 689 * GB for name in ("R1", "R1-0528", "V3", "V3-0324", "V3.1")
}
FETCH = "`dsr1 model fetch` downloads it, `dsr1 model push` brings it from one host to all."
SHUT = "Permission denied"
PART = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")


def is_hub_id(model: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model) is not None


def files_of(facts: Facts) -> dict[str, dict[str, Any]]:
    """Unknown: the folder isn't there, which is `model.dir`'s to say."""
    found: dict[str, dict[str, Any]] = known(facts, "model.files")
    return found


def shards_of(files: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file for name, file in files.items() if name.endswith(".safetensors")}


def file_size(files: Mapping[str, dict[str, Any]]) -> int:
    return sum(file["size"] or 0 for file in files.values())


def is_absent(facts: Facts) -> bool:
    """Whether it was looked for, and not found."""
    told = facts.get("model.folder")
    return told is not None and told.value is None


def to_download(facts: Facts) -> str:
    """The hub's id of a model that isn't on this host; else nothing."""
    return (
        facts["model.folder"].source
        if is_absent(facts) and is_hub_id(facts["model.folder"].source)
        else ""
    )


def some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def on_host(judge: CheckFunction) -> CheckFunction:
    """What is still to be downloaded can't be judged yet, and what is never read need not be."""

    def judged(facts: Facts, needs: Requirements) -> Verdict:
        if not needs.weights:
            return Verdict("SKIP", "the plan reads no weights", "")
        return Verdict("SKIP", "not on this host", "") if is_absent(facts) else judge(facts, needs)

    return judged


def folder(facts: Facts, needs: Requirements) -> Verdict:
    if is_absent(facts) and not facts["model.folder"].source:
        return Verdict("SKIP", "the plan needs none", "")
    if hub_id := to_download(facts):
        seen = f"{hub_id} is not on this host: every start would download it, for hours"
        return Verdict("WARN", seen, "a folder with the model", FETCH)
    if is_absent(facts):
        seen = f"{facts['model.folder'].source}: {facts['model.folder'].problem}"
        return Verdict("FAIL", seen, "a folder that can be read", f"{FETCH} Or mount it.")
    kind = _kind(facts["model.config"].value)
    if not kind:
        why = facts["model.config"].problem or "no object that says its model_type"
        seen = f"{known(facts, 'model.folder')}/config.json: {why}"
        return Verdict(
            "FAIL",
            seen,
            "an object with the model_type",
            f"Delete it, then fetch it again. {FETCH}",
        )
    fix = "dsr1's recipes and checks are made for DeepSeek-R1's architecture."
    return passed(
        kind in FAMILY, "WARN", f"{known(facts, 'model.folder')}: {kind}", " or ".join(FAMILY), fix
    )


def _kind(config: object) -> str:
    """Nothing: this is no model's configuration."""
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else ""


def shards(facts: Facts, needs: Requirements) -> Verdict:
    files = files_of(facts)
    wrong = [f"{name}: {what}" for name, file in files.items() if (what := problem_of(file))]
    wrong += uncounted(list(shards_of(files)))
    if not shards_of(files):
        wrong.append("no *.safetensors at all")
    seen = (
        some(wrong) if wrong else f"{len(shards_of(files))} shards, {file_size(files) / GB:.1f} GB"
    )
    wanted = "every shard of the index, of the size that its header tells"
    shut = all(line.endswith(SHUT) for line in wrong)
    fix = (
        "chmod -R a+rX its folder."
        if shut
        else f"Delete what is wrong, then fetch it again. {FETCH}"
    )
    return passed(not wrong, "FAIL", seen, wanted, fix)


def problem_of(file: Mapping[str, Any]) -> str:
    if file["problem"]:
        return str(file["problem"])
    good = file["wanted"] is None or file["size"] == file["wanted"]
    return "" if good else f"{file['size']} bytes of {file['wanted']}"


def uncounted(names: list[str]) -> list[str]:
    """Without an index vLLM loads what it finds: names that count up to N must be N."""
    parts = [found for name in names if (found := PART.search(name))]
    counts = {int(found[2]) for found in parts}
    return (
        [f"{len(parts)} shards of {max(counts)} by their names"]
        if counts and max(counts) != len(parts)
        else []
    )


def incomplete(facts: Facts, needs: Requirements) -> Verdict:
    left = known(facts, "model.leftovers")
    fix = (
        "Wait for the download that goes on; after one that was broken off, fetch again or delete"
        " them."
    )
    return passed(not left, "FAIL", some(left) or "none", "no unfinished download", fix)


def tokenizer(facts: Facts, needs: Requirements) -> Verdict:
    files = files_of(facts)
    lacking = [
        name for name in ("tokenizer_config.json", "generation_config.json") if name not in files
    ]
    there = bool({"tokenizer.json", "tokenizer.model"} & set(files))
    seen = (
        "tokenizer.json is not there"
        if not there
        else f"no {' and no '.join(lacking)}"
        if lacking
        else "there"
    )
    return passed(
        there and not lacking,
        "WARN" if there else "FAIL",
        seen,
        "tokenizer and its configuration",
        FETCH,
    )


def model_file_system(facts: Facts, needs: Requirements) -> Verdict:
    """vLLM reads ahead by itself from NFS and Lustre alone, and only what 90 % of the memory can
    hold."""
    fs, size = known(facts, "model.fs"), file_size(files_of(facts))
    far = fs["type"] in NETWORK or fs["type"].startswith(
        ("fuse", "beegfs", "gpfs", "ceph", "wekafs")
    )
    seen = f"{fs['type']} ({fs['source']} at {fs['mount']}), {size / GB:.1f} GB"
    if not far:
        return Verdict("PASS", seen, "a disk of this host")
    ahead = (
        ""
        if fs["type"] in NETWORK
        else " until then, args: {safetensors-load-strategy: prefetch} reads ahead;"
    )
    fix = (
        f"`dsr1 model push` copies it to a disk of each host;{ahead} enable-ep-weight-filter reads"
        " a rank's part only."
    )
    big = size > 50 * GB
    return passed(not big, "WARN", seen, "a disk of this host, for a model of this size", fix)


def page_cache(facts: Facts, needs: Requirements) -> Verdict:
    """Every rank of a host reads the same files: the first from the disk, the others from memory if
    that holds them."""
    size, memory = file_size(files_of(facts)), known(facts, "memory.available")
    seen = f"{size / GB:.1f} GB of model, {memory / GB:.1f} GB of memory available"
    fix = (
        "Each rank will read the disk anew, and vLLM won't prefetch: args:"
        " {enable-ep-weight-filter: true} reads only a rank's own experts; end what uses the"
        " memory."
    )
    return passed(
        size <= CACHED * memory, "WARN", seen, f"the model in {CACHED:.0%} of the memory", fix
    )


def download(facts: Facts, needs: Requirements) -> Verdict:
    hub_id = to_download(facts)
    size = HUB_BYTES.get(hub_id)
    if not hub_id or size is None:
        return Verdict(
            "SKIP", f"{hub_id}: its size is not known here" if hub_id else "nothing to download", ""
        )
    cache = known(facts, "hub.cache")
    seen, wanted = (
        f"{cache['free'] / GB:.0f} GB free at {cache['path']}",
        f"{1.1 * size / GB:.0f} GB",
    )
    fix = "Free some, set HF_HUB_CACHE to a larger disk, or `dsr1 model fetch --to` one."
    return passed(cache["free"] >= 1.1 * size, "FAIL", seen, wanted, fix)


def hashes(facts: Facts, needs: Requirements) -> Verdict:
    """Against the record that `fetch` writes beside the model: the hub's own. People do change a
    config.json."""
    found, recorded = known_or(facts, "model.hashes", None), known_or(facts, "model.sums", {})
    if found is None or not recorded:
        return Verdict(
            "SKIP", "not hashed" if found is None else "no SHA256SUMS beside the model", ""
        )
    wrong = {
        name: found.get(name, "not there") for name in recorded if found.get(name) != recorded[name]
    }
    seen = (
        some([f"{name}: {digest[:12]}" for name, digest in wrong.items()])
        or f"{len(recorded)} as recorded"
    )
    fix = f"Delete these files, then fetch them again. {FETCH}"
    return passed(
        not wrong, "FAIL" if shards_of(wrong) else "WARN", seen, "the hashes of SHA256SUMS", fix
    )


def same(site: FactsOfHosts) -> Iterator[Finding]:
    """Names, sizes and the small files' contents, and the shards' too where they were hashed."""
    seen = {host: _signatures(facts) for host, facts in site.items()}
    told = {host: signatures for host, signatures in seen.items() if signatures is not None}
    usual = _usual(told)
    for host, signatures in seen.items():
        if signatures is None:
            yield Finding(
                host, "model.same", "SKIP", "no model to be read here", "the same on all hosts", ""
            )
            continue
        odd = [_difference(name, signatures, usual) for name in sorted(usual | signatures)]
        wrong = [difference for difference in odd if difference]
        summary = f"{len(signatures)} files, {_short(usual if not wrong else signatures)}"
        fix = (
            "`dsr1 model push` from a host that has it whole copies what differs." if wrong else ""
        )
        yield Finding(
            host,
            "model.same",
            "FAIL" if wrong else "PASS",
            some(wrong) or summary,
            "as on most hosts",
            fix,
        )


def _signatures(facts: Facts) -> dict[str, str] | None:
    try:
        files, hashed = files_of(facts), known_or(facts, "model.hashes", {})
        return {name: _signature(file, hashed.get(name, "")) for name, file in files.items()}
    except (UnknownFact, *NONSENSE):
        return None


def _signature(file: Mapping[str, Any], hashed: str) -> str:
    digest = hashed or file["digest"]
    size = "nothing" if file["size"] is None else f"{file['size']} bytes"
    return f"{size} {digest[:12]}" if digest else size


def _usual(told: Mapping[str, dict[str, str]]) -> dict[str, str]:
    """Of every file what most hosts have; equal numbers: the smallest by name, so that it is the
    same every time."""
    names = {name for signatures in told.values() for name in signatures}
    return {
        name: _most([signatures.get(name, "nothing") for signatures in told.values()])
        for name in names
    }


def _most(values: list[str]) -> str:
    return max(sorted(set(values)), key=values.count)


def _difference(name: str, signatures: Mapping[str, str], usual: Mapping[str, str]) -> str:
    here, most = signatures.get(name, "nothing"), usual.get(name, "nothing")
    return "" if here == most else f"{name}: {here}, {most} on most"


def _short(signatures: Mapping[str, str]) -> str:
    text = "\n".join(f"{name} {signature}" for name, signature in sorted(signatures.items()))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]


JUDGES: dict[str, CheckFunction] = {
    "model.dir": folder,
    "model.shards": on_host(shards),
    "model.incomplete": on_host(incomplete),
    "model.tokenizer": on_host(tokenizer),
    "model.fs": on_host(model_file_system),
    "model.cache": on_host(page_cache),
    "model.hash": on_host(hashes),
    "disk.download": download,
}
ACROSS: dict[str, Callable[[FactsOfHosts], Iterator[Finding]]] = {"model.same": same}
