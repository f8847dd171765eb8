"""``LibraryModel``: a model of the library, with what the engine asks of one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from anydet.errors import TrainingError, UnsupportedError
from anydet.plugins.adapter import ClassLogits
from anydet.training.model import NamedRows, TorchModel
from anydet_transformers.about import NAME, About
from anydet_transformers.catalog import model_class
from anydet_transformers.quiet import quiet

_BACKBONES = (
    "model.backbone",
    "model.conv_encoder",
    "model.pixel_level_module.encoder",
    "vit",
    "vision_backbone",
    "owlvit.vision_model",
    "owlv2.vision_model",
    "detr.model.backbone",
    "model.model.backbone",
)
"""Where architectures have what turns pixels into features."""
_NECK = (
    "encoder",
    "input_projection",
    "encoder_input_proj",
    "decoder_input_proj",
    "pixel_level_module.decoder",
)
"""How names of modules end that are between backbone and queries."""
_PROPOSALS = ("enc_score_head", "enc_out_class_embed.0")
"""How names of modules end that give the scores by which an encoder's places become queries."""


class LibraryModel(TorchModel):
    """A model of the library under ``detector``.

    Args:
        about: what is built, with random weights.
    """

    def __init__(self, about: About) -> None:
        super().__init__()
        self.about = about
        self.kind, library_class = model_class(about.library_config(), source=NAME)
        with quiet():
            self.detector: nn.Module = library_class(about.library_config())
        self._features_of = self._chosen_features()

    def forward(self, pixel_values: Tensor, **inputs: Any) -> Any:
        """The library's outputs for (B, 3, H, W) images; masks of pixels only where the model takes them."""
        if "pixel_mask" in inputs and not self.takes_pixel_mask:
            inputs.pop("pixel_mask")
        return self.detector(pixel_values=pixel_values, **inputs)

    @cached_property
    def takes_pixel_mask(self) -> bool:
        """Whether padding of an image may be told apart from it."""
        return "pixel_mask" in inspect.signature(self.detector.forward).parameters

    @cached_property
    def takes_mask_labels(self) -> bool:
        """Whether masks to learn are arguments of their own, and not among ``labels``."""
        return "mask_labels" in inspect.signature(self.detector.forward).parameters

    def features(self, images: Tensor) -> Mapping[str, Tensor]:
        """Maps of the backbone, ``backbone.0`` the first; nothing behind it runs.

        Where the library lets no weight of the backbone learn (DETR), maps of what projects them: ``neck.0``.
        Raises ``UnsupportedError`` where the model has no module that is a backbone.
        """
        if self._features_of is None:
            raise UnsupportedError(f"{NAME} ({type(self.detector).__name__})", "features of a backbone")
        group, name = self._features_of
        found: list[Any] = []

        def stop(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
            found.append(outputs)
            raise _Done

        handle = self.get_submodule(name).register_forward_hook(stop)
        try:
            self(images)
        except _Done:
            pass
        finally:
            handle.remove()
        return {f"{group}.{i}": level for i, level in enumerate(_maps(found[0], images))}

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """Backbone, neck and head; parameters that no module but the whole has are in none of them."""
        found = next((name for name in _BACKBONES if self._has(f"detector.{name}")), None)
        if found is None:
            return {"backbone": [], "neck": [], "head": ["detector"]}
        backbone = f"detector.{found}"
        neck: list[str] = []
        head: list[str] = []
        for name in self._beside(backbone):
            (neck if name.endswith(_NECK) else head).append(name)
        return {"backbone": [backbone], "neck": neck, "head": head}

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Tensors whose size follows the number of classes; rows of no class (no object) are the last."""
        count = len(self.about.classes)
        shapes = {name: tensor.shape for name, tensor in self.state_dict().items()}
        with torch.device("meta"):
            more = LibraryModel(self.about.with_classes([f"{row}" for row in range(count + 1)]))
        rows = {}
        for name, tensor in more.state_dict().items():
            for axis, (size, own) in enumerate(zip(tensor.shape, shapes[name], strict=True)):
                if size == own + 1:
                    rows[name] = NamedRows(after=own - count, axis=axis)
        return rows

    def class_logits(self, images: Tensor, like: ClassLogits | None = None, **inputs: Any) -> ClassLogits:
        """Class logits of the queries, of those of ``like`` where the encoder's places become queries.

        Args:
            images: (B, 3, H, W).
            like: logits of another model for these images.
            inputs: what the model takes beside them.
        """
        if like is not None and self._head is None and getattr(self.detector.config, "two_stage", False):
            raise TrainingError(
                f"a {type(self.detector).__name__} in two stages cannot be asked for the queries of another",
                fix="train without what compares logits",
            )
        queries = None if like is None else like.queries
        with self.choosing(queries) as seen:
            outputs = self(images, **inputs)
        return self.logits_of(outputs, images, seen[0] if seen else None)

    def logits_of(self, outputs: Any, images: Tensor, queries: Tensor | None = None) -> ClassLogits:
        """Class logits in outputs of the library; boxes are corners in pixels of the input."""
        logits: Tensor = outputs["class_queries_logits" if "class_queries_logits" in outputs else "logits"]
        if getattr(outputs, "input_ids", None) is not None:
            raise TrainingError(
                f"a {type(self.detector).__name__} scores words of the prompts, not classes",
                fix="use a method that needs no class logits",
            )
        logits, boxes = self._ordinary(logits), self._ordinary(outputs.get("pred_boxes"))
        if boxes is not None and boxes.shape[2] != 4:  # such as quadrangles
            boxes = None
        height, width = images.shape[-2:]
        size = torch.tensor([width, height], device=logits.device)
        rows = logits.shape[2] - len(self.about.classes) if self.kind != "prompts" else 0
        return ClassLogits(
            logits,
            torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device),
            "softmax" if rows else "sigmoid",
            background=logits.shape[2] - 1 if rows else None,
            boxes=None if boxes is None else corners(boxes) * size.repeat(2),
            sizes_wh=None if boxes is None else size.expand(len(logits), 2),
            queries=queries,
        )

    def _ordinary(self, rows: Any) -> Any:
        """Rows (B, N, n) of the queries that predict, without those that only training has."""
        count = self.count_queries()
        if rows is None or not self.training or not 0 < count < rows.shape[1]:
            return rows
        # Denoising queries stand before them; further groups of queries behind.
        return rows[:, -count:] if hasattr(self.detector.config, "num_denoising") else rows[:, :count]

    def count_queries(self) -> int:
        """Queries of an image."""
        config = self.detector.config
        count: int = getattr(config, "num_queries", 0) or getattr(config, "num_detection_tokens", 0)
        return count

    @contextmanager
    def choosing(self, wanted: Tensor | None) -> Iterator[list[Tensor]]:
        """Inside, queries are made of the places ``wanted``; what they were made of is in the list then.

        The library takes the places with the highest scores, best first. So the scores of those that are
        wanted are raised above all others, in their order; nothing but this choice looks at them.
        """
        seen: list[Tensor] = []
        if self._head is None:
            yield seen
            return

        def choose(_module: nn.Module, _inputs: Any, scores: Tensor) -> Tensor | None:
            if seen:  # a second call is for the losses of what was chosen
                return None
            count = min(self.count_queries(), scores.shape[1])
            if wanted is None:
                seen.append(scores.detach().amax(-1).topk(count, dim=1).indices)
                return None
            seen.append(wanted)
            order = torch.arange(wanted.shape[1], 0, -1, device=scores.device).to(scores)
            raised = torch.zeros_like(scores[..., 0]).scatter(1, wanted, 1e4 * order.expand_as(wanted))
            return scores + raised[..., None]

        handle = self._head.register_forward_hook(choose)
        try:
            yield seen
        finally:
            handle.remove()

    @cached_property
    def _head(self) -> nn.Module | None:
        """What scores the places of the encoder; ``None`` where queries are learned."""
        heads = [module for name, module in self.detector.named_modules() if name.endswith(_PROPOSALS)]
        return heads[0] if heads else None

    def _chosen_features(self) -> tuple[str, str] | None:
        """Group and name of the module whose maps are the features; chosen before anybody freezes weights."""
        parts = self.module_names()
        for group in ("backbone", "neck"):
            for name in parts[group][:1]:
                if any(parameter.requires_grad for parameter in self.get_submodule(name).parameters()):
                    return group, name
        return None

    def _has(self, name: str) -> bool:
        return any(known == name for known, _ in self.named_modules())

    def _beside(self, inner: str) -> list[str]:
        """Modules with parameters beside a module and beside those that it is in."""
        names: list[str] = []
        path = inner.split(".")
        for depth in range(1, len(path)):
            above = ".".join(path[:depth])
            for name, module in self.get_submodule(above).named_children():
                if name != path[depth] and any(True for _ in module.parameters()):
                    names.append(f"{above}.{name}")
        return names


class _Done(Exception):  # noqa: N818 - what was wanted is there, which is no error
    """The rest of a pass is not needed."""


def _maps(outputs: Any, images: Tensor) -> list[Tensor]:
    """All (B, C, h, w) in outputs of a backbone; the tokens of a transformer as one."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.ndim == 4 and outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        if "feature_maps" in outputs:
            return _maps(outputs["feature_maps"], images)
        tokens = outputs.get("last_hidden_state")
        if tokens is not None and tokens.ndim == 3:
            return [_unflattened(tokens, images)]
        return _maps(tuple(outputs.values()), images)
    if isinstance(outputs, list | tuple):
        return [level for part in outputs for level in _maps(part, images)]
    return []


def _unflattened(tokens: Tensor, images: Tensor) -> Tensor:
    """(B, C, h, w) of (B, 1 + h w + more, C): a class token, patches, and tokens for detections."""
    height, width = images.shape[-2:]
    patch = next(p for p in range(1, height + 1) if (height // p) * (width // p) < tokens.shape[1])
    rows, columns = height // patch, width // patch
    patches = tokens[:, 1 : 1 + rows * columns]
    return patches.transpose(1, 2).reshape(len(tokens), tokens.shape[2], rows, columns)


def corners(boxes: Tensor) -> Tensor:
    """Corners of (..., 4) centers and sizes."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], dim=-1)
