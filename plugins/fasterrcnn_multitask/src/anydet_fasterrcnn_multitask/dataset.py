"""``BikePartsDataset``: COCO JSON with states for loops of one's own; ``anydet train`` does not need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anydet.data.coco.dataset import CocoDataset, open_file
from anydet.data.dataset.splits import UNSPLIT
from anydet.errors import DatasetError
from anydet.types import ByteImage

Target = dict[str, Tensor]
"""``boxes``, ``labels``, ``states``, ``image_id`` of one image."""
Loader = DataLoader[tuple[Any, Target]]
"""Its batches are what ``collate`` gives."""


class BikePartsDataset(Dataset[tuple[Any, Target]]):
    """Images with targets as torchvision's detectors take them, and states.

    A target has ``boxes`` (N, 4) float32 ``xyxy`` in pixels, ``labels`` (N,) int64 category ids (1..22, 0 is
    background), ``states`` (N,) int64, -1 where unknown, and ``image_id`` (1,) int64. Boxes without area are
    left out; an image without annotations has empty ones.

    Attributes:
        img_id_to_anns: id of an image -> its annotations (``id``, ``bbox``, ``category_id``, ``state``).
    """

    def __init__(
        self,
        json_path: Path | str,
        images_dir: Path | str,
        transforms: Callable[[ByteImage], Any] | None = None,
    ) -> None:
        """Read annotations.

        Args:
            json_path: COCO JSON, as ``convert_to_coco`` writes it.
            images_dir: folder of its images.
            transforms: makes (H, W, 3) uint8 RGB into what the model takes; ``to_tensor`` by default.

        Raises:
            DatasetError: the file is malformed, or the folder missing.
        """
        json_path, images_dir = Path(json_path), Path(images_dir)
        if not json_path.is_file() or not images_dir.is_dir():
            wrong = images_dir if json_path.is_file() else json_path
            raise DatasetError(f"{wrong}: not there", fix="run 'anydet fasterrcnn-multitask prepare' first")
        self._coco = open_file(json_path, root=json_path, split=UNSPLIT, images_dir=images_dir)
        self._transforms = transforms or to_tensor
        self.img_id_to_anns = _by_image(self._coco)
        self._ids = list(self.img_id_to_anns)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> tuple[Any, Target]:
        annotations = self.img_id_to_anns[self._ids[index]]
        boxes = torch.tensor([one["bbox"] for one in annotations], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target = {
            "boxes": boxes,
            "labels": torch.tensor([one["category_id"] for one in annotations], dtype=torch.int64),
            "states": torch.tensor([one["state"] for one in annotations], dtype=torch.int64),
            "image_id": torch.tensor([self._ids[index]]),
        }
        return self._transforms(self._coco[index].image()), target


def to_tensor(image: ByteImage) -> Tensor:
    """(3, H, W) float32 in [0, 1] of (H, W, 3) uint8, as torchvision's ``ToTensor`` gives it."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous().float().div(255)


def collate(batch: Sequence[tuple[Any, Target]]) -> tuple[tuple[Any, ...], tuple[Target, ...]]:
    """Images and targets of a batch, each as a tuple: images differ in size, and in what they show."""
    images, targets = zip(*batch, strict=True)
    return images, targets


def build_loaders(
    train: BikePartsDataset,
    val: BikePartsDataset,
    *,
    batch_size: int = 2,
    num_workers: int = 2,
    prefetch_factor: int = 2,
    pin_memory: bool | None = None,
    seed: int = 42,
) -> tuple[Loader, Loader]:
    """Loaders to train, in a new order each epoch, and to validate, in the order of the file.

    Args:
        train: what is trained on.
        val: what is validated on.
        batch_size: images a batch.
        num_workers: processes that read ahead; 0 reads in the loop.
        prefetch_factor: batches each of them reads ahead.
        pin_memory: page-locked batches; ``None`` means where there is CUDA.
        seed: of the order.
    """
    pin = torch.cuda.is_available() if pin_memory is None else pin_memory
    ahead = prefetch_factor if num_workers else None
    order = torch.Generator().manual_seed(seed)
    train_loader: Loader = DataLoader(
        train,
        batch_size,
        shuffle=True,
        generator=order,
        num_workers=num_workers,
        prefetch_factor=ahead,
        pin_memory=pin,
        collate_fn=collate,
    )
    val_loader: Loader = DataLoader(
        val,
        batch_size,
        num_workers=num_workers,
        prefetch_factor=ahead,
        pin_memory=pin,
        collate_fn=collate,
    )
    return train_loader, val_loader


def _by_image(coco: CocoDataset) -> dict[int, list[dict[str, Any]]]:
    """Annotations with area of each image, in the order of the file."""
    found: dict[int, list[dict[str, Any]]] = {}
    source_ids = coco.classes.source_ids if coco.classes else ()
    for record in coco:
        labels = record.labels
        assert labels is not None  # records of COCO have them
        states = [-1] * len(labels) if labels.states is None else labels.states.tolist()
        ids = [-1] * len(labels) if labels.annotation_ids is None else labels.annotation_ids.tolist()
        rows = zip(ids, labels.boxes_xywh_px.tolist(), labels.class_ids.tolist(), states, strict=True)
        found[record.extra["image_id"]] = [
            {"id": own, "bbox": box, "category_id": source_ids[class_id], "state": state}
            for own, box, class_id, state in rows
            if min(box[2:]) > 0
        ]
    return found
