"""``Augmentation``: random changes of training samples, by the engine's settings.

Every random number comes from the generator that is handed in; torchvision only computes pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torchvision.transforms.v2 import functional

from anydet.training.batches.mosaic import Mosaic
from anydet.training.batches.sample import Sample
from anydet.training.batches.transforms import hflip, place_at_random, resize, scaled_wh
from anydet.training.config.settings import TrainSettings

_SMALLEST_WINDOW = 0.5
_HUE_FRACTION = 0.1


class Step(Protocol):
    """One random change. Implementations are frozen and picklable."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample; the one given stays as it is."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Left and right swapped; see ``hflip``.

    Attributes:
        prob: probability for each sample.
        keypoint_pairs: (left, right) positions of keypoints that swap names in the mirror.
    """

    prob: float
    keypoint_pairs: Sequence[tuple[int, int]] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Mirrored, or the sample itself."""
        return hflip(sample, self.keypoint_pairs) if rng.random() < self.prob else sample


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast and saturation times 1 +- ``strength``, hue turned, in random order.

    Attributes:
        strength: in [0, 1); hue turns by up to a tenth of it, in turns.
    """

    strength: float

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Other colors, the same labels."""
        low, high = 1 - self.strength, 1 + self.strength
        changes = [
            (functional.adjust_brightness, rng.uniform(low, high)),
            (functional.adjust_contrast, rng.uniform(low, high)),
            (functional.adjust_saturation, rng.uniform(low, high)),
            (functional.adjust_hue, rng.uniform(-self.strength, self.strength) * _HUE_FRACTION),
        ]
        image = sample.image
        for position in rng.permutation(len(changes)).tolist():
            change, amount = changes[position]
            image = change(image, amount)
        return replace(sample, image=image)


@dataclass(frozen=True, slots=True)
class ScaleJitter:
    """Scaled on a canvas of the sample's own size: cut at random where larger, in gray margins where smaller.

    Attributes:
        strength: the scale is between 1 / (1 + strength) and 1 + strength, even in its logarithm.
    """

    strength: float

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Larger or smaller; objects that are cut away are dropped as by ``crop``."""
        # Even in the logarithm: doubling and halving are equally likely.
        limit = math.log1p(self.strength)
        scaled = resize(sample, scaled_wh(sample.size_wh, math.exp(rng.uniform(-limit, limit))))
        return place_at_random(scaled, sample.size_wh, rng)


@dataclass(frozen=True, slots=True)
class Crop:
    """A random window, each side between half and all of the sample's.

    Attributes:
        prob: probability for each sample.
    """

    prob: float

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The window, without objects that are cut away, or the sample itself."""
        if rng.random() >= self.prob:
            return sample
        width, height = (max(1, round(side * rng.uniform(_SMALLEST_WINDOW, 1))) for side in sample.size_wh)
        return place_at_random(sample, (width, height), rng)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """All changes, one after the other.

    Attributes:
        steps: in this order.
        mosaic: comes before them, or ``None``.
    """

    steps: tuple[Step, ...] = ()
    mosaic: Mosaic | None = None

    @classmethod
    def from_settings(
        cls, settings: TrainSettings, keypoint_pairs: Sequence[tuple[int, int]] = ()
    ) -> Augmentation:
        """What ``mosaic_prob``, ``scale_jitter``, ``crop_prob``, ``hflip_prob`` and ``color_jitter`` ask for.

        Args:
            settings: those that are 0 leave no step.
            keypoint_pairs: (left, right) positions of keypoints that swap names in the mirror.
        """
        chosen: list[tuple[float, Step]] = [
            (settings.scale_jitter, ScaleJitter(settings.scale_jitter)),
            (settings.crop_prob, Crop(settings.crop_prob)),
            (settings.hflip_prob, Flip(settings.hflip_prob, tuple(keypoint_pairs))),
            (settings.color_jitter, ColorJitter(settings.color_jitter)),
        ]
        return cls(
            steps=tuple(step for amount, step in chosen if amount > 0),
            mosaic=Mosaic(settings.mosaic_prob) if settings.mosaic_prob > 0 else None,
        )

    def __call__(
        self, sample: Sample, rng: np.random.Generator, draw: Callable[[np.random.Generator], Sample]
    ) -> Sample:
        """The changed sample.

        Args:
            sample: stays as it is.
            rng: generator of every random choice.
            draw: another sample of the same data set, chosen by the generator it is given.

        Raises:
            OptionError: there is a mosaic and a sample has poses.
        """
        if self.mosaic is not None:
            sample = self.mosaic(sample, rng, draw)
        for step in self.steps:
            sample = step(sample, rng)
        return sample
