"""``Meter``: COCO's numbers inside a training loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from anydet.arguments import require, require_choice
from anydet.columns import concatenate
from anydet.data.dataset.image_subset import take_images
from anydet.errors import EvaluationError
from anydet.evaluation.batches import Batch, ImageId, Reader
from anydet.evaluation.coco import CocoEvaluator, CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.geometry.boxes import BOX_FORMATS
from anydet.text import listed
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns

if TYPE_CHECKING:
    from typing_extensions import Self


class Meter:
    """Collects predictions and targets batch by batch, and gives COCO's numbers of them.

    What is kept are columns: 64 bytes a detection, and run-length codes where masks are scored. The numbers
    are those of ``anydet.evaluate`` on the same predictions in a file. A meter can be pickled.

    Args:
        classes: names of labels 0, 1, ...; a number of classes; or a map of labels to names, such as
            ``{1: "person", ...}`` where 0 is the background.
        tasks: "bbox", "segm", "keypoints" or "boundary", or ``CocoSettings`` with other limits, thresholds
            or sigmas; one of them or several.
        box_format: of dictionaries with ``boxes``; corners in pixels by default.
        engine: registered name; the best installed one by default.
        threads: how many an engine may use; as many as there are cores by default.

    Raises:
        OptionError: an argument has the wrong type or value.

    >>> meter = Meter(classes=["cat", "dog"])
    >>> box, label = [[10.0, 10.0, 50.0, 60.0]], [1]
    >>> meter.update([{"boxes": box, "scores": [0.9], "labels": label}], [{"boxes": box, "labels": label}])
    >>> f"{meter.compute().metrics['AP']:.3f}"
    '1.000'
    """

    def __init__(
        self,
        classes: Sequence[str] | Mapping[int, str] | int,
        tasks: IouType | CocoSettings | Sequence[IouType | CocoSettings] = "bbox",
        *,
        box_format: str = "xyxy_abs",
        engine: str | None = None,
        threads: int | None = None,
    ) -> None:
        require_choice("box_format", box_format, BOX_FORMATS)
        self.classes = _class_table(classes)
        self.tasks = _settings(tasks)
        self._engine, self._threads = engine, threads
        self._reader = Reader(
            self.classes,
            box_format,
            masks=bool(self.tasks.keys() & {"segm", "boundary"}),
            keypoints="keypoints" in self.tasks,
        )
        self._batches: list[Batch] = []
        self._results: dict[str, CocoResult] = {}

    def __len__(self) -> int:
        """How many images there are."""
        return sum(len(batch.images) for batch in self._batches)

    def reset(self) -> None:
        """Forget all images."""
        self._batches, self._results = [], {}

    def update(self, predictions: Any, targets: Any) -> None:
        """Add the images of a batch.

        Args:
            predictions: one an image, in a list, or in a map by image id: dictionaries of ``boxes``,
                ``scores`` and ``labels``, with ``masks`` or ``keypoints`` where they are scored;
                ``supervision.Detections``; ``ImagePredictions``; COCO results; or ``DetectionColumns`` of
                all.
            targets: as many: dictionaries of ``boxes`` and ``labels``, also ``area``, ``iscrowd``, ``masks``,
                ``keypoints`` and ``image_id``; transformers' ``class_labels``, normalized ``boxes`` and
                ``orig_size``; COCO's ``annotations``; ``supervision.Detections``; ``Labels``; or
                ``GroundTruthColumns`` of all. An area that is not stated is that of the mask, where masks are
                scored, else of the box.

        Raises:
            EvaluationError: they are of no form that is known, do not fit each other, or have labels that no
                class has; nothing is added then.
        """
        batch = self._reader.read(predictions, targets)
        if batch.images:
            self._add(batch)

    def merge(self, other: Self) -> None:
        """Add what another meter of the same classes and tasks has seen, on other images.

        Raises:
            EvaluationError: classes or tasks differ, or only one of the two has image ids.
        """
        if (other.classes, other.tasks) != (self.classes, self.tasks):
            raise EvaluationError(
                "meters of different classes or tasks cannot be merged",
                fix="build both with the same arguments",
            )
        for batch in other._batches:
            self._add(batch)

    def all_gather(self) -> None:
        """Give the meter of each process the images of all processes of ``torch.distributed``.

        Images with ids count once, although samplers repeat some to fill the last batch; images without are
        taken to be dealt one by one, as ``DistributedSampler`` does, and all of them count. Nothing happens
        where there is one process.

        Raises:
            EvaluationError: as ``merge``.
        """
        import torch.distributed as processes

        if not (processes.is_available() and processes.is_initialized()):
            return
        gathered: list[Any] = [None] * processes.get_world_size()
        processes.all_gather_object(gathered, self._batches)
        parts = [batch for batches in gathered for batch in batches]
        _require_one_kind(parts)
        if parts and parts[0].images[0] is None:
            parts = [join(batches) for batches in gathered if batches]
            order = np.argsort([i for part in parts for i in range(len(part.images))], kind="stable")
        else:
            places = _first_places([image for part in parts for image in part.images])
            order = np.array(sorted(places.values()), np.int64)
        self.reset()
        self._batches = [_taken(join(parts), order)] if parts else []

    def compute(self, task: str | None = None) -> CocoResult:
        """The result of all images, as of ``anydet.evaluate``; calling it twice computes it once.

        Args:
            task: which of ``tasks``; the first one by default.

        Raises:
            EvaluationError: there is no image, one was added twice, or what is scored is missing.
            OptionError: the meter has no such task.
        """
        task = next(iter(self.tasks)) if task is None else task
        require_choice("task", task, list(self.tasks))
        if task not in self._results:
            batch = self._joint()
            evaluator = CocoEvaluator(
                self.classes,
                engine=choose_engine(name=self._engine, threads=self._threads),
                settings=self.tasks[task],
            )
            evaluator.add(batch.detections, batch.truth)
            self._results[task] = evaluator.result()
        return self._results[task]

    def _add(self, batch: Batch) -> None:
        _require_one_kind([*self._batches[:1], batch])
        self._batches.append(batch)
        self._results = {}

    def _joint(self) -> Batch:
        if not self._batches:
            raise EvaluationError("nothing to evaluate: no image was added", fix="call update first")
        if len(self._batches) > 1:
            self._batches = [join(self._batches)]
        batch = self._batches[0]
        if batch.images[0] is None:
            # In the order in which they came: ids decide which of equal scores is first.
            return _numbered(batch, range(len(batch.images)))
        twice = [image for image, count in Counter(batch.images).items() if count > 1]
        if twice:
            raise EvaluationError(
                f"images were added twice: {listed(twice, quotes=False)}",
                fix="add every image once; reset the meter before each epoch",
            )
        return _numbered(batch, batch.images)


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    starts = np.cumsum([0, *(len(batch.images) for batch in batches)])[:-1].tolist()
    found = [
        replace(batch.detections, image_index=batch.detections.image_index + start)
        for batch, start in zip(batches, starts, strict=True)
    ]
    sizes = np.concatenate([batch.detections.sizes_wh for batch in batches])
    images = tuple(image for batch in batches for image in batch.images)
    keys = tuple(map(str, range(len(images))))
    detections: DetectionColumns = replace(concatenate(found), images=keys, sizes_wh=sizes)
    truth: GroundTruthColumns = replace(
        batches[0].truth,
        images=keys,
        sizes_wh=sizes,
        image_index=np.concatenate(
            [batch.truth.image_index + start for batch, start in zip(batches, starts, strict=True)]
        ),
        labels=concatenate([batch.truth.labels for batch in batches]),
    )
    return Batch(images, detections, truth)


def _numbered(batch: Batch, images: Sequence[Any]) -> Batch:
    """With ids, by which evaluators order images."""
    keys = tuple(map(str, images))
    ids = np.array(images, np.int64) if all(isinstance(one, int) for one in images) else None
    return Batch(
        batch.images,
        replace(batch.detections, images=keys),
        replace(batch.truth, images=keys, image_ids=ids),
    )


def _taken(batch: Batch, order: Any) -> Batch:
    """Only the images at ``order``, in that order."""
    detections, truth = take_images(batch.detections, batch.truth, order)
    return Batch(tuple(batch.images[i] for i in order.tolist()), detections, truth)


def _first_places(images: Sequence[ImageId | None]) -> dict[ImageId | None, int]:
    """Where each image is for the first time."""
    return {image: i for i, image in reversed(list(enumerate(images)))}


def _require_one_kind(batches: Sequence[Batch]) -> None:
    kinds = {image is None for batch in batches for image in batch.images}
    if len(kinds) > 1:
        raise EvaluationError(
            "some images have an id and some have none", fix="give image_id with every target, or with none"
        )


def _class_table(classes: Any) -> ClassTable:
    takes = "names of classes, a map of labels to names, or a number of classes"
    if isinstance(classes, int) and not isinstance(classes, bool) and classes > 0:
        return ClassTable(tuple(map(str, range(classes))))
    if isinstance(classes, Mapping):
        good = classes and all(isinstance(label, int) for label in classes)
        require(good, "classes", classes, takes)
        return ClassTable(tuple(map(str, classes.values())), tuple(classes))
    good = isinstance(classes, Sequence) and not isinstance(classes, str) and len(classes) > 0
    require(good and all(isinstance(name, str) for name in classes), "classes", classes, takes)
    return ClassTable(tuple(classes))


def _settings(tasks: Any) -> dict[str, CocoSettings]:
    """Settings by their IoU type."""
    given = [tasks] if isinstance(tasks, str | CocoSettings) else tasks
    require(isinstance(given, Sequence) and len(given) > 0, "tasks", tasks, "one task, or several")
    settings: list[Any] = [
        CocoSettings(cast("IouType", one)) if isinstance(one, str) else one for one in given
    ]
    for one in settings:
        require(isinstance(one, CocoSettings), "tasks", one, "the name of a task, or CocoSettings")
    by_name = {str(one.iou_type): one for one in settings}
    require(len(by_name) == len(settings), "tasks", tasks, "a list of different tasks")
    return by_name
