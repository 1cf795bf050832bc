"""A command for whatever login shell an account has, and its output without what that shell's
startup files print before."""

import shlex
import string
from collections.abc import Callable, Sequence

BEGIN = b"dsr1-begins-here\n"
MOST_BEFORE = 1 << 20
_PLAIN = frozenset(string.ascii_letters + string.digits + " /-._=:,@+")


def render_line(argv: Sequence[str]) -> str:
    """For sh, bash, csh or fish: of these csh knows neither a newline nor a `!` in quotes. It says
    BEGIN first."""
    script = f"echo {BEGIN.decode().strip()}; exec {shlex.join(argv)}"
    return f"""exec sh -c 'eval "$(printf %b "{_escape(script)}")"'"""


def _escape(text: str) -> str:
    """For `printf %b`: nothing in it means anything to a shell."""
    return "".join(
        letter if letter in _PLAIN else "".join(f"\\0{byte:03o}" for byte in letter.encode())
        for letter in text
    )


def after_begin(output: bytes) -> bytes | None:
    """None: the command never began."""
    _, begin, rest = output.partition(BEGIN)
    return rest if begin else None


def never_began(before: bytes) -> str:
    """Why, in words. `before`: what was said."""
    said = " | ".join(before.decode(errors="replace").split("\n")[-4:]).strip(" |")
    told = f": {said[-500:]}" if said else ""
    return f"its login shell ends before any command (the account, or an exit in ~/.bashrc){told}"


class Beginning:
    """Reads past what comes before a command's own output."""

    def __init__(self) -> None:
        self._before: bytes | None = b""

    def receive(self, more: Callable[[], bytes]) -> bytes:
        """What `more` gives of the command's own. ConnectionError: it never began."""
        while self._before is not None:
            data = more()
            self._before += data
            if (own := after_begin(self._before)) is not None:
                self._before = None
                if own:
                    return own
            elif not data or len(self._before) > MOST_BEFORE:
                raise ConnectionError(never_began(self._before[-MOST_BEFORE:]))
        return more()
