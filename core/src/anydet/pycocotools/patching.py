"""pycocotools and faster_coco_eval as they are imported anywhere, evaluating on our engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pycocotools.cocoeval import COCOeval

from anydet.errors import AnydetWarning
from anydet.pycocotools import evaluation

if TYPE_CHECKING:
    from typing_extensions import Self

_ABSENT = object()
_active: list[Patch] = []
"""Patches that are not undone; the classes change with the first and change back with the last."""
_before: list[tuple[type, str, Any]] = []
"""Class, attribute and its value before it was replaced."""


class Patch:
    """What ``patch_pycocotools`` did, until ``undo()`` or the end of its ``with`` block."""

    def undo(self) -> None:
        """Give the classes back what they had. Doing it twice does no harm.

        Evaluators that exist keep their results: what they compute on demand is computed now.
        """
        if self not in _active:
            return
        _active.remove(self)
        if _active:
            return
        for evaluator in list(evaluation.lazy_evaluators):
            evaluation.fill(evaluator)
        while _before:
            owner, name, value = _before.pop()
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

    def __enter__(self) -> Self:
        """The patch, which is in force already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Undo it."""
        self.undo()


def patch_pycocotools() -> Patch:
    """Let ``COCOeval`` of pycocotools, and ``COCOeval_faster`` of faster_coco_eval, evaluate on our engine.

    The classes themselves get other methods, so that it makes no difference who imported them and when.
    Results are those of ``anydet.pycocotools.cocoeval.COCOeval``: equal to pycocotools' in every bit. What
    faster_coco_eval computes beyond pycocotools is left to it.

    >>> with anydet.patch_pycocotools():                                              # doctest: +SKIP
    ...     print(MeanAveragePrecision().compute())

    Returns:
        a context manager; ``undo()`` of it ends the patch, too. Patches may be nested.

    Warns:
        AnydetWarning: anydet-fasteval is not installed, so that nothing changes.
    """
    if evaluation.compiled() is None:
        warnings.warn(
            "patch_pycocotools changes nothing: anydet-fasteval, the compiled engine, is not installed",
            AnydetWarning,
            stacklevel=2,
        )
    elif not _active:
        changed = {COCOeval: evaluation.replacements(COCOeval)}
        if find_spec("faster_coco_eval") is not None:
            from anydet.pycocotools import faster

            changed[faster.COCOeval_faster] = faster.replacements()
        for owner, methods in changed.items():
            _replace(owner, methods)
    patch = Patch()
    _active.append(patch)
    return patch


def _replace(owner: type, methods: Mapping[str, Any]) -> None:
    for name, method in methods.items():
        _before.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, method)
