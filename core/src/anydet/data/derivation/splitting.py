"""Parts and samples of a data set, the same for the same seed wherever and whenever they are drawn.

Without stratification an image goes where a hash of its group's name and the seed says: no other image has a
part in it, so that images that are added move none. Stratified parts follow Sechidis et al. 2011 ("On the
Stratification of Multi-Label Data", algorithm 1), which looks at all images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anydet.data.dataset.base import SomeImages
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.chance import record_chance
from anydet.errors import DatasetError, OptionError
from anydet.text import counted, quoted
from anydet.types import FloatArray, GroundTruthColumns, IntArray

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Parts:
    """A data set in parts.

    Attributes:
        datasets: name of a part -> its images, in the order of the data set.
        groups: how many groups of images there are.
        alone: how many images are in no group, and groups of their own.
    """

    datasets: Mapping[str, Dataset]
    groups: int
    alone: int


def read_parts(text: str) -> dict[str, float]:
    """``train=0.8,val=0.2`` as name -> fraction; raises ``OptionError`` where they do not sum to 1."""
    parts: dict[str, float] = {}
    for one in text.split(","):
        name, _, fraction = (word.strip() for word in one.partition("="))
        try:
            value = float(fraction)
        except ValueError:
            value = 0.0
        if not re.fullmatch(r"[\w.-]+", name) or set(name) == {"."} or not 0 < value <= 1 or name in parts:
            raise OptionError(
                f"parts {quoted(text)}: {quoted(one)} is not a name of its own and a fraction above 0",
                fix="give them like train=0.8,val=0.1,test=0.1",
            )
        parts[name] = value
    if abs(sum(parts.values()) - 1) > _TOLERANCE:
        raise OptionError(
            f"parts {quoted(text)}: the fractions sum to {sum(parts.values()):g}, not to 1",
            fix="give them like train=0.8,val=0.1,test=0.1",
        )
    return parts


def split_dataset(
    dataset: Dataset,
    parts: Mapping[str, float],
    *,
    seed: int = 0,
    stratify: bool = False,
    group_by: str | None = None,
) -> Parts:
    """A partition of the images; a group is in one part.

    Args:
        dataset: what is taken apart.
        parts: name -> fraction, which sum to 1.
        seed: of the choice.
        stratify: give each part its fraction of the images that show each class, and of those without any.
        group_by: ``folder``, or a regular expression that is searched in keys: images that agree in what its
            groups, or else all of it, match stay together; an image that it does not match is by itself.

    Raises:
        OptionError: it is no regular expression.
        DatasetError: a part gets no image.
    """
    names, alone = groups_of(dataset.keys, group_by)
    groups = {name: number for number, name in enumerate(dict.fromkeys(names))}
    of_image = np.array([groups[name] for name in names], np.int64)
    chances = np.array([record_chance(seed, name, "split") for name in groups])
    fractions = np.array(list(parts.values()))
    if stratify:
        part_of_group = _stratified(dataset.ground_truth(), of_image, fractions, chances)
    else:
        part_of_group = np.searchsorted(np.cumsum(fractions)[:-1], chances, side="right")
    chosen = part_of_group[of_image]
    places = [np.flatnonzero(chosen == number) for number in range(len(parts))]
    _require_images(dataset, dict(zip(parts, places, strict=True)), len(groups), stratify)
    found = {name: SomeImages(dataset, tuple(at.tolist())) for name, at in zip(parts, places, strict=True)}
    return Parts(found, len(groups), alone)


def sample_dataset(dataset: Dataset, images: int, *, seed: int = 0) -> Dataset:
    """So many images, in the order of the data set: those with the smallest hashes of seed and key.

    A larger sample of the same seed holds a smaller one. Raises ``OptionError`` where there are too few.
    """
    if images > len(dataset):
        raise OptionError(
            f"{dataset.root}: {counted(len(dataset), 'image')}, fewer than the {images} asked for",
            fix=f"ask for {len(dataset)} at most",
        )
    chances = np.array([record_chance(seed, key, "sample") for key in dataset.keys])
    chosen = np.sort(np.argsort(chances, kind="stable")[:images])
    return SomeImages(dataset, tuple(chosen.tolist()))


def groups_of(keys: Sequence[str], group_by: str | None) -> tuple[list[str], int]:
    """The group of each key, and how many keys are a group by themselves because nothing matches."""
    if group_by is None:
        return list(keys), 0
    if group_by == "folder":
        return [key.rpartition("/")[0] for key in keys], 0
    try:
        pattern = re.compile(group_by)
    except re.error as exc:
        raise OptionError(
            f"--group-by {quoted(group_by)} is no regular expression: {exc}",
            fix="give folder, or an expression such as '^[^_]+'",
        ) from exc
    found = [pattern.search(key) for key in keys]
    # A line break is in no key, so that an image by itself fractions its name with no group.
    names = [
        f"\n{key}" if match is None else "\n".join(str(one) for one in match.groups() or (match[0],))
        for key, match in zip(keys, found, strict=True)
    ]
    return names, sum(match is None for match in found)


def _require_images(dataset: Dataset, places: Mapping[str, IntArray], groups: int, stratified: bool) -> None:
    empty = [name for name, at in places.items() if not len(at)]
    if empty:
        what = counted(len(dataset), "image") + (f" in {groups} groups" if groups < len(dataset) else "")
        fewer = groups < len(places)
        raise DatasetError(
            f"{dataset.root}: no image of {what} falls into part {empty[0]!r}",
            fix="name fewer parts"
            if fewer
            else "give another --seed or a larger fraction"
            + ("" if stratified else ", or add --stratify, which keeps to the fractions"),
        )


def _stratified(
    truth: GroundTruthColumns, group_of_image: IntArray, fractions: FloatArray, chances: FloatArray
) -> IntArray:
    """(G,) part of each group: the rarest class first, each of its groups where most of it is missing."""
    groups, classes, images = _occurrences(truth, group_of_image, len(chances))
    starts = np.searchsorted(groups, np.arange(len(chances) + 1))
    by_class = np.argsort(classes, kind="stable")
    ends = np.cumsum(np.bincount(classes, minlength=classes.max(initial=-1) + 1))
    sizes = np.bincount(group_of_image, minlength=len(chances)).astype(np.float64)
    left: FloatArray = np.bincount(classes, weights=images, minlength=len(ends)).astype(np.float64)
    wanted, room = np.outer(fractions, left), fractions * sizes.sum()
    part = np.full(len(chances), -1, np.int64)
    while (left > 0).any():
        rarest = int(np.argmin(np.where(left > 0, left, np.inf)))
        rows = by_class[ends[rarest - 1] if rarest else 0 : ends[rarest]]
        rows = rows[part[groups[rows]] < 0]
        # Large groups first: what is small can still even out what they leave.
        for row in rows[np.lexsort((chances[groups[rows]], -images[rows]))].tolist():
            group = int(groups[row])
            best = np.flatnonzero(wanted[:, rarest] == wanted[:, rarest].max())
            chosen = int(best[np.argmax(room[best])])
            own = slice(starts[group], starts[group + 1])
            wanted[chosen, classes[own]] -= images[own]
            room[chosen] -= sizes[group]
            left[classes[own]] -= images[own]
            part[group] = chosen
        left[rarest] = 0
    return part


def _occurrences(
    truth: GroundTruthColumns, group_of_image: IntArray, groups: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Group, class and number of images, by group; images without objects have a class of their own."""
    none = len(truth.classes)
    empty = np.setdiff1d(np.arange(len(group_of_image)), truth.image_index)
    index = np.concatenate([truth.image_index, empty])
    ids = np.concatenate([truth.labels.class_ids, np.full(len(empty), none, np.int64)])
    # Once an image, however many objects of the class it shows.
    pairs = np.unique(index * (none + 1) + ids)
    joint, counts = np.unique(
        group_of_image[pairs // (none + 1)] * (none + 1) + pairs % (none + 1), return_counts=True
    )
    return joint // (none + 1), joint % (none + 1), counts.astype(np.float64)
