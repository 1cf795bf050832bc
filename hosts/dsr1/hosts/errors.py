"""The errors of dsr1, drawn as one small tree; the command line alone maps them to exit codes.

Dsr1Error
├── InputError       a recipe, an option or a host list is wrong            exit 2
├── CheckFailed      a host is not fit for the plan                         exit 3
├── LaunchFailed     the deployment did not come up, or ended               exit 4
│   └── HostError    a host could not be reached or did not answer
│       └── BadAnswer    it answered, and the answer makes no sense
└── RunNotFound      no such run                                            exit 5
"""

MOST_WORDS = 600  # of what a host said, in a message


class Dsr1Error(Exception):
    """What a user can act on: one message, no traceback."""


class InputError(Dsr1Error):
    """Input that can't be used. Names the file, the key and the value, and what is allowed."""


class CheckFailed(Dsr1Error):
    """A host isn't fit for the plan. Nothing was started."""


class LaunchFailed(Dsr1Error):
    """The deployment didn't come up. What had been started was ended."""


class HostError(LaunchFailed):
    """A host could not be reached, or its agent didn't answer as agreed."""


class BadAnswer(HostError):
    """What a host answered makes no sense: too long, endless, or not what was asked for. Asking
    again helps nothing."""

    def __init__(self, host: str, why: object) -> None:
        super().__init__(f"{host}: that host's answer makes no sense: {str(why)[:MOST_WORDS]}")


class RunNotFound(Dsr1Error):
    """There is no run of that name."""
