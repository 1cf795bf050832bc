"""Whether the model fits, before twenty minutes of loading show that it doesn't."""

from dsr1.env.checks.gpu import gpus_of, on_gpus
from dsr1.env.checks.judging import Judge, Needs, Share, Verdict, known
from dsr1.env.model_memory import GIB, ModelShape, kv_bytes_per_token, parse_shape, weight_terms
from dsr1.hosts.facts.fact import Facts

# DeepEP's low-latency buffers for R1 are 3 to 8 GB; activations and graphs took about 3 GB in real logs.
LOW_LATENCY_BYTES, WORK_BYTES = 5 * 10**9, 3 * 10**9
TIGHT = 0.05
FIX = "More hosts, fewer redundant experts, a higher gpu_memory_utilization, or a shorter max_model_len."


def memory(facts: Facts, needs: Needs) -> Verdict:
    """The worst of the plan's engines, on the smallest GPU."""
    sizes = [gpu["memory"] for gpu in gpus_of(facts) if gpu["memory"]]
    shape = parse_shape(known(facts, "model.config"))
    verdicts = [fit(shape, share, min(sizes)) for share in needs.shares]
    return min(verdicts, key=lambda verdict: ("FAIL", "WARN", "PASS").index(verdict.verdict))


def fit(shape: ModelShape, share: Share, gpu_bytes: int) -> Verdict:
    """All of it in one line, so that it can be checked by hand."""
    terms = weight_terms(shape, share.expert_ranks, share.redundant_experts, share.tensor_ranks)
    terms |= {"activations": WORK_BYTES} | ({"DeepEP buffers": LOW_LATENCY_BYTES} if share.low_latency else {})
    budget = int(gpu_bytes * share.utilization)
    room = budget - sum(terms.values())
    tokens = max(0, room) // kv_bytes_per_token(shape)
    added = " + ".join(f"{name} {size / GIB:.1f}" for name, size in terms.items())
    seen = (
        f"{share.engine}: {added} = {sum(terms.values()) / GIB:.1f} of {budget / GIB:.1f} GiB; KV for {tokens} tokens"
    )
    wanted = f"room for {share.context} tokens"
    if tokens < share.context:
        return Verdict("FAIL", seen, wanted, FIX)
    return Verdict("WARN", f"{seen}: tight", wanted, FIX) if room < TIGHT * gpu_bytes else Verdict("PASS", seen, wanted)


JUDGES: dict[str, Judge] = {"cfg.memory": on_gpus(memory)}
