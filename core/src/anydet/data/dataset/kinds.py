"""What annotations have beside boxes."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from anydet.types import BoolArray, Labels


def annotation_kinds(labels: Labels) -> dict[str, int]:
    """How many annotations have each kind of thing; zeros, too."""
    points, states = labels.keypoints, labels.states
    segmentations = labels.segmentations
    return {
        "masks": 0 if segmentations is None else sum(one is not None for one in segmentations),
        "keypoints": 0 if points is None else int(np.isfinite(points).any(axis=(1, 2)).sum()),
        "states": 0 if states is None else int((states >= 0).sum()),
        "poses": int(posed(labels).sum()),
        "crowds": int(labels.iscrowd.sum()),
    }


def posed(labels: Labels) -> BoolArray:
    """(N,) which rows have any field of a pose."""
    found = np.zeros(len(labels), np.bool_)
    for field in fields(labels.poses) if labels.poses is not None and len(labels) else ():
        column = getattr(labels.poses, field.name)
        if column is not None:
            found |= np.isfinite(column.reshape(len(labels), -1)).any(axis=1)
    return found
