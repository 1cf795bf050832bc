"""Checks of the model's files on a host: the folder, its shards, its tokenizer, their hashes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dsr1.env.checks.judging import CheckFunction, Verdict, known, known_or, pass_if, skipped
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

GB = 10**9
FAMILY = ("deepseek_v3", "deepseek_v32", "kimi_k2")
FETCH = "`dsr1 model fetch` downloads it, `dsr1 model push` copies it from one host to all."
DENIED = "Permission denied"
NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.safetensors\Z")
CONFIGURATIONS = ("tokenizer_config.json", "generation_config.json")


def is_hub_id(model: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", model) is not None


def files_of(facts: Facts) -> dict[str, dict[str, Any]]:
    """UnknownFact: the folder isn't there, which is `model.dir`'s concern."""
    files: dict[str, dict[str, Any]] = known(facts, "model.files")
    return files


def shards_of(files: Iterable[str]) -> list[str]:
    return [name for name in files if name.endswith(".safetensors")]


def file_size(files: Mapping[str, dict[str, Any]]) -> int:
    return sum(file["size"] or 0 for file in files.values())


def is_absent(facts: Facts) -> bool:
    """Whether it was looked for, and not found."""
    fact = facts.get("model.folder")
    return fact is not None and fact.value is None


def hub_id_to_download(facts: Facts) -> str:
    """The hub's id of a model that isn't on this host; else empty."""
    if not is_absent(facts):
        return ""
    model = facts["model.folder"].source
    return model if is_hub_id(model) else ""


def for_local_model(judge: CheckFunction) -> CheckFunction:
    """What is still to be downloaded can't be judged yet, and what is never read need not be."""

    def judge_local(facts: Facts, requirements: Requirements) -> Verdict:
        if not requirements.weights:
            return skipped("the plan reads no weights")
        if is_absent(facts):
            return skipped("the model is not on this host")
        return judge(facts, requirements)

    return judge_local


def folder(facts: Facts, requirements: Requirements) -> Verdict:
    if is_absent(facts):
        return _absent_folder(facts)
    path, kind = known(facts, "model.folder"), _model_type(facts["model.config"].value)
    if not kind:
        problem = facts["model.config"].problem or "not an object with a model_type"
        seen, fix = f"{path}/config.json: {problem}", f"Delete it, then fetch it again. {FETCH}"
        return Verdict("FAIL", seen, "a JSON object with a model_type", fix)
    fix = "dsr1's recipes and checks are made for DeepSeek-R1's architecture."
    return pass_if(kind in FAMILY, "WARN", f"{path}: {kind}", " or ".join(FAMILY), fix)


def _absent_folder(facts: Facts) -> Verdict:
    fact = facts["model.folder"]
    if not fact.source:
        return skipped("the plan needs no model")
    if is_hub_id(fact.source):
        seen = f"{fact.source} is not on this host: every start would download it, for hours"
        return Verdict("WARN", seen, "a folder with the model", FETCH)
    seen = f"{fact.source}: {fact.problem}"
    return Verdict("FAIL", seen, "a folder that can be read", f"{FETCH} Or mount it.")


def _model_type(config: object) -> str:
    """Empty: this is no model's configuration."""
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else ""


def shards(facts: Facts, requirements: Requirements) -> Verdict:
    files = files_of(facts)
    names = shards_of(files)
    problems = [
        f"{name}: {problem}" for name, file in files.items() if (problem := _problem_of(file))
    ]
    problems += _missing_by_number(names)
    if not names:
        problems.append("no *.safetensors files")
    fix = f"Delete the files named, then fetch them again. {FETCH}"
    if all(problem.endswith(DENIED) for problem in problems):
        fix = "Make the files readable: chmod -R a+rX the model's folder."
    seen = name_few(problems) or f"{len(names)} shards, {file_size(files) / GB:.1f} GB"
    wanted = "every shard of the index, of the size in its header"
    return pass_if(not problems, "FAIL", seen, wanted, fix)


def _problem_of(file: Mapping[str, Any]) -> str:
    if file["problem"]:
        return str(file["problem"])
    good = file["wanted"] is None or file["size"] == file["wanted"]
    return "" if good else f"{file['size']} bytes of {file['wanted']}"


def _missing_by_number(names: list[str]) -> list[str]:
    """Without an index vLLM loads what it finds: names that count up to N must be N."""
    found = [match for name in names if (match := NUMBERED.search(name))]
    total = max((int(match[2]) for match in found), default=0)
    return [] if total == len(found) else [f"{len(found)} shards of {total} by their names"]


def incomplete(facts: Facts, requirements: Requirements) -> Verdict:
    unfinished = known(facts, "model.leftovers")
    fix = (
        "Wait for the download that is running; if it was broken off, fetch again or delete the"
        " files."
    )
    seen = name_few(unfinished) or "none"
    return pass_if(not unfinished, "FAIL", seen, "no unfinished download", fix)


def tokenizer(facts: Facts, requirements: Requirements) -> Verdict:
    files = files_of(facts)
    missing = [name for name in CONFIGURATIONS if name not in files]
    wanted = "tokenizer.json (or tokenizer.model), tokenizer_config.json, generation_config.json"
    if "tokenizer.json" not in files and "tokenizer.model" not in files:
        return Verdict("FAIL", "no tokenizer.json and no tokenizer.model", wanted, FETCH)
    seen = f"no {' and no '.join(missing)}" if missing else "all there"
    return pass_if(not missing, "WARN", seen, wanted, FETCH)


def hashes(facts: Facts, requirements: Requirements) -> Verdict:
    """Against the record that `fetch` writes beside the model: the hub's own. People do change a
    config.json."""
    found, recorded = known_or(facts, "model.hashes", None), known_or(facts, "model.sums", {})
    if found is None:
        return skipped("the files were not hashed")
    if not recorded:
        return skipped("there is no SHA256SUMS beside the model")
    wrong = [name for name in recorded if found.get(name) != recorded[name]]
    differences = [f"{name}: {found.get(name, 'not there')[:12]}" for name in wrong]
    return pass_if(
        not wrong,
        "FAIL" if shards_of(wrong) else "WARN",
        name_few(differences) or f"{len(recorded)} files as recorded",
        "the hashes of SHA256SUMS",
        f"Delete these files, then fetch them again. {FETCH}",
    )


def drafts(facts: Facts, requirements: Requirements) -> Verdict:
    """A model that drafts tokens is loaded after the large one: late to hear that it isn't
    there."""
    if not requirements.drafts:
        return skipped("no other model drafts tokens")
    told: dict[str, dict[str, Any]] = known(facts, "model.drafts")
    wrong = {one: own["problems"] for one, own in told.items() if own["problems"]}
    if not wrong:
        return Verdict("PASS", ", ".join(told), DRAFTS)
    later = all(is_hub_id(one) and not told[one]["folder"] for one in wrong)
    seen = name_few([f"{one}: {'; '.join(problems)}" for one, problems in wrong.items()])
    fix = "; ".join(map(_bring, wrong))
    return Verdict("WARN" if later else "FAIL", seen, DRAFTS, f"`dsr1 model` brings it: {fix}")


def _bring(draft: str) -> str:
    """It comes with no other model: `fetch` and `push` take what they are told."""
    hub = f"fetch {draft} --to FOLDER, and its folder in the recipe"
    return hub if is_hub_id(draft) else f"push {draft} from a host that has it"


DRAFTS = "the model that drafts tokens, whole, on this host"
CHECKS: dict[str, CheckFunction] = {
    "model.dir": folder,
    "model.shards": for_local_model(shards),
    "model.incomplete": for_local_model(incomplete),
    "model.tokenizer": for_local_model(tokenizer),
    "model.hash": for_local_model(hashes),
    "model.drafts": drafts,
}
