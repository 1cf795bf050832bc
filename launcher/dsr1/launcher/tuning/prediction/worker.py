"""Run by the Python of AIConfigurator's environment: questions as lines of JSON in, answers out, in
the same order. It imports nothing of dsr1's."""

import contextlib
import io
import json
import logging
import sys
from typing import Any

FREE_MEMORY = 0.9  # without it the device is filled to 99.8 % (aiconfigurator's issue 1396)
STRIDE = 250  # steps of an answer that are looked at: four times as fast as 32, and within 0.2 %


def estimate_step(question: dict[str, Any]) -> dict[str, Any]:
    from aiconfigurator.cli.api import cli_estimate

    data, tensor = question["data"], question["tensor"]
    experts = {"moe_tp_size": 1, "moe_ep_size": data * tensor}
    slices = {"moe_tp_size": data * tensor, "moe_ep_size": 1}
    phase = question["phase"]
    result = cli_estimate(
        question["model"],
        question["system"],
        mode={"prefill": "static_ctx", "decode": "static_gen"}[phase],
        backend_name="vllm",
        isl=question["isl"],
        osl=question["osl"],
        batch_size=question["batch"],
        tp_size=tensor,
        attention_dp_size=data,
        free_gpu_memory_fraction=FREE_MEMORY,
        stride=STRIDE,
        **(experts if question["experts"] else slices),
    )
    return {"ms": float(result.ttft if phase == "prefill" else result.tpot)}


def main() -> None:
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                told = estimate_step(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            told = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
