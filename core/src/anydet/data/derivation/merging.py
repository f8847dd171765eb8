"""Several data sets as one: classes are joined by name, and what they do not have in common is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anydet.data.dataset.joined import Joined
from anydet.data.dataset.kinds import annotation_kinds
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.some_classes import SomeClasses, class_names
from anydet.errors import DatasetError, OptionError
from anydet.text import counted, listed
from anydet.types import ClassTable, GroundTruthColumns


@dataclass(frozen=True, slots=True)
class Merged:
    """One data set of several.

    Attributes:
        dataset: their images, one data set after the other; classes are those of the first, then new ones.
        notes: a line for each thing that one has and another lacks, or that is numbered anew.
    """

    dataset: Dataset
    notes: tuple[str, ...]


def merge_datasets(datasets: Sequence[Dataset], prefixes: Sequence[str] = ()) -> Merged:
    """Images and annotations of all, in their order.

    Args:
        datasets: two or more, with names of their classes.
        prefixes: a folder for the keys of each; without them keys stay, and must differ.

    Raises:
        OptionError: there are not as many prefixes as data sets, or two are equal.
        DatasetError: an image name occurs in two of them, or names of states differ.
    """
    if prefixes and (len(prefixes) != len(datasets) or len(set(prefixes)) < len(prefixes)):
        raise OptionError(
            f"{len(prefixes)} prefixes ({listed(prefixes)}) for {counted(len(datasets), 'data set')}",
            fix="give each data set one of its own, in their order",
        )
    if not prefixes:
        _require_apart(datasets)
    truths = [dataset.ground_truth() for dataset in datasets]
    table, renumbered = union([_table(dataset) for dataset in datasets])
    views = [
        dataset if dataset.classes == table else SomeClasses(dataset, table, frozenset(class_names(dataset)))
        for dataset in datasets
    ]
    names = prefixes or _labels(datasets)
    joined = Joined(dict(zip(names, views, strict=True)), prefixed=bool(prefixes))
    notes = [*_differences(names, truths), *_numbered_anew(truths)]
    if renumbered:
        notes.append("category ids differ between them, and are numbered anew")
    return Merged(joined, tuple(notes))


def union(tables: Sequence[ClassTable]) -> tuple[ClassTable, bool]:
    """The classes of all by name, in the order in which they come, and whether their own ids are lost.

    Own ids stay where they are numbers, no class has two of them and no id two classes.
    """
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    pairs = {(name, own) for table in tables for name, own in zip(table.names, table.own_ids, strict=True)}
    ids = dict(pairs)
    if len(pairs) == len(names) == len(set(ids.values())):
        own = tuple(one for name in names if isinstance(one := ids[name], int))
        if len(own) == len(names):
            return ClassTable(names, own), False
    stated = any(table.own_ids != tuple(range(len(table))) for table in tables)
    return ClassTable(names), stated


def _table(dataset: Dataset) -> ClassTable:
    names = class_names(dataset)
    return dataset.classes or ClassTable(names)


def _labels(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """A name for each in messages: its folder and split, numbered where several are called so."""
    names = [f"{one.root.name or one.root}{f' ({one.split})' if one.split else ''}" for one in datasets]
    often = Counter(names)
    return tuple(name if often[name] == 1 else f"{at}: {name}" for at, name in enumerate(names, start=1))


def _require_apart(datasets: Sequence[Dataset]) -> None:
    """Raise ``DatasetError`` where two images would have one name."""
    owners: dict[str, int] = {}
    both = []
    for number, dataset in enumerate(datasets):
        for key in dataset.keys:
            if owners.setdefault(key, number) != number:
                both.append((key, owners[key], number))
    if both:
        key, first, second = both[0]
        raise DatasetError(
            f"{datasets[first].root} and {datasets[second].root} both have an image {key}"
            + (f" (and {len(both) - 1} more)" if len(both) > 1 else ""),
            fix=f"give the images of each a folder: --prefixes {','.join(_examples(len(datasets)))}",
        )


def _examples(count: int) -> Iterator[str]:
    return (chr(ord("a") + at) if at < 26 else f"p{at}" for at in range(count))


def _differences(names: Sequence[str], truths: Sequence[GroundTruthColumns]) -> Iterator[str]:
    """Kinds of annotations that one has and another, which has annotations, lacks."""
    columns = [annotation_kinds(truth.labels) for truth in truths]
    for kind in columns[0]:
        having = {name: column[kind] for name, column in zip(names, columns, strict=True)}
        lacking = [name for name, truth in zip(names, truths, strict=True) if len(truth) and not having[name]]
        if kind != "crowds" and lacking and any(having.values()):
            shown = ", ".join(f"{count} of {name}" for name, count in having.items() if count)
            yield f"{kind}: {shown}, none of {listed(lacking, quotes=False)}"
    yield from _keypoint_counts(names, truths)


def _keypoint_counts(names: Sequence[str], truths: Sequence[GroundTruthColumns]) -> Iterator[str]:
    points: Mapping[str, int] = {
        name: truth.labels.keypoints.shape[1]
        for name, truth in zip(names, truths, strict=True)
        if truth.labels.keypoints is not None
    }
    if len(set(points.values())) > 1:
        shown = ", ".join(f"{count} of {name}" for name, count in points.items())
        yield f"keypoints an object: {shown}; the rest of those with fewer are missing"


def _numbered_anew(truths: Sequence[GroundTruthColumns]) -> Iterator[str]:
    ids = [truth.image_ids for truth in truths if truth.image_ids is not None]
    if ids and (len(ids) < len(truths) or len(np.unique(np.concatenate(ids))) < sum(map(len, ids))):
        yield "image ids are not of all, or not apart, and are numbered anew"
