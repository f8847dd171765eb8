"""``COCOeval`` and ``Params``, as in pycocotools."""

from __future__ import annotations

from pycocotools.cocoeval import COCOeval as Original
from pycocotools.cocoeval import Params

from anydet.pycocotools import evaluation

__all__ = ["COCOeval", "Params"]


class COCOeval(Original):  # type: ignore[misc]
    """pycocotools' ``COCOeval`` on the compiled engine, equal in every bit.

    All attributes and methods are there. ``evalImgs`` and ``ious`` are computed by pycocotools' code when
    they are taken, which takes about as long as its evaluation; ``accumulate``, ``summarize`` and ``stats``
    need neither.
    """


for _name, _method in evaluation.replacements(COCOeval).items():
    setattr(COCOeval, _name, _method)
