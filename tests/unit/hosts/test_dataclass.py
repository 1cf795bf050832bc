"""Classes made by ours and by the library's decorator: nobody can tell them apart."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr1.hosts import dataclass as ours


def make(decorate: Callable[[type], type]) -> Any:
    @decorate
    class Base:
        first: int
        second: "tuple[str, ...]" = ()

    @decorate
    class Order(Base):
        key: str = dataclasses.field(default="", repr=False)
        seen: float = dataclasses.field(default=0.0, compare=False)
        places: dict[str, int] = dataclasses.field(default_factory=dict)

        def __post_init__(self) -> None:
            if self.first < 0:
                raise ValueError(self.first)

    return Order


Ours = make(ours.dataclass(frozen=True, slots=True))
Library = make(dataclasses.dataclass(frozen=True, slots=True))
VALUES = st.fixed_dictionaries(
    {"first": st.integers(0, 2)},
    optional={
        "second": st.tuples() | st.tuples(st.sampled_from("ab")),
        "key": st.sampled_from(["", "x"]),
        "seen": st.sampled_from([0.0, float("nan")]),
        "places": st.just({}) | st.just({"a": 1}),
    },
)


@given(VALUES, VALUES)
def test_they_compare_and_show_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (Ours(**one) == Ours(**other)) is (Library(**one) == Library(**other))
    assert repr(Ours(**one)) == repr(Library(**one))
    assert "'x'" not in repr(Ours(**one))
    assert dataclasses.asdict(Ours(**one)).keys() == dataclasses.asdict(Library(**one)).keys()
    assert dataclasses.replace(Ours(**one), **other) == Ours(**(one | other))


def test_nothing_else_is_equal() -> None:
    assert Ours(1) != Library(1)
    assert Ours(1).__eq__(1) is NotImplemented


def test_a_default_that_is_made_is_made_anew() -> None:
    assert Ours(1).places is not Ours(1).places


@ours.dataclass(frozen=True, slots=True)
class Named:
    name: str
    rank: int = 0


@ours.dataclass(frozen=True, slots=True)
class Nothing:
    """No field at all."""


@pytest.mark.parametrize("value", [Named("a", 1), Nothing()])
def test_hashed_copied_and_pickled(value: object) -> None:
    assert {value: 1}[copy.copy(value)] == 1
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_what_can_not_be_hashed_says_so() -> None:
    with pytest.raises(TypeError, match="unhashable type: 'dict'"):
        hash(Ours(1))


@pytest.mark.parametrize("name", ["rank", "other"])
def test_frozen(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(Named("a"), name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(Named("a"), name)
    assert not hasattr(Named("a"), "__dict__")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"Named.__init__\(\) missing 1 .* argument: 'name'"):
        Named()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'names'"):
        Named(names="a")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="-1"):
        Ours(-1)


def test_what_others_read_of_a_class() -> None:
    assert get_type_hints(Named.__init__) == {"name": str, "rank": int, "return": type(None)}
    assert list(inspect.signature(Ours).parameters) == list(inspect.signature(Library).parameters)
    assert Ours.__match_args__ == Library.__match_args__
    assert Named.__doc__ == "Named"
    assert Nothing.__doc__ == "No field at all."


def test_any_other_kind_is_the_library_s() -> None:
    @ours.dataclass(slots=True)
    class Changing:
        count: int = 0

    one = Changing()
    one.count = 2
    assert one == Changing(2)

    @ours.dataclass(frozen=True, slots=True)
    class Shown:
        count: int = 0

        def __repr__(self) -> str:
            return "as it likes"

    assert repr(Shown()) == "as it likes"
    assert Shown(1) == Shown(1)
    with pytest.raises(TypeError, match=r"rank: for such a field take dataclasses.dataclass"):

        @ours.dataclass(frozen=True, slots=True)
        class Keyword:
            rank: int = dataclasses.field(kw_only=True)
