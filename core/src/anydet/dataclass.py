"""``dataclass``: the standard decorator for plain data, at a tenth of the time that defining a class takes.

The standard library writes a class's methods as source text and compiles them when the class is defined:
0.3 to 0.9 ms each, and a command imports a hundred classes and makes objects of a few. Here ``__init__`` is
compiled when it is looked up for the first time, and the other methods need no compiling.

To everything else the classes are those of the standard decorator: ``dataclasses.replace`` and ``fields``,
``pickle``, ``copy``, ``==``, ``hash``, ``repr``, ``inspect.signature`` and type checkers; a class of either
decorator may derive from one of the other.
"""

from __future__ import annotations

import dataclasses
from itertools import islice
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, kw_only=False):
        """As ``dataclasses.dataclass``, with the arguments that are in use here."""

        def make(cls):
            # The standard decorator compiles two methods of a frozen class, so the class becomes frozen only
            # below; where a base is frozen, the decorator accepts nothing but a frozen class.
            heir = frozen and any(p.frozen for p in map(_params, cls.__mro__[1:]) if p)
            standard = dataclasses.dataclass(
                init=False, repr=False, eq=False, slots=slots, frozen=heir, kw_only=kw_only
            )
            made = standard(cls)
            _params(made).frozen = frozen
            methods = {"__init__": _DeferredInit(made, frozen), "__repr__": _show}
            methods |= _comparison(made, frozen) if eq else {}
            methods |= _protection(made) if frozen else {}
            methods |= _PICKLING if frozen and slots else {}
            for name in methods.keys() - vars(cls).keys():
                setattr(made, name, methods[name])
            return made

        return make if cls is None else make(cls)


def _params(cls: type) -> Any:
    return vars(cls).get("__dataclass_params__")


class _DeferredInit:
    """Stands for ``__init__`` until that is looked up."""

    def __init__(self, made: type, frozen: bool) -> None:
        self._made, self._frozen = made, frozen

    def __get__(self, instance: object, owner: type) -> Any:
        if vars(self._made)["__init__"] is self:
            self._made.__init__ = _compile_init(self._made, self._frozen)
        return vars(self._made)["__init__"].__get__(instance, owner)


_LONG = 200
"""Characters of a text that are shown."""


class _Factory:
    """Default of an argument whose value a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _compile_init(made: Any, frozen: bool) -> Any:
    """The ``__init__`` that the standard decorator writes."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_FACTORY": _FACTORY}
    positional: list[str] = []
    keyword_only: list[str] = []
    body = []
    for field in dataclasses.fields(made):
        name, parameter, value = field.name, field.name, field.name
        if field.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = field.default
            parameter, value = f"{name}=_default_{name}", name if field.init else f"_default_{name}"
        elif field.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = field.default_factory
            value = f"_make_{name}() if {name} is _FACTORY else {name}" if field.init else f"_make_{name}()"
            parameter = f"{name}=_FACTORY"
        elif not field.init:
            continue  # __post_init__ gives it a value
        if field.init:
            (keyword_only if field.kw_only else positional).append(parameter)
        body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *keyword_only] if keyword_only else [])])
    exec(f"def __init__({parameters}):\n " + "\n ".join(body or ["pass"]), scope)
    init = scope["__init__"]
    init.__module__, init.__qualname__ = made.__module__, f"{made.__qualname__}.__init__"
    init.__annotations__ = {f.name: f.type for f in dataclasses.fields(made) if f.init} | {"return": None}
    return init


@recursive_repr()
def _show(self: Any) -> str:
    shown = ", ".join(f"{f.name}={_brief(getattr(self, f.name))}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


def _brief(value: Any, most: int = 6) -> str:
    """As ``repr``; of what is large, such as an array or a list of all images, its size and beginning."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return repr(value) if value.size <= most else f"<{value.dtype} array {value.shape}>"
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONG else f"{value[:_LONG]!r}... ({len(value)} characters)"
    if type(value) is dict:
        pairs = [f"{key!r}: {_brief(one)}" for key, one in islice(value.items(), most)]
        return f"{{{', '.join(pairs)}{_rest(len(value), most)}}}"
    if type(value) in {list, tuple}:
        shown = ", ".join(map(_brief, value[:most])) + _rest(len(value), most)
        return f"[{shown}]" if type(value) is list else f"({shown}{',' * (len(value) == 1)})"
    return repr(value)


def _rest(count: int, most: int) -> str:
    return f", ... ({count})" if count > most else ""


def _comparison(made: Any, frozen: bool) -> dict[str, Any]:
    """``==`` between objects of exactly this class, and the hash that goes with it."""
    names = [field.name for field in dataclasses.fields(made) if field.compare]
    values = attrgetter(*names) if names else type

    def equal(self: object, other: object) -> bool:
        return values(self) == values(other) if type(self) is type(other) else NotImplemented

    def hashed(self: object) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed if frozen else None}


def _protection(made: Any) -> dict[str, Any]:
    """Refuse to set and to delete fields; a subclass may have further attributes."""
    names = frozenset(field.name for field in dataclasses.fields(made))

    def set_attribute(self: object, name: str, value: object) -> None:
        if type(self) is made or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)

    def delete_attribute(self: object, name: str) -> None:
        if type(self) is made or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)

    return {"__setattr__": set_attribute, "__delattr__": delete_attribute}


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


_PICKLING = {"__getstate__": _state, "__setstate__": _restore}
"""Without it, pickle would set the fields of a class with slots, which a frozen one refuses."""
