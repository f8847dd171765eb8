"""What methods need to know of the source data: feature statistics and Fisher information, in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import roi_align

from anydet.adaptation.ttt.entropy import confident_rows, probabilities
from anydet.data.dataset.protocols import Dataset
from anydet.errors import AnydetError, OptionError
from anydet.outputs import new_file
from anydet.plugins.adapter import Adapter, ClassLogits
from anydet.prediction.meta import checkpoint_sha256

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT = 1
_HOW = "write it with 'anydet ttt-statistics'"


class StatisticsError(AnydetError):
    """A file of source statistics cannot be read, or is not of this model."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and variance of features.

    Attributes:
        mean: (C,), or (K, C) with a row for each class.
        variance: (C,), of single images or objects.
    """

    mean: Tensor
    variance: Tensor

    def divergence(self, mean: Tensor) -> Tensor:
        """(...,) KL divergence of normal distributions with this variance and two means, by channel.

        Half the squared distance in standard deviations, averaged over the channels: Yoo et al. 2024, "What,
        How, and When Should Object Detectors Update in Continually Changing Test Domains?", with a diagonal
        covariance.
        """
        eps = 1e-3 * self.variance.mean() + 1e-12
        distance: Tensor = (mean - self.mean).square() / (self.variance + eps)
        return 0.5 * distance.mean(-1)


@dataclass(frozen=True, slots=True, eq=False)
class SourceStatistics:
    """Statistics of images like those that a model was trained on.

    Attributes:
        images: level -> moments of the mean features of images.
        objects: moments of the mean features of objects, a row for each class; ``None`` where the model's
            rows have no boxes.
        counts: (K,) number of objects of each class.
        gap: mean divergence of batches of source images from ``images``: what is no shift.
        fisher: name -> diagonal of the Fisher information of a parameter of a norm.
        about: adapter, digest of the checkpoint, fingerprint of the data set, number of images.
    """

    images: Mapping[str, Moments]
    objects: Moments | None
    counts: Tensor
    gap: float
    fisher: Mapping[str, Tensor]
    about: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write a ``.npz`` file, which holds arrays and no code."""
        arrays: dict[str, Any] = {
            "about": np.frombuffer(json.dumps({**self.about, "format": FORMAT}).encode(), np.uint8),
            "gap": np.float64(self.gap),
            "counts": _array(self.counts),
        }
        for level, moments in self.images.items():
            arrays[f"image_mean/{level}"] = _array(moments.mean)
            arrays[f"image_variance/{level}"] = _array(moments.variance)
        if self.objects is not None:
            arrays["object_mean"] = _array(self.objects.mean)
            arrays["object_variance"] = _array(self.objects.variance)
        arrays.update({f"fisher/{name}": _array(values) for name, values in self.fisher.items()})
        with new_file(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read what ``write`` wrote; raises ``StatisticsError`` where it is not that."""
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(np.array(file[name])) for name in file.files}
            about = json.loads(bytes(arrays.pop("about").numpy()).decode())
            if about.pop("format") != FORMAT:
                raise StatisticsError(f"{path}: statistics of another version of anydet", fix=_HOW)
            objects = None
            if "object_mean" in arrays:
                objects = Moments(arrays["object_mean"], arrays["object_variance"])
            return cls(
                {
                    level: Moments(values, arrays[f"image_variance/{level}"])
                    for level, values in _below("image_mean/", arrays).items()
                },
                objects,
                arrays["counts"],
                float(arrays["gap"]),
                _below("fisher/", arrays),
                about,
            )
        except FileNotFoundError as exc:
            raise StatisticsError(f"{path}: no such file", fix=_HOW) from exc
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, TypeError, AttributeError) as exc:
            raise StatisticsError(f"{path}: not a file of source statistics", fix=_HOW) from exc

    def on(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(
            {level: Moments(m.mean.to(device), m.variance.to(device)) for level, m in self.images.items()},
            self.objects and Moments(self.objects.mean.to(device), self.objects.variance.to(device)),
            self.counts.to(device),
            self.gap,
            {name: values.to(device) for name, values in self.fisher.items()},
            self.about,
        )

    def require_written_for(self, adapter: Adapter, source: str) -> None:
        """Raise ``StatisticsError`` where the adapter's weights are others than these are of."""
        if "checkpoint_sha256" not in self.about:
            return
        own = checkpoint_sha256(adapter.settings.checkpoint)
        if self.about["checkpoint_sha256"] != own:
            raise StatisticsError(
                f"{source}: statistics of another checkpoint than {adapter.settings.checkpoint}",
                fix="write them with the same adapter and checkpoint: 'anydet ttt-statistics'",
            )

    def require_of(self, found: Mapping[str, Tensor], source: str) -> None:
        """Raise ``StatisticsError`` where the features of a model are others than these are of."""
        shapes = {level: len(moments.mean) for level, moments in self.images.items()}
        there = {level: values.shape[1] for level, values in found.items()}
        if shapes != there:
            raise StatisticsError(
                f"{source}: statistics of another model: its levels are {_levels(shapes)}, those of this "
                f"model {_levels(there)}",
                fix="write them with the same adapter and checkpoint: 'anydet ttt-statistics'",
            )


def collect_statistics(
    adapter: Adapter,
    dataset: Dataset,
    *,
    images: int,
    batch_size: int = 8,
    confidence: float = 0.3,
    fisher_of: Mapping[str, torch.nn.Parameter] | None = None,
    progress: Callable[[int], None] = lambda _images: None,
    about: Mapping[str, Any] | None = None,
) -> SourceStatistics:
    """Statistics of the first images of a data set; the model stays as it is.

    Args:
        adapter: with ``features``; with ``class_logits`` too, objects and Fisher information are collected.
        dataset: images like those that the model was trained on; labels are not used.
        images: the first so many.
        batch_size: images of a batch, also of those that ``gap`` is measured on.
        confidence: probability from which a row is an object.
        fisher_of: name -> parameter that Fisher information is wanted of.
        progress: called with the number of images of each batch.
        about: what the file shall say of their origin.

    Raises ``OptionError`` where there are fewer than two images.
    """
    if min(images, len(dataset)) < 2:
        raise OptionError(
            f"{counted_images(min(images, len(dataset)))} to take statistics of", fix="give two or more"
        )
    pooled: dict[str, list[Tensor]] = {}
    objects: list[Tensor] = []
    classes: list[Tensor] = []
    parameters = fisher_of or {}
    fisher = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    records = (dataset[i] for i in range(min(images, len(dataset))))
    with _differentiable(parameters.values()):
        while chunk := list(islice(records, batch_size)):
            for batch in adapter.build_loader(chunk, batch_size=len(chunk)):
                with torch.no_grad():
                    levels = adapter.features(batch)
                    for level, values in levels.items():
                        pooled.setdefault(level, []).append(image_features(values))
                    rows = class_logits_of(adapter, batch)
                    if rows is not None and rows.boxes is not None:
                        found, ids = object_features(object_level(levels), rows, batch, confidence)
                        objects.append(found)
                        classes.append(ids)
                if fisher:
                    _add_fisher(fisher, parameters, adapter, batch, confidence)
            progress(len(chunk))
    moments = {level: _moments(torch.cat(values)) for level, values in pooled.items()}
    table = adapter.classes
    count = len(table) if table is not None else 0
    return SourceStatistics(
        moments,
        *_object_moments(objects, classes, count),
        _gap(moments, {level: torch.cat(values) for level, values in pooled.items()}, batch_size),
        {name: values / images for name, values in fisher.items()},
        about or {},
    )


@contextmanager
def _differentiable(parameters: Iterable[torch.nn.Parameter]) -> Iterator[None]:
    """Gradients of these parameters, also where training had frozen them."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def counted_images(count: int) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} image" + "s" * (count != 1)


def image_features(level: Tensor) -> Tensor:
    """(B, C) mean features of images, of a level (B, C, h, w)."""
    return level.float().mean(dim=(2, 3))


def object_level(levels: Mapping[str, Tensor]) -> Tensor:
    """The level that features of objects are taken of: the finest of the neck, else of the backbone."""
    return next(
        (values for name, values in levels.items() if name.startswith("neck.")), next(iter(levels.values()))
    )


def object_features(
    level: Tensor, rows: ClassLogits, batch: Tensor, confidence: float
) -> tuple[Tensor, Tensor]:
    """(R, C) mean features of confident objects, and (R,) their classes.

    Args:
        level: (B, C, h, w) features, differentiable.
        rows: with boxes in pixels of the batch.
        batch: (B, 3, H, W) inputs.
        confidence: lowest probability of an object.
    """
    scores = probabilities(rows).detach()
    columns = [c for c in range(scores.shape[2]) if c != rows.background]
    best, ids = scores[..., columns].max(-1)
    chosen = rows.valid & (best >= confidence)
    boxes = rows.boxes.detach().float()
    image, _ = chosen.nonzero(as_tuple=True)
    regions = torch.cat([image[:, None].to(boxes.dtype), boxes[chosen]], dim=1)
    scale = level.shape[3] / batch.shape[3]
    pooled: Tensor = roi_align(level.float(), regions, 3, spatial_scale=scale, sampling_ratio=2, aligned=True)
    return pooled.mean(dim=(2, 3)), ids[chosen]


def class_logits_of(adapter: Adapter, batch: Tensor) -> ClassLogits | None:
    """Its class logits, or ``None`` where the adapter has none."""
    if adapter.spec is not None and "ttt" not in adapter.spec.capabilities:
        return None
    return adapter.class_logits(batch)


def class_means(features: Tensor, ids: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(K, C) mean features of each class, and (K,) number of objects; 0 where there is none."""
    numbers = torch.bincount(ids, minlength=count)
    total = features.new_zeros((count, features.shape[1])).index_add(0, ids, features)
    return total / numbers.clamp(min=1)[:, None], numbers


def _object_moments(
    objects: Sequence[Tensor], classes: Sequence[Tensor], count: int
) -> tuple[Moments | None, Tensor]:
    if not objects or not sum(map(len, objects)):
        return None, torch.zeros(count, dtype=torch.int64)
    features, ids = torch.cat(list(objects)), torch.cat(list(classes))
    means, numbers = class_means(features, ids, count)
    # One variance for all classes, around each class's mean: of rare ones there are too few.
    return Moments(means, (features - means[ids]).square().mean(0)), numbers


def _moments(values: Tensor) -> Moments:
    variance, mean = torch.var_mean(values, dim=0)
    return Moments(mean, variance)


def _gap(moments: Mapping[str, Moments], values: Mapping[str, Tensor], batch_size: int) -> float:
    """Mean divergence of batches from all images, averaged over levels."""
    levels = [
        torch.stack(
            [moments[level].divergence(batch.mean(0)) for batch in torch.split(rows, batch_size)]
        ).mean()
        for level, rows in values.items()
    ]
    return float(torch.stack(levels).mean())


def _add_fisher(
    fisher: Mapping[str, Tensor],
    parameters: Mapping[str, torch.nn.Parameter],
    adapter: Adapter,
    batch: Tensor,
    confidence: float,
) -> None:
    """Add squared gradients of the entropy of each image, as EATA does."""
    for i in range(len(batch)):
        rows = confident_rows(adapter.class_logits(batch[i : i + 1]), confidence)
        if not len(rows):
            continue
        gradients = torch.autograd.grad(rows.mean(), list(parameters.values()), allow_unused=True)
        for values, gradient in zip(fisher.values(), gradients, strict=True):
            if gradient is not None:
                values.add_(gradient.detach().square())


def _below(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _levels(shapes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({channels} channels)" for name, channels in shapes.items())


def _array(values: Tensor) -> Any:
    return values.detach().cpu().numpy()
