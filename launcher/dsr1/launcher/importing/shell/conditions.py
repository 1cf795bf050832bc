"""Which commands of a script are sure to run: those in no branch, behind no && or ||. Pure."""

BRANCH = "a branch"
_OPENERS = ("if", "for", "while", "until", "case", "select", "{", "(")
_CLOSERS = ("fi", "done", "esac", "}", ")")
_BETWEEN = ("then", "do", "else", "elif", "!")


class Conditions:
    """Follows a script word by word and operator by operator. `in_patterns`: what comes next are
    the patterns of a case."""

    def __init__(self) -> None:
        self.in_patterns = False
        self._before = ""
        self._expects_body = False
        self._blocks: list[bool] = []
        self._branches = 0

    @property
    def current(self) -> str:
        """What the next command hangs on: nothing, the && or || before it, or its branch."""
        if self._branches:
            return BRANCH
        return self._before if self._before in ("&&", "||") else ""

    @property
    def is_piped(self) -> bool:
        return self._before in ("|", "|&")

    def take_keyword(self, word: str) -> bool:
        """Whether a word at the start of a command belongs to the shell's grammar."""
        if word in _OPENERS:
            is_function = self._expects_body and self._before == ")"
            self._expects_body = self._expects_body and not is_function
            self._open(word not in ("{", "(") or is_function or bool(self.current))
        elif word in _CLOSERS:
            self._close()
        return word in (*_OPENERS, *_CLOSERS, *_BETWEEN)

    def expect_body(self) -> None:
        """NAME has come, and ( ) and the body of a function follow."""
        self._before, self._expects_body = "", True

    def open_function(self) -> None:
        self._open(is_branch=True)

    def begin_patterns(self) -> None:
        self.in_patterns = True

    def take_operator(self, operator: str) -> None:
        if self.in_patterns:
            self.in_patterns = operator != ")"
            return
        if operator in ("(", ")"):
            self.take_keyword(operator)
        self.in_patterns = operator in (";;", ";&", ";;&")
        self._before = operator

    def end_patterns(self) -> None:
        self.in_patterns = False
        self._close()

    def _open(self, is_branch: bool) -> None:
        self._blocks.append(is_branch)
        self._branches += is_branch

    def _close(self) -> None:
        if self._blocks:
            self._branches -= self._blocks.pop()
