"""Columns: arrays, tuples or nested columns of equal length, taken and put together by row.

A value missing in an optional column is NaN, or -1 for integers, or ``True`` for flags, or ``None`` in a
tuple; a column without any value is ``None`` as a whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Self


class Columns:
    """Base of dataclasses that hold columns."""

    __slots__ = ()
    ROWS: ClassVar[tuple[str, ...] | None] = None
    """Fields with one entry a row; ``None`` means all of them."""

    def take(self, index: NDArray[Any]) -> Self:
        """Rows at ``index`` (integer positions or a boolean mask), in that order."""
        rows = np.flatnonzero(index) if index.dtype == np.bool_ else np.asarray(index, np.int64)
        return replace(self, **{name: _take(getattr(self, name), rows) for name in _rows(self)})  # type: ignore[type-var]


_T_co = TypeVar("_T_co", covariant=True)


class LazyColumn(Sequence[_T_co]):
    """Base of columns that make the object of a row only when it is taken; subclasses are dataclasses.

    Equal to any sequence of equal objects, as it stands for a tuple of them. Rows that were taken share the
    buffers of the column that they come from; pickled, they take along what is theirs and no more.
    """

    __slots__ = ()
    # Equal to a tuple of its objects, whose hash it would need, which takes making all of them.
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    @overload
    def __getitem__(self, index: int) -> _T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[_T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(map(self.row, range(*index.indices(len(self)))))
        return self.row(index)

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.packed()
        return type(self), tuple(getattr(own, f.name) for f in fields(own))  # type: ignore[arg-type]

    @abstractmethod
    def row(self, index: int) -> _T_co:
        """The object of one row; raises ``IndexError`` behind the last one."""

    def packed(self) -> Self:
        """The same rows, with buffers that hold nothing of other rows."""
        return self

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> Self:
        """Rows at these positions, in that order."""

    @classmethod
    @abstractmethod
    def join(cls, tables: Sequence[Self]) -> Self:
        """All rows, one table after the other."""


_C = TypeVar("_C", bound=Columns)


def concatenate(tables: Sequence[_C]) -> _C:
    """Rows of all tables, one after the other; fields that are not rows come from the first one.

    A column that only some tables have is filled up with missing values; columns of different width (numbers
    of keypoints, of state scores) are widened with them.
    """
    columns = {name: _stack([getattr(p, name) for p in tables], tables) for name in _rows(tables[0])}
    return replace(tables[0], **columns)  # type: ignore[type-var]


def row_count(columns: Columns) -> int:
    """Number of rows; 0 where there is no column."""
    for name in _rows(columns):
        column = getattr(columns, name)
        if column is not None:
            return row_count(column) if isinstance(column, Columns) else len(column)
    return 0


def _rows(columns: Columns) -> tuple[str, ...]:
    return columns.ROWS or tuple(f.name for f in fields(columns))  # type: ignore[arg-type]


def _take(column: Any, rows: NDArray[np.int64]) -> Any:
    if column is None:
        return None
    if isinstance(column, tuple):
        return tuple(column[i] for i in rows.tolist())
    if isinstance(column, Columns | LazyColumn):
        return column.take(rows)
    return column[rows]


def _stack(columns: Sequence[Any], tables: Sequence[Columns]) -> Any:
    known = [column for column in columns if column is not None]
    if not known:
        return None
    if len(known) < len(columns):
        columns = [
            _missing(known[0], row_count(p)) if c is None else c for c, p in zip(columns, tables, strict=True)
        ]
    # Columns of one kind are joined as they are; a mixture of kinds has to make its objects.
    if all(isinstance(column, LazyColumn) and type(column) is type(known[0]) for column in columns):
        return type(known[0]).join(columns)
    if isinstance(known[0], tuple | LazyColumn):
        return tuple(chain.from_iterable(columns))
    if isinstance(known[0], Columns):
        return concatenate(columns)
    widest = tuple(max(column.shape[axis] for column in known) for axis in range(1, known[0].ndim))
    return np.concatenate([_widen(column, widest) for column in columns])


def _missing(like: Any, count: int) -> Any:
    if isinstance(like, tuple | LazyColumn):
        return (None,) * count
    if isinstance(like, Columns):
        names = [name for name in _rows(like) if getattr(like, name) is not None]
        return replace(like, **{name: _missing(getattr(like, name), count) for name in names})  # type: ignore[type-var]
    return np.full((count, *like.shape[1:]), _blank(like), like.dtype)


def _widen(column: NDArray[Any], widest: tuple[int, ...]) -> NDArray[Any]:
    if column.shape[1:] == widest:
        return column
    wide = np.full((len(column), *widest), _blank(column), column.dtype)
    inner = (slice(None), *(slice(0, size) for size in column.shape[1:]))
    wide[inner] = column
    return wide


def _blank(column: NDArray[Any]) -> float | int | bool:
    return {"f": np.nan, "b": True}.get(column.dtype.kind, -1)
