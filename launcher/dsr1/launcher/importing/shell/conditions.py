"""Which commands of a script are sure to run, and which variables only a run would know. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_OPEN = ("if", "for", "while", "until", "case", "select", "{")
_CLOSE = ("fi", "done", "esac", "}")
_WITH_WORDS = ("for", "case", "select")
_IN_FRONT = {*_OPEN, *_CLOSE, "then", "do", "else", "elif", "!"} - {*_WITH_WORDS}
BRANCH = "a branch"


@dataclass(slots=True)
class Conditions:
    """Follows a script command by command. `doubtful` are the variables that a condition may have
    set."""

    doubtful: set[str] = field(default_factory=set)
    _depth: int = 0
    _before: str = ""
    _in_list: set[str] = field(default_factory=set)

    def enter(self, words: Sequence[str]) -> str:
        """What the next command hangs on: nothing, the && or || before it, or the branch that it
        stands in."""
        begins = bare(words)
        for word in words[: begins + 1]:
            self._depth = max(0, self._depth + (word in _OPEN) - (word in _CLOSE))
        if words[begins : begins + 1] in (["for"], ["select"]):
            self.doubtful.update(words[begins + 1 : begins + 2])
        return BRANCH if self._depth else self._before

    def assign(self, name: str, condition: str) -> None:
        """After && a variable is known as long as the list goes on; after || and in a branch it
        isn't."""
        self.doubtful.discard(name)
        self._in_list.discard(name)
        if condition == "&&":
            self._in_list.add(name)
        elif condition:
            self.doubtful.add(name)

    def leave(self, operator: str) -> None:
        if operator != "&&":
            self.doubtful |= self._in_list
            self._in_list.clear()
        self._before = operator if operator in ("&&", "||") else ""


def bare(words: Sequence[str]) -> int:
    """Where a command begins, after the shell's own words in front of it."""
    return next((at for at, word in enumerate(words) if word not in _IN_FRONT), len(words))
