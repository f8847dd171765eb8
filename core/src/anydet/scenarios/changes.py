"""Changes of images: light, occlusion, scale, rotation and the shaking of a hand. Plain data, with a seed.

What is drawn at random depends on the seed and the image's key alone, never on the order of images or on the
number of threads. Corruptions are those of ``anydet.data.corruptions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from anydet.data.record.chance import record_generator
from anydet.geometry.rotations import turn_by
from anydet.scenarios.warp import FILL, Warp
from anydet.types import ByteImage, FloatArray, Intrinsics, Labels, Size

_EXPOSURE_STEPS = 9
"""Images that are averaged to one with motion blur."""


class Change(Protocol):
    """A change of images, as a frozen dataclass: its ``repr`` says all that decides what comes out."""

    @property
    def moves(self) -> bool:
        """Whether pixels leave their places, so that labels have to follow."""

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> Warp | None:
        """How the image of a key is moved; ``None`` where it is not."""

    def image(self, image: ByteImage, key: str, labels: Labels, camera: Intrinsics | None) -> ByteImage:
        """(H, W, 3) uint8 changed image of the same size.

        Args:
            image: which is left as it is.
            key: of the record.
            labels: of the image.
            camera: of the image, or ``None``.
        """


class _Still:
    """Base of changes that leave pixels at their places."""

    __slots__ = ()
    moves: ClassVar[bool] = False

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> None:
        """None: nothing is moved."""


class _Moving:
    """Base of changes that move pixels, as their ``warp`` says."""

    __slots__ = ()
    moves: ClassVar[bool] = True

    def image(self, image: ByteImage, key: str, labels: Labels, camera: Intrinsics | None) -> ByteImage:
        """The image moved."""
        return self.warp(key, _size(image), camera).image(image)

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> Warp:
        """How the image of a key is moved."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class LowLight(_Still):
    """Less light: shot noise and read noise of a sensor, in linear light.

    With x the linear light of a pixel (sRGB decoded, IEC 61966-2-1), 1 at white::

        electrons = Poisson(light * white_electrons * x) + Normal(0, read_noise_electrons)
        y = sRGB(clip(gain * electrons / white_electrons, 0, 1))

    Source: Foi et al. 2008, "Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image
    Raw-Data". The three channels are taken for three sensors; what demosaicking and denoising of a camera
    make of the noise is not in it.

    Attributes:
        light: fraction of the light that is left.
        gain: what the signal is multiplied by; 1 / light makes images as bright as before, with the noise.
        white_electrons: that white in full light sets free in a pixel.
        read_noise_electrons: standard deviation of what reading adds.
        seed: of the noise.
    """

    light: float = 0.1
    gain: float = 1.0
    white_electrons: float = 2000.0
    read_noise_electrons: float = 5.0
    seed: int = 0

    def image(self, image: ByteImage, key: str, labels: Labels, camera: Intrinsics | None) -> ByteImage:
        """The image in less light."""
        rng = record_generator(self.seed, key)
        expected = self.light * self.white_electrons * _LINEAR[image]
        electrons = rng.poisson(expected) + rng.normal(0.0, self.read_noise_electrons, image.shape)
        linear: FloatArray = np.clip(self.gain * electrons / self.white_electrons, 0.0, 1.0)
        coded: ByteImage = np.rint(255 * _encode(linear)).astype(np.uint8)
        return coded


@dataclass(frozen=True, slots=True)
class Occlusion(_Still):
    """A gray patch over a part of each object that counts; labels stay.

    A patch has the proportions of the object's box and lies within it, at a random place. Its sides are
    rounded up to pixels, and patches of neighbors may cover more of an object.

    Source: Zhong et al. 2020, "Random Erasing Data Augmentation" (object-aware), in gray.

    Attributes:
        fraction: of each box that is covered.
        seed: of the places.
    """

    fraction: float = 0.3
    seed: int = 0

    def image(self, image: ByteImage, key: str, labels: Labels, camera: Intrinsics | None) -> ByteImage:
        """The image with patches."""
        rng = record_generator(self.seed, key)
        covered: ByteImage = image.copy()
        for (x, y, width, height), crowd in zip(labels.boxes_xywh_px, labels.iscrowd, strict=True):
            sides = np.sqrt(self.fraction) * np.array([width, height])
            # Drawn for crowds too, so that one of them does not move the patches of the objects behind it.
            left, top = np.array([x, y]) + rng.random(2) * (np.array([width, height]) - sides)
            if not crowd:
                first = np.maximum(np.floor([left, top]), 0).astype(int)
                last = np.ceil([left + sides[0], top + sides[1]]).astype(int)
                covered[first[1] : max(last[1], 0), first[0] : max(last[0], 0)] = FILL
        return covered


@dataclass(frozen=True, slots=True)
class Scale(_Moving):
    """A zoom: below 1, objects are smaller and a gray border appears; above 1, the border is cut off.

    The image keeps its size. Focal lengths change with it, so that poses stay what they are.

    Attributes:
        factor: of all lengths in the image.
    """

    factor: float = 0.5

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> Warp:
        """The same zoom for all images."""
        return Warp.zoomed(self.factor, camera, size_wh)


@dataclass(frozen=True, slots=True)
class Rotation(_Moving):
    """The camera turned around its axis: the image turns around the principal point, and R' = Rz R.

    Attributes:
        degrees: counterclockwise in the image.
    """

    degrees: float = 15.0

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> Warp:
        """The same turn for all images."""
        # y points down: what turns counterclockwise for the eye turns backwards around z.
        turn = turn_by(np.array([0.0, 0.0, -np.radians(self.degrees)]))
        return Warp.turned(turn, camera, size_wh)


@dataclass(frozen=True, slots=True)
class HandheldJitter(_Moving):
    """A camera in a hand: each image is seen by one that turned a little around its center.

    The hand's sideways motion is left out: what it does to an image depends on the depth of each point.

    Attributes:
        degrees: standard deviation of the turn around each of the three axes.
        exposure: fraction of the turn during which the shutter is open, which blurs; labels are those of the
            middle.
        seed: of the turns.
    """

    degrees: float = 1.0
    exposure: float = 0.0
    seed: int = 0

    def warp(self, key: str, size_wh: Size, camera: Intrinsics | None) -> Warp:
        """The turn of the image."""
        return Warp.turned(turn_by(self._vector_rad(key)), camera, size_wh)

    def image(self, image: ByteImage, key: str, labels: Labels, camera: Intrinsics | None) -> ByteImage:
        """The image as the turned camera sees it; with an exposure, the mean while it turns."""
        if not self.exposure:
            return self.warp(key, _size(image), camera).image(image)
        summed: FloatArray = np.zeros(image.shape)
        for part in np.linspace(-0.5, 0.5, _EXPOSURE_STEPS):
            turn = turn_by((1 + self.exposure * part) * self._vector_rad(key))
            summed += Warp.turned(turn, camera, _size(image)).image(image)
        blurred: ByteImage = np.rint(summed / _EXPOSURE_STEPS).astype(np.uint8)
        return blurred

    def _vector_rad(self, key: str) -> FloatArray:
        vector: FloatArray = record_generator(self.seed, key).normal(0.0, np.radians(self.degrees), 3)
        return vector


def _decode(coded: FloatArray) -> FloatArray:
    """Linear light of code values, both in [0, 1]: sRGB (IEC 61966-2-1)."""
    linear: FloatArray = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return linear


def _encode(linear: FloatArray) -> FloatArray:
    """Code values of linear light, both in [0, 1]: sRGB (IEC 61966-2-1)."""
    coded: FloatArray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return coded


_LINEAR = _decode(np.arange(256) / 255.0)
"""(256,) linear light of each byte."""


def _size(image: ByteImage) -> Size:
    return image.shape[1], image.shape[0]
