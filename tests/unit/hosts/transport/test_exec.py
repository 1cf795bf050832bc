"""Equal outputs are told once."""

from dsr1.hosts.transport.exec import ExecResult, fold_results


def test_equal_outputs_fold_and_the_largest_group_is_first() -> None:
    said = {
        "a": ExecResult(0, "x"),
        "b": ExecResult(1, "x"),
        "c": ExecResult(1, "x"),
        "d": ExecResult(None, "down"),
    }
    assert list(fold_results(said).items()) == [
        (ExecResult(1, "x"), ["b", "c"]),
        (ExecResult(0, "x"), ["a"]),
        (ExecResult(None, "down"), ["d"]),
    ]
