"""Finished detections mirrored by chance: a probe of what comes after the model, no augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anydet.columns import concatenate
from anydet.data.record.chance import record_generator
from anydet.data.record.transforms import HorizontalFlip
from anydet.dataclass import dataclass
from anydet.prediction.choices import Perturbation
from anydet.types import FloatArray, ImagePredictions, Intrinsics, Poses

PERTURBED = (
    "detections were mirrored by chance after they were predicted: a perturbation that probes robustness; "
    "it is no augmentation, and AP falls with it"
)


@dataclass(frozen=True, slots=True)
class RunningPerturbation:
    """A perturbation as it runs.

    Attributes:
        choices: what it was built from.
        keypoint_pairs: (left, right) positions of keypoints that swap names in the mirror.
    """

    choices: Perturbation
    keypoint_pairs: tuple[tuple[int, int], ...] = ()

    def apply(self, predictions: ImagePredictions) -> ImagePredictions:
        """The result with each detection mirrored left and right with probability ``flip_prob``.

        The choices depend on the seed, the image's key and the number of detections. Mirrored ones have
        ``mirrored: true`` in their free data. Order, scores, classes and states stay, and so does all that is
        said of the image. Image and camera are not mirrored, so that a mirrored detection keeps its depth and
        the camera's corrections, and has a translation only where the camera is stated; its rotation is
        missing, as the mirror image of an object is another object.
        """
        if not len(predictions):
            return predictions
        draws = record_generator(self.choices.seed, predictions.image).random(len(predictions))
        chosen = draws < self.choices.flip_prob
        # Beside the columns, what is said of the image as a whole is not the mirror's matter.
        rows = replace(predictions.take(chosen), semantic_mask=None)
        mirrored = HorizontalFlip(self.keypoint_pairs).undo(rows, predictions.size_wh)
        if self.choices.norm_only:
            mirrored = replace(mirrored, masks=rows.masks, poses=rows.poses)
        elif rows.poses is not None:
            mirrored = replace(mirrored, poses=_mirrored(rows.poses, predictions))
        order = np.arange(len(predictions))
        order[chosen] = len(predictions) + np.arange(len(rows))
        return concatenate([predictions, _marked(mirrored)]).take(order)


def _marked(rows: ImagePredictions) -> ImagePredictions:
    extra = rows.detection_extra or (None,) * len(rows)
    return replace(rows, detection_extra=tuple({**(one or {}), "mirrored": True} for one in extra))


def _mirrored(poses: Poses, predictions: ImagePredictions) -> Poses:
    """Poses of mirrored detections, seen by the camera that stays where it is."""
    offsets, places = poses.offsets_px, poses.translations_m
    width, camera = predictions.size_wh[0], predictions.intrinsics
    return replace(
        poses,
        rotations=None,
        rot6d=None,
        log_sigma_rot=None,
        offsets_px=None if offsets is None else offsets * np.array([-1.0, 1.0]),
        translations_m=None
        if places is None or camera is None
        else _moved(places, camera, width, poses.k_delta),
    )


def _moved(places: FloatArray, camera: Intrinsics, width: int, k_delta: FloatArray | None) -> FloatArray:
    """(N, 3) places at the same depth that the corrected camera sees at ``width - u`` instead of ``u``."""
    dfx, _, dcx, _ = (np.zeros((len(places), 4)) if k_delta is None else np.nan_to_num(k_delta)).T
    x, y, z = places.T
    return np.stack([(width - 2 * (camera.cx + dcx)) / (camera.fx * (1 + dfx)) * z - x, y, z], axis=1)
