"""Equal outputs are told once."""

from dsr1.hosts.transport.exec import Said, fold


def test_equal_outputs_fold_and_the_largest_group_is_first() -> None:
    said = {"a": Said(0, "x"), "b": Said(1, "x"), "c": Said(1, "x"), "d": Said(None, "down")}
    assert list(fold(said).items()) == [
        (Said(1, "x"), ["b", "c"]),
        (Said(0, "x"), ["a"]),
        (Said(None, "down"), ["d"]),
    ]
