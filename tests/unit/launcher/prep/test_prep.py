"""dsr1 prep on this side: hosts folded, texts shown safely, agents asked as root only where it is
needed."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

import pytest
from tests.unit.env.prep.probes import FIT, NEEDY, with_file

from dsr1.env.prep.decide import IDS, decide
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.prep import (
    CommandStep,
    EditRecord,
    FileEdit,
    HostProbe,
    PrepJournal,
    PrepReport,
    StepOutcome,
    Sysctl,
)
from dsr1.hosts.transport.as_root import AS_ROOT, CAREFULLY
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport
from dsr1.launcher.prep.hosts import apply_to_all, choose_parts, prep_ports, probe_all, undo_on_all
from dsr1.launcher.prep.render import (
    diff_of,
    fold_hosts,
    group_hosts,
    grouped,
    render_end,
    render_host_group,
    render_journal,
    render_report,
)
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.terminal import escape_line

PORTS = (8000, 20003)


def card_lines(made: dict[str, HostProbe]) -> list[str]:
    cards = group_hosts(
        {host: decide(host, seen, PORTS) for host, seen in made.items()},
        dict.fromkeys(made, "Ubuntu"),
    )
    return [line.plain for card in cards for line in render_host_group(card, IDS)]


def test_equal_hosts_are_one() -> None:
    lines = card_lines({"node1": NEEDY, "node2": NEEDY, "node3": FIT})
    assert [line for line in lines if "Ubuntu" in line] == ["node[1-2]  Ubuntu", "node3  Ubuntu"]
    assert f"  already right: {', '.join(IDS)}" in lines
    assert "      +* - memlock unlimited" in lines


def test_alike_is_told_once() -> None:
    done, not_done = (
        PrepReport((StepOutcome("x", "done"),)),
        PrepReport((StepOutcome("x", "failed", "why"),)),
    )
    assert fold_hosts({"n1": done, "n2": not_done, "n3": done}) == [
        ("n[1,3]", done),
        ("n2", not_done),
    ]


def test_a_diff_shows_what_changes_and_little_else() -> None:
    before = "".join(f"line {number}\n" for number in range(9))
    edit = FileEdit(("c",), "", "/f", before, before.replace("line 4\n", "line 4 new\n"))
    assert diff_of(edit) == ["@@ -4,3 +4,3 @@", " line 3", "-line 4", "+line 4 new", " line 5"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a b", "a b"),
        ("a\tb", "a\tb"),
        ("\x1b[2J\r", "\\x1b[2J\\r"),
        ("caf\udce9", "caf\\udce9"),
        ("ü", "ü"),
        ("[red]x[/]", "[red]x[/]"),
    ],
)
def test_a_files_text_moves_no_cursor(text: str, told: str) -> None:
    assert escape_line(text) == told
    lines = render_report("h", PrepReport((StepOutcome(text, "failed", text),)), "done")
    assert f"{told}: {told}" in [line.plain for line in lines][1]


def test_steps_stand_with_their_files() -> None:
    limits, variables = (
        FileEdit(("a", "b"), "", "/l", None, ""),
        FileEdit(("b", "c"), "", "/s", None, ""),
    )
    setting, command, other = (
        Sysctl(("b",), "", "x", "0", "1"),
        CommandStep(("a",), "", ("m",)),
        CommandStep(("d",), "", ("n",)),
    )
    assert grouped([limits, variables, setting, command, other]) == [
        [limits, command],
        [variables, setting],
        [other],
    ]


def test_the_end_says_what_is_next() -> None:
    def end(seen: HostProbe, applied: bool = False) -> list[str]:
        return [line.plain for line in render_end({"n1": decide("n1", seen, PORTS)}, applied)]

    assert end(FIT) == ["Nothing to change."]
    assert end(NEEDY) == ["n1: --apply does this, --undo undoes it."]
    assert end(NEEDY, applied=True) == []
    loaded = replace(FIT.driver, params=(("EnableStreamMemOPs", "0"),))
    assert end(replace(FIT, driver=loaded))[1] == "n1: reboot needed; dsr1 never reboots a host."


def test_what_would_be_taken_back() -> None:
    kept = (
        EditRecord("/etc/a", "", ("x",), settle=("systemctl", "daemon-reload")),
        EditRecord("/etc/b", "y", ("x",), "b"),
    )
    done = CommandStep((), "", ("mount", "-o", "a b"), ("umount", "a b"))
    lines = [
        line.plain
        for line in render_journal(
            "n1", PrepJournal(kept, (Sysctl((), "", "k", "", "1"),), (done,))
        )
    ]
    assert lines[1:-1] == [
        "  restore /etc/b",
        "  remove /etc/a",
        "  then systemctl daemon-reload",
        "  set k: 1 -> empty, unless it was changed since",
        "  run umount 'a b'",
    ]


class Told(Transport):
    """Answers as it is told to, and keeps what it was asked."""

    def __init__(self, answer: Callable[[AgentVerb], CommandResult]) -> None:
        self._answer = answer
        self.asked: list[AgentVerb] = []

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        self.asked.append(verb)
        return self._answer(verb)

    def attach(self, host: str, since: int) -> AgentLink:
        raise NotImplementedError

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        raise NotImplementedError

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        raise NotImplementedError


def saying(value: object) -> Told:
    return Told(lambda question: CommandResult(0, json.dumps(value).encode(), b""))


def test_a_look_travels_as_it_is() -> None:
    seen = with_file(FIT, "/etc/x", "caf\udce9 \x00 \u2028")
    transport = saying(asdict(seen))
    assert probe_all(transport, ["a"]) == {"a": seen}
    assert transport.asked[0].by == CAREFULLY


def test_a_host_whose_journal_is_spoilt_is_lost() -> None:
    told = probe_all(
        saying(asdict(replace(FIT, journal_problem="/j is not a journal of dsr1's: x"))), ["a"]
    )
    assert isinstance(told["a"], HostError)
    assert str(told["a"]).startswith(
        "a: what dsr1 changed there is unknown: /j is not a journal of dsr1's: x. Nothing will"
    )


@pytest.mark.parametrize("uid", [0, 1000])
def test_root_is_taken_only_where_something_is_to_do(uid: int) -> None:
    seen = {"a": replace(NEEDY, session=replace(NEEDY.session, uid=uid)), "b": FIT}
    transport = saying(asdict(PrepReport((StepOutcome("x", "done"),))))
    steps = {host: decide(host, one, PORTS).steps for host, one in seen.items()}
    assert list(apply_to_all(transport, steps)) == ["a"]
    assert undo_on_all(transport, seen) == {}
    assert [(asked.values, asked.by) for asked in transport.asked] == [(("apply",), AS_ROOT)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"sudo: a password is required\n", "nothing was changed, since this needs root"),
        (b"sh: 1: exec: sudo: not found\n", "nothing was changed, since this needs root"),
        (b"Segmentation fault\n", "its agent could not prepare it: Segmentation fault"),
    ],
)
def test_how_sudo_fails(words: bytes, told: str) -> None:
    steps = decide("a", NEEDY, PORTS).steps
    done = apply_to_all(Told(lambda question: CommandResult(1, b"", words)), {"a": steps})
    assert isinstance(done["a"], HostError)
    assert told in str(done["a"])


@pytest.mark.parametrize("recipe", ["dsr1-dep", "dsr1-disagg-h100"])
def test_ports_are_those_of_the_whole_deployment_whatever_hosts_are_prepared(recipe: str) -> None:
    loaded = load_recipe(recipe, [])
    one, four = (
        prep_ports(loaded, [Access(f"n{number}", f"n{number}") for number in range(count)])
        for count in (1, 4)
    )
    assert set(one) <= set(four)
    assert loaded.frontend.port in one
    assert (one == four) == (recipe == "dsr1-disagg-h100")
    assert set(prep_ports(loaded, [])) <= set(four)


def test_parts_are_chosen_like_checks() -> None:
    assert choose_parts([]) == IDS
    assert choose_parts(["ibgda", "sys.shm"]) == (
        "ibgda.params",
        "ibgda.gdrcopy",
        "ibgda.mem_reg",
        "sys.shm",
    )
    assert choose_parts(["gpu."]) == ("gpu.persistence",)
    with pytest.raises(InputError, match="prep mends no such check"):
        choose_parts(["gpu.count"])
