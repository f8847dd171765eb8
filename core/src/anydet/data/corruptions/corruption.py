"""``Corruption``: one of the 15 at a severity, with the seed of its random choices; plain data.

The corruptions are those of ImageNet-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations", ICLR 2019), as the benchmark of object detectors has them (Michaelis et
al., "Benchmarking Robustness in Object Detection: Autonomous Driving when Winter is Coming", 2019). Given the
same random numbers they equal the package ``imagecorruptions-imaug`` but for last bits; ``impulse_noise`` and
``glass_blur``, which draw theirs in another way, have the same distribution.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from anydet.dataclass import dataclass
from anydet.errors import OptionError, did_you_mean
from anydet.text import quoted
from anydet.types import ByteImage

GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""Names by group, which is the module that has the functions."""
NAMES = tuple(name for names in GROUPS.values() for name in names)
SEVERITIES = (1, 2, 3, 4, 5)
PREFIX = "corruption:"
"""Begins the name of a corrupted data set: ``corruption:fog:3:PATH``."""
LEAST_SIDE_PX = 32
"""Smaller images are corrupted as parts of mirrored ones of this side: the kernels are made for it."""
_SEED = re.compile(r"seed=(\d+)")


@dataclass(frozen=True, slots=True)
class Corruption:
    """What is done to the images of a data set.

    Attributes:
        name: one of ``NAMES``.
        severity: 1 to 5.
        seed: of the random choices, which depend on the image's key, the name and the severity too.
    """

    name: str
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise OptionError(
                f"no corruption called {quoted(self.name)}{did_you_mean(self.name, NAMES)}",
                fix=f"name one of {', '.join(NAMES)}",
            )
        if self.severity not in SEVERITIES:
            raise OptionError(
                f"severity {self.severity} of {self.name} is not 1 to 5", fix="give 1, 2, 3, 4 or 5"
            )

    def __str__(self) -> str:
        return f"{self.name}:{self.severity}" + (f":seed={self.seed}" if self.seed else "")

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"name": self.name, "severity": self.severity, "seed": self.seed}

    def apply(self, image: ByteImage, key: str) -> ByteImage:
        """The corrupted image of a record.

        Args:
            image: (H, W, 3) uint8 RGB of any size, which is left as it is.
            key: of the record.
        """
        import hashlib

        import numpy as np

        choice = f"{self.name}:{self.severity}:{key}".encode("utf-8", "surrogateescape")
        drawn = int.from_bytes(hashlib.sha256(choice).digest()[:16], "little")
        return corrupt(image, self.name, self.severity, np.random.default_rng([self.seed, drawn]))


def corrupt(image: ByteImage, name: str, severity: int, rng: Any) -> ByteImage:
    """An image corrupted with random numbers of a generator.

    An image below 32 pixels is made larger by its mirror image to the right and below, and cut back; the
    originals refuse it.

    Args:
        image: (H, W, 3) uint8 RGB, which is left as it is.
        name: one of ``NAMES``.
        severity: 1 to 5.
        rng: a ``numpy.random.Generator``.
    """
    import numpy as np

    Corruption(name, severity)  # refuses what there is not
    group = next(group for group, names in GROUPS.items() if name in names)
    function = getattr(import_module(f"anydet.data.corruptions.{group}"), name)
    height, width = image.shape[:2]
    missing = [(0, max(0, LEAST_SIDE_PX - side)) for side in (height, width)]
    if any(after for _, after in missing):
        image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
    corrupted: ByteImage = np.ascontiguousarray(function(image, severity, rng)[:height, :width])
    return corrupted


def parse_corruption(text: str) -> Corruption:
    """``fog:3`` or ``fog:3:seed=7``; raises ``OptionError``."""
    corruption, rest = _parse(text)
    if rest:
        raise OptionError(
            f"{quoted(text)} is not a corruption: {quoted(rest)} is too much", fix="write it like fog:3"
        )
    return corruption


def split_path(path: Path | str) -> tuple[Corruption | None, Path]:
    """What the name of a data set asks for: ``corruption:fog:3:PATH``, or a path alone.

    Raises ``OptionError`` where a name begins so and has no corruption, severity or path.
    """
    text = str(path)
    # What exists is what is meant, whatever its name.
    if not text.startswith(PREFIX) or Path(path).exists():
        return None, Path(path)
    corruption, rest = _parse(text.removeprefix(PREFIX))
    if not rest:
        raise OptionError(
            f"{text}: names no data set", fix=f"write the data set behind it: {PREFIX}{corruption}:PATH"
        )
    return corruption, Path(rest)


def _parse(text: str) -> tuple[Corruption, str]:
    """The corruption that a text begins with, and what follows."""
    name, _, rest = text.partition(":")
    severity, _, rest = rest.partition(":")
    if not re.fullmatch(r"-?\d+", severity):
        Corruption(name, SEVERITIES[0])  # an unknown name is the worse mistake
        raise OptionError(
            f"{quoted(text)}: expected a severity after {quoted(name)}, got {quoted(severity)}",
            fix=f"write {name}:3",
        )
    first, _, behind = rest.partition(":")
    seed = _SEED.fullmatch(first)
    if seed is None and first.startswith("seed="):
        raise OptionError(
            f"{quoted(text)}: the seed {quoted(first.removeprefix('seed='))} is not a whole number from 0",
            fix=f"write {name}:{severity}:seed=7",
        )
    if seed is None:
        return Corruption(name, int(severity)), rest
    return Corruption(name, int(severity), int(seed[1])), behind


def choose_names(names: Sequence[str]) -> tuple[str, ...]:
    """Corruptions in their usual order, by name, by group, or ``all``; raises ``OptionError``."""
    chosen: set[str] = set()
    for name in names:
        if name not in (*NAMES, *GROUPS, "all"):
            known = ("all", *GROUPS, *NAMES)
            raise OptionError(
                f"no corruption called {quoted(name)}{did_you_mean(name, known)}",
                fix=f"name some of {', '.join(known)}",
            )
        chosen.update(NAMES if name == "all" else GROUPS.get(name, (name,)))
    return tuple(name for name in NAMES if name in chosen)
