"""``Task``: data of a task, and what a method trains on when its turn comes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from anydet.continual.setting import Method, Setting, TaskSource
from anydet.data.dataset.base import SomeImages
from anydet.data.dataset.joined import Joined
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.some_classes import SomeClasses, class_names
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset
from anydet.errors import DatasetError, OptionError, did_you_mean
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.text import listed, quoted
from anydet.training.config.settings import TrainSettings
from anydet.training.launch.run_data import open_training, open_validation
from anydet.types import ClassTable, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is learned at a time.

    Attributes:
        name: of the task.
        training: all images of its data set, with all labels.
        validation: images to evaluate on, with all labels.
        classes: names of those that it is about.
        divided: whether its data set has other classes, too: then images that show none of its classes are
            not trained on.
    """

    name: str
    training: Dataset
    validation: Dataset
    classes: tuple[str, ...]
    divided: bool


def open_tasks(setting: Setting, plugins: Plugins) -> tuple[Task, ...]:
    """The tasks with their data sets open; tasks of one data set and split have the same objects.

    Raises:
        DatasetError: a data set cannot be opened, or names no classes.
        OptionError: a class is unknown, groups are larger than the data set, or there is nothing to evaluate
            on.
    """
    opened: dict[tuple[str | None, ...], tuple[Dataset, Dataset]] = {}
    tasks = []
    for source in setting.tasks:
        place = source.dataset, source.split, source.val_dataset, source.val_split
        if place not in opened:
            opened[place] = _open(source, setting, plugins)
        training, validation = opened[place]
        names = class_names(training)
        groups = _groups(setting.class_groups, names, training) if setting.class_groups else None
        for name, classes in (groups or {source.name: _known(source, names)}).items():
            tasks.append(Task(name, training, validation, classes, set(classes) != set(names)))
    return tuple(tasks)


def seen(tasks: Iterable[Task]) -> ClassTable:
    """The classes of tasks, in the order in which they come."""
    return ClassTable(tuple(dict.fromkeys(name for task in tasks for name in task.classes)))


def training_data(tasks: Sequence[Task], number: int, method: Method, seed: int) -> Dataset:
    """What a method trains on: the images of a task, beside them those that are replayed; or all tasks.

    The table has the classes of all tasks up to this one, so that a head keeps the rows of old ones; labels
    are those of the classes of the task that an image was seen in.

    Args:
        tasks: all of them.
        number: of the task, from 0 on; of a joint method the last one.
        method: says what is replayed, and whether all tasks are learned at once.
        seed: of what is kept for replay.

    Raises:
        DatasetError: no image of the training data shows a class of the task.
    """
    table = seen(tasks[: number + 1])
    if method.joint:
        return _joined({name: _labeled(group, table) for name, group in _by_dataset(tasks).items()})
    now = {tasks[number].name: _labeled([tasks[number]], table)}
    kept = _memory(tasks[:number], table, method, seed) if method.replay else {}
    return _joined({**now, **kept})


def truth_of(task: Task, table: ClassTable) -> Dataset:
    """The images that a task is evaluated on, with all labels of the classes of a table."""
    return _with_table(task.validation, table, table.names)


def _memory(tasks: Sequence[Task], table: ClassTable, method: Method, seed: int) -> dict[str, Dataset]:
    """The images that are kept of earlier tasks, an equal part of each, as often as they are replayed.

    Which images these are is a permutation by the seed and the number of their task, cut where the part ends:
    as tasks are added parts become smaller, and no image comes back that was dropped before.
    """
    kept: dict[str, Dataset] = {}
    for number, task in enumerate(tasks):
        images = _labeled([task], table)
        part = method.replay // len(tasks) + (number < method.replay % len(tasks))
        order = np.random.default_rng((seed, number)).permutation(len(images))[:part]
        if len(order):
            chosen = SomeImages(images, tuple(sorted(order.tolist())))
            kept |= {f"replay {turn} of {task.name}": chosen for turn in range(1, method.replay_repeat + 1)}
    return kept


def _labeled(tasks: Sequence[Task], table: ClassTable) -> Dataset:
    """The training images of tasks of one data set that show their classes, with labels of these alone."""
    images, classes = tasks[0].training, seen(tasks).names
    if any(task.divided for task in tasks):
        images = SomeImages(images, _showing(images, classes))
        if not len(images):
            raise DatasetError(
                f"{images.root}: no image of the training data shows a class of task {quoted(tasks[0].name)}",
                fix="choose other groups of classes, or another split",
            )
    return _with_table(images, table, classes)


def _with_table(dataset: Dataset, table: ClassTable, labeled: Iterable[str]) -> Dataset:
    names, wanted = class_names(dataset), frozenset(labeled)
    return dataset if names == table.names and wanted >= set(names) else SomeClasses(dataset, table, wanted)


def _showing(dataset: Dataset, classes: Sequence[str]) -> tuple[int, ...]:
    """Positions of the images with an annotation of the classes that is no crowd."""
    truth = dataset.ground_truth()
    names = truth.classes.names
    wanted: IntArray = np.array([names.index(name) for name in classes], np.int64)
    rows = np.isin(truth.labels.class_ids, wanted) & ~truth.labels.iscrowd
    return tuple(np.unique(truth.image_index[rows]).tolist())


def _by_dataset(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Name of the first task -> all tasks of the same training images."""
    found: dict[int, list[Task]] = {}
    for task in tasks:
        found.setdefault(id(task.training), []).append(task)
    return {group[0].name: group for group in found.values()}


def _joined(parts: Mapping[str, Dataset]) -> Dataset:
    return next(iter(parts.values())) if len(parts) == 1 else Joined(dict(parts))


def _groups(sizes: Sequence[int], names: Sequence[str], dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Name -> classes of each group: ``classes-1-40``, ``classes-41-80``."""
    if sum(sizes) > len(names):
        raise OptionError(
            f"class_groups: {' + '.join(map(str, sizes))} classes, and {dataset.root} has {len(names)}",
            fix="write smaller groups",
        )
    ends = np.cumsum(sizes).tolist()
    return {
        f"classes-{end - size + 1}-{end}": tuple(names[end - size : end])
        for size, end in zip(sizes, ends, strict=True)
    }


def _known(source: TaskSource, names: Sequence[str]) -> tuple[str, ...]:
    for name in source.classes or ():
        if name not in names:
            raise OptionError(
                f"task {quoted(source.name)}: no class {quoted(name)} in {source.dataset}"
                f"{did_you_mean(name, names)}",
                fix=f"its classes are {listed(list(names), 20, quotes=False)}",
            )
    return tuple(source.classes or names)


def _open(source: TaskSource, setting: Setting, plugins: Plugins) -> tuple[Dataset, Dataset]:
    opener = partial(open_dataset, formats=installed_formats(plugins))
    settings = TrainSettings(
        dataset=source.dataset,
        split=source.split,
        val_dataset=source.val_dataset,
        val_split=source.val_split,
        max_images=setting.max_images,
    )
    training = open_training(settings, opener)
    validation = open_validation(settings, training, opener)
    if validation is None:
        raise OptionError(
            f"task {quoted(source.name)}: nothing to evaluate on: {training.root} has no other usual split "
            f"than {training.split or 'one'}",
            fix="name val_split or val_dataset; with the images of the training, numbers say what is "
            "remembered of these, not how well others are detected",
        )
    if setting.val_images is not None:
        validation = FirstImages(validation, setting.val_images)
    return training, validation
