"""The errors of dsr1, drawn as one small tree; the command line alone maps them to exit codes.

Dsr1Error
├── InputError       a recipe, an option or a host list is wrong            exit 2
├── CheckFailed      a host is not fit for the plan                         exit 3
├── LaunchFailed     the deployment did not come up, or ended               exit 4
│   └── HostError    a host could not be reached or did not answer
└── RunNotFound      no such run                                            exit 5
"""


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


class RunNotFound(Dsr1Error):
    """There is no run of that name."""
