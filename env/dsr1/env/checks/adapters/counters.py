"""Checks of error counters: what the ports have counted since boot, and what grows while they are
read twice."""

from collections.abc import Mapping

from dsr1.env.checks.adapters.select import INSPECT_LINK, for_chosen, require_known
from dsr1.env.checks.judging import CheckFunction, UnknownFact, Verdict, known, pass_if, skipped
from dsr1.env.hca import Hca
from dsr1.env.hcas import Selection
from dsr1.hosts.protocol.facts.fact import Facts

GROWTH = "ib.growth"
WORRYING = ("link_error_recovery", "local_link_integrity_errors", "excessive_buffer_overrun_errors")
FLAPS = 5  # Azure's limit for a day
# NVSentinel's limits: counters that may never grow, and how much others may grow a second.
MAY_NOT_GROW = (
    "link_downed",
    "excessive_buffer_overrun_errors",
    "local_link_integrity_errors",
    "rnr_nak_retry_err",
)
MOST_A_SECOND = {
    "symbol_error": 10,
    "link_error_recovery": 5 / 60,
    "port_rcv_errors": 10,
    "port_xmit_discards": 100,
    "roce_slow_restart": 10,
}


def error_counts(facts: Facts, selection: Selection) -> Verdict:
    """Since the driver was loaded: one reading can't tell when."""
    counters = {hca.name: dict(hca.port.counters) for hca in selection.choice.hcas}
    without = [name for name, counts in counters.items() if not counts]
    if without:
        raise UnknownFact(f"{', '.join(without)}: no counter can be read")
    bad = [
        f"{port} {name} {counts[name]}"
        for port, counts in counters.items()
        for name in WORRYING
        if counts.get(name)
    ]
    seen = ", ".join(bad) or "no errors"
    return pass_if(
        not bad, "WARN", seen, "no link errors since boot", "Watch them grow: cable, optics."
    )


def flaps(facts: Facts, selection: Selection) -> Verdict:
    """Since boot. A port and its interfaces count separately; a loss and a return are two
    changes."""
    days = known(facts, "kernel.uptime_s") / 86400
    losses = {hca.name: _losses(hca, selection) for hca in selection.choice.hcas}
    require_known(losses.values(), "how often a link was lost")
    counts = {port: count or 0 for port, count in losses.items()}
    often = [f"{port} {count} times" for port, count in counts.items() if count > FLAPS + days]
    seen = ", ".join(often) or f"{max(counts.values())} times at most"
    wanted = f"links lost {FLAPS} times at most, and once more a day"
    return pass_if(not often, "WARN", f"{seen} in {days:.1f} days", wanted, INSPECT_LINK)


def _losses(hca: Hca, selection: Selection) -> int | None:
    """None: nothing counts them."""
    counts = [dict(hca.port.counters).get("link_downed")]
    for name in hca.adapter.netdevs:
        netdev = selection.fabric.netdevs.get(name)
        if netdev and netdev.carrier_changes is not None:
            counts.append(netdev.carrier_changes // 2)
    return max((count for count in counts if count is not None), default=None)


def growth(facts: Facts, selection: Selection) -> Verdict:
    if GROWTH not in facts:
        return skipped(f"the counters were read only once; --only {GROWTH} reads them twice")
    fact = known(facts, GROWTH)
    seconds = float(fact["seconds"])
    ports: dict[str, Mapping[str, int]] = {
        hca.name: fact["ports"][hca.name] for hca in selection.choice.hcas
    }
    if not all(ports.values()):
        raise UnknownFact("no counter can be read")
    problems = [
        (verdict, f"{port} {name} {count / seconds:.1f}/s")
        for port, counts in ports.items()
        for name, count in counts.items()
        if (verdict := _judge_rate(name, count / seconds))
    ]
    problems.sort(key=lambda problem: problem[0])
    seen = ", ".join(text for _, text in problems) or f"nothing in {seconds:.1f} s"
    fix = "Inspect cable, optics and switch port; on RoCE also flow control."
    wanted = "error counters that do not grow"
    return pass_if(not problems, problems[0][0] if problems else "", seen, wanted, fix)


def _judge_rate(counter: str, a_second: float) -> str:
    """The verdict; empty: nothing is wrong."""
    if counter in MAY_NOT_GROW and a_second > 0:
        return "FAIL"
    return "WARN" if a_second > MOST_A_SECOND.get(counter, a_second) else ""


CHECKS: dict[str, CheckFunction] = {
    "ib.counters": for_chosen(error_counts),
    "ib.flap": for_chosen(flaps),
    GROWTH: for_chosen(growth),
}
