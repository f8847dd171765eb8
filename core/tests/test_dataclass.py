"""The standard decorator is the oracle: whatever can be asked of a class or an object has the same answer."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import KW_ONLY, FrozenInstanceError, field

import pytest

from anydet import dataclass as ours


def _classes(decorator):
    """The same classes by one decorator or the other."""

    @decorator(frozen=True, slots=True)
    class Point:
        """With a default, a factory, and fields that are left out of something."""

        x: int
        y: float = 2.0
        tags: list = field(default_factory=list, hash=False, compare=False)
        hidden: int = field(default=3, repr=False, compare=False)

        def __post_init__(self):
            if self.x < 0:
                raise ValueError("negative")

    @decorator(frozen=True, slots=True)
    class Named(Point):
        """Derives, and has a keyword."""

        _: KW_ONLY
        name: str = "n"

    @decorator(frozen=True, slots=True, eq=False)
    class Rows:
        """Compared by identity."""

        rows: tuple

    @decorator(slots=True)
    class Counter:
        """Changes, and is no key of a dictionary."""

        count: int = 0
        seen: list = field(default_factory=list, init=False)
        step: int = field(default=1, init=False)

    @decorator(eq=False)
    class Open:
        """Without slots; one field comes from ``__post_init__``."""

        a: int
        twice: int = field(init=False, repr=False)

        def __post_init__(self):
            self.twice = 2 * self.a

    @decorator
    class Bare:
        """The decorator without arguments, and a ``repr`` of its own."""

        a: int = 1

        def __repr__(self):
            return "bare"

    @decorator(frozen=True, slots=True, kw_only=True)
    class Keywords:
        """All arguments are keywords."""

        a: int
        b: int = 2

    return Point, Named, Rows, Counter, Open, Bare, Keywords


OURS, STANDARD = _classes(ours.dataclass), _classes(dataclasses.dataclass)
ARGUMENTS = (
    [((1,), {}), ((1, 3.0), {}), ((1,), {"tags": [1], "hidden": 5})],
    [((1,), {}), ((1, 2.5, [2]), {"name": "m"})],
    [(((1, 2),), {})],
    [((), {}), ((4,), {})],
    [((3,), {})],
    [((), {}), ((2,), {})],
    [((), {"a": 1}), ((), {"b": 3, "a": 1})],
)
PAIRS = [
    pytest.param(mine, theirs, call, id=f"{mine.__name__}{call}")
    for mine, theirs, calls in zip(OURS, STANDARD, ARGUMENTS, strict=True)
    for call in calls
]
SAME = list(zip(OURS, STANDARD, strict=True))
WRONG = [((), {}), ((1, 2, 3, 4, 5, 6), {}), ((1,), {"unknown": 1}), ((-1,), {})]

# pickle looks a class up by its name in its module
for _made in OURS:
    _made.__qualname__ = _made.__name__
    globals()[_made.__name__] = _made
for _made in STANDARD:
    _made.__qualname__ = _made.__name__


def values(thing):
    return [getattr(thing, f.name) for f in dataclasses.fields(thing)]


@pytest.mark.parametrize(("mine", "theirs", "call"), PAIRS)
def test_objects_are_those_of_the_standard_decorator(mine, theirs, call):
    one, other = mine(*call[0], **call[1]), theirs(*call[0], **call[1])
    assert values(one) == values(other)
    assert repr(one) == repr(other)
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert (one == mine(*call[0], **call[1])) == (other == theirs(*call[0], **call[1]))
    assert (one == dataclasses.replace(one)) == (other == dataclasses.replace(other))
    assert one != other
    for made in (
        copy.copy(one),
        copy.deepcopy(one),
        pickle.loads(pickle.dumps(one)),
        dataclasses.replace(one),
    ):
        assert type(made) is mine
        assert values(made) == values(one)


@pytest.mark.parametrize(("mine", "theirs"), SAME, ids=lambda made: made.__name__)
def test_classes_are_those_of_the_standard_decorator(mine, theirs):
    assert str(inspect.signature(mine)) == str(inspect.signature(theirs))
    assert (
        inspect.signature(mine.__init__).parameters.keys()
        == inspect.signature(theirs.__init__).parameters.keys()
    )
    assert mine.__match_args__ == theirs.__match_args__
    assert mine.__doc__ == theirs.__doc__
    assert getattr(mine, "__slots__", None) == getattr(theirs, "__slots__", None)
    assert (mine.__hash__ is None) == (theirs.__hash__ is None)
    assert [(f.name, f.type, f.init, f.kw_only) for f in dataclasses.fields(mine)] == [
        (f.name, f.type, f.init, f.kw_only) for f in dataclasses.fields(theirs)
    ]


@pytest.mark.parametrize("call", WRONG, ids=str)
@pytest.mark.parametrize(("mine", "theirs"), SAME, ids=lambda made: made.__name__)
def test_wrong_arguments_raise_the_same(mine, theirs, call):
    raised = []
    for made in (mine, theirs):
        try:
            made(*call[0], **call[1])
        except (TypeError, ValueError) as error:
            raised.append((type(error), str(error).replace("_classes.<locals>.", "")))
        else:
            raised.append(None)
    assert raised[0] == raised[1]


@pytest.mark.parametrize("made", [classes[0] for classes in (OURS, STANDARD)])
def test_frozen_objects_can_neither_be_changed_nor_extended(made):
    point = made(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: delattr(point, "x"),
        lambda: setattr(point, "new", 2),
    ):
        with pytest.raises((FrozenInstanceError, TypeError)):
            change()
    assert point.x == 1


@pytest.mark.parametrize("made", [classes[0] for classes in (OURS, STANDARD)])
def test_equal_frozen_objects_have_one_hash(made):
    assert {made(1), made(1, tags=[2]), made(2)} == {made(1), made(2)}


def test_a_subclass_without_the_decorator_may_have_attributes_of_its_own():
    class Marked(OURS[0]):
        pass

    marked = Marked(1)
    marked.mark = 5
    del marked.mark
    with pytest.raises(FrozenInstanceError):
        marked.x = 2
    assert marked != OURS[0](1)


def _heir(parent, decorator, frozen):
    @decorator(frozen=frozen)
    class Heir(parent):
        b: int = 0

    return Heir


@pytest.mark.parametrize("parent", [ours.dataclass, dataclasses.dataclass])
@pytest.mark.parametrize("decorator", [ours.dataclass, dataclasses.dataclass])
@pytest.mark.parametrize("frozen", [True, False])
def test_classes_derive_from_those_of_either_decorator(parent, decorator, frozen):
    @parent(frozen=True)
    class Parent:
        a: int

    if not frozen:
        with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
            _heir(Parent, decorator, frozen=False)
        return
    heir = _heir(Parent, decorator, frozen=True)(1, 2)
    assert values(heir) == [1, 2]
    assert dataclasses.replace(heir, a=3) == type(heir)(3, 2)
    for name in ("a", "b", "c"):
        with pytest.raises(FrozenInstanceError):
            setattr(heir, name, 2)


def test_nothing_is_compiled_before_an_object_is_made():
    @ours.dataclass(frozen=True, slots=True)
    class Unused:
        a: int

    deferred = vars(Unused)["__init__"]
    assert not inspect.isfunction(deferred)
    assert Unused(3).a == 3
    assert inspect.isfunction(vars(Unused)["__init__"])
    assert deferred.__get__(Unused(4), Unused)  # a lookup that began before the first object was made


def test_an_object_that_contains_itself_is_shown():
    counter = OURS[3]()
    counter.seen.append(counter)
    assert "..." in repr(counter)
