"""Accounts as people have them: startup files that print or exit, and shells that aren't sh."""

import shutil

import pytest
from tests.cluster.login import MOCKER, Login, assert_clean, kill

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
NOISE = "echo welcome to node2; printf 'no line'; echo a warning >&2"


def has_bashrc(login: Login, text: str) -> None:
    script = 'printf "%s\\n" "$0" > "$HOME/.bashrc"'
    assert login.cluster.run("node2", ("sh", "-c", script, text)).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "tcsh", "fish", "zsh"])
def test_a_run_lives_and_ends_whatever_the_accounts_shell_is(shell: str, login: Login) -> None:
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"no {shell} here")
    has_bashrc(login, NOISE)
    change = ("sed", "-i", f"s#^\\(launch:.*\\):.*#\\1:{path}#", "/etc/passwd")
    assert login.cluster.run("node2", change, user="root").returncode == 0
    login.launch_to_end("s", "node1,node2", *MOCKER)
    assert_clean(login.cluster, "node1", "node2")


def test_a_shell_that_ends_at_once_proves_nothing(login: Login) -> None:
    assert login.launch("x", "node1,node2", *MOCKER).returncode == 0
    kill(login.cluster, "login", "run.supervision")
    has_bashrc(login, "echo bye; exit 0")
    stopped = login.dsr1("stop", "x")
    assert (stopped.returncode, "its login shell ends before any" in stopped.stderr) == (4, True)
    has_bashrc(login, "")
    assert login.dsr1("stop", "x").returncode == 0
    assert_clean(login.cluster, "node1", "node2")
