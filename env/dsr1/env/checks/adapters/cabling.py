"""Whether InfiniBand's rails are cabled alike on all hosts: a switch has the adapters of the same
GPUs of every host that it reaches. Groups of hosts with switches of their own may differ."""

from collections import Counter
from collections.abc import Mapping, Sequence

from dsr1.env.checks.judging import UnknownFact, Verdict, known
from dsr1.env.hcas import NearestHca
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

WANTED = "GPU n's adapter at the same switch on all hosts"
HOW = "look at `iblinkinfo`; smpquery (infiniband-diags) and /dev/infiniband/umad* tell dsr1, too"
Cables = tuple[str, ...]
"""The switch of each GPU's own adapter, in the order of the GPUs."""


def cables_of(near: Sequence[NearestHca], facts: Facts) -> Cables:
    """UnknownFact: not every switch is known."""
    fact = facts.get("ib.switches")
    if fact is None or fact.value is None:
        raise UnknownFact(f"the switches can't be asked ({fact.problem if fact else ''}); {HOW}")
    switches: Mapping[str, str] = known(facts, "ib.switches")
    found = [switches.get(f"{one.hca.name}:{one.hca.port.number}", "") for one in near]
    if not all(found):
        silent = [one.hca.name for one, switch in zip(near, found, strict=True) if not switch]
        raise UnknownFact(f"no switch answers behind {name_few(silent)}; {HOW}")
    return tuple(found)


def judge_cables(by_host: Mapping[str, Cables]) -> dict[str, Verdict]:
    usual = _usual_gpus(by_host)
    return {host: _judge(own, usual) for host, own in by_host.items()}


def _gpus_at(own: Cables) -> dict[str, tuple[int, ...]]:
    """The host's GPUs by switch."""
    switches = dict.fromkeys(own)
    return {one: tuple(gpu for gpu, at in enumerate(own) if at == one) for one in switches}


def _usual_gpus(by_host: Mapping[str, Cables]) -> dict[str, tuple[int, ...]]:
    """Of each switch, which GPUs it has of most of its hosts."""
    counts: dict[str, Counter[tuple[int, ...]]] = {}
    for own in by_host.values():
        for switch, gpus in _gpus_at(own).items():
            counts.setdefault(switch, Counter())[gpus] += 1
    return {switch: count.most_common(1)[0][0] for switch, count in counts.items()}


def _judge(own: Cables, usual: Mapping[str, tuple[int, ...]]) -> Verdict:
    gpus = _gpus_at(own)
    crossed = [
        f"switch {switch} has GPU {_few(here)}, and GPU {_few(usual[switch])} of most hosts"
        for switch, here in gpus.items()
        if here != usual[switch]
    ]
    if crossed:
        fix = "Swap the cables; or name the adapters in order (hca)."
        return Verdict("WARN", name_few(crossed), WANTED, fix)
    if len(gpus) == 1:
        return Verdict("PASS", "all adapters are at one switch", WANTED)
    return Verdict("PASS", f"{len(gpus)} rails", WANTED)


def _few(gpus: Sequence[int]) -> str:
    return ", ".join(map(str, gpus))
