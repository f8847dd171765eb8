"""pycocotools' interface on our evaluator: ``from anydet.pycocotools.coco import COCO`` is the whole change.

``coco.COCO``, ``cocoeval.COCOeval`` and ``cocoeval.Params``, and ``mask`` have the attributes, results and
printed text of pycocotools, whose classes they derive from; every bit of every array is equal. What is
faster: ``COCOeval.evaluate`` and ``accumulate`` run on the compiled engine (package ``anydet-fasteval``),
``evalImgs`` and ``ious`` are computed when they are taken, and JSON is read faster. Without the compiled
engine, and for what it has no columns for (overridden ``computeIoU``, odd ids, ...), pycocotools' own code
evaluates.

``anydet.patch_pycocotools`` does the same for code whose imports cannot be changed.
"""
