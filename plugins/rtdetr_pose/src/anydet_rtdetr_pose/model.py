"""``PoseDetector``: RT-DETRv2 of ``transformers`` with pose heads on its decoder's states.

The detector is built by ``transformers`` as it is, and two parts of it are replaced: its backbone, by any
module that keeps the contract of ``backbones``, and the projections behind it, which must fit the backbone's
channels. A published model keeps its own.

Sources: Zhao et al. 2024, "DETRs Beat YOLOs on Real-time Object Detection"; Lv et al. 2024, "RT-DETRv2".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.rt_detr.configuration_rt_detr_resnet import RTDetrResNetConfig
from transformers.models.rt_detr_v2.configuration_rt_detr_v2 import RTDetrV2Config
from transformers.models.rt_detr_v2.modeling_rt_detr_v2 import RTDetrV2ForObjectDetection

from anydet.errors import AnydetError, OptionError, TrainingError
from anydet.plugins.adapter import Masking
from anydet.training.masking import kept_statistics
from anydet.training.model import NamedRows, TorchModel
from anydet_rtdetr_pose.architecture import STRIDES, Architecture
from anydet_rtdetr_pose.backbones import build_backbone
from anydet_rtdetr_pose.heads import CameraHead, QueryHeads
from anydet_rtdetr_pose.initialization import initialize
from anydet_rtdetr_pose.mim import MimBranch, Pyramid
from anydet_rtdetr_pose.outputs import Denoising, Outputs

_NECK = ("encoder_input_proj", "encoder")
"""Modules of RT-DETR between backbone and decoder: projections and hybrid encoder."""


class PoseDetector(TorchModel):
    """Images to classes, boxes and poses.

    Args:
        architecture: what it is built of.
        detector: with weights that have learned before; ``None`` builds one with random weights.

    Raises:
        OptionError: the backbone cannot be built or breaks the contract.
    """

    def __init__(
        self, architecture: Architecture, detector: RTDetrV2ForObjectDetection | None = None
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.detector = build_detector(architecture) if detector is None else detector
        config = self.detector.config
        self.heads = QueryHeads(config.d_model, architecture.heads)
        wants_camera = architecture.heads.pose and architecture.heads.camera
        self.camera_head = CameraHead(config.encoder_hidden_dim) if wants_camera else None
        # built last: the other weights are drawn as without it
        mim = architecture.mim
        self.mim = MimBranch(mim, config.encoder_hidden_dim, self.pyramid) if mim is not None else None
        self.to(memory_format=torch.channels_last)  # a tenth faster than the usual order, also on CPUs

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return next(self.parameters()).device

    @property
    def backbone(self) -> nn.Module:
        """The image backbone."""
        backbone: nn.Module = self.detector.model.backbone
        return backbone

    @property
    def pyramid(self) -> Pyramid:
        """Backbone and projections, of which a teacher is made; owns nothing."""
        return Pyramid(self.detector.model.backbone, self.detector.model.encoder_input_proj)

    def forward(
        self,
        images: Tensor,
        labels: list[dict[str, Tensor]] | None = None,
        queries: Tensor | None = None,
    ) -> Outputs:
        """What is on the images.

        Args:
            images: (B, 3, H, W) in 0..1, sides multiples of 32.
            labels: in training, ``class_labels`` (T,) and ``boxes`` (T, 4) of each image, center and size in
                normalized coordinates; denoising queries start near them.
            queries: (B, Q) positions of the encoder that queries are made of, in this order; ``None`` for
                those with the highest scores. Where they are given, the scores of proposals mean nothing.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        with nullcontext() if queries is None else self._chosen(queries):
            found = self.detector.model(images, labels=labels)
        camera = None
        if self.camera_head is not None:
            camera = self.camera_head(found.encoder_last_hidden_state[-1])
        return Outputs(
            logits=found.intermediate_logits,
            boxes=found.intermediate_reference_points,
            heads=self.heads(found.intermediate_hidden_states),
            proposal_logits=found.enc_topk_logits,
            proposal_boxes=found.enc_topk_bboxes,
            camera=camera,
            denoising=_denoising(found.denoising_meta_values),
            scores=found.enc_outputs_class,
        )

    @contextmanager
    def _chosen(self, queries: Tensor) -> Iterator[None]:
        """Within, the decoder's queries are made of these positions."""
        # transformers takes the positions with the highest scores and has no argument for others.
        config, (count, length) = self.detector.model.config, queries.shape
        # Single precision, as bfloat16 has no two neighbors above 256 apart.
        ranks = torch.arange(length, 0, -1, device=queries.device, dtype=torch.float32)

        def ranked(_head: nn.Module, _inputs: Any, scores: Tensor) -> Tensor:
            lowest = torch.full_like(scores, -torch.inf, dtype=torch.float32)
            shape = (count, length, scores.shape[2])
            return lowest.scatter(1, queries[..., None].expand(shape), ranks[:, None].expand(shape))

        hook = self.detector.model.enc_score_head.register_forward_hook(ranked)
        before, config.num_queries = config.num_queries, length
        try:
            yield
        finally:
            hook.remove()
            config.num_queries = before

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Levels of backbone and hybrid encoder, from ``backbone.stride8`` and ``neck.stride8`` on."""
        pyramid = self.pyramid
        levels = pyramid.levels(images)
        states = self.detector.model.encoder(pyramid.project(levels)).last_hidden_state
        return {
            f"{part}.stride{stride}": level
            for part, found in (("backbone", levels), ("neck", states))
            for stride, level in zip(STRIDES, found, strict=True)
        }

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """The neck is projections and hybrid encoder; the head all behind it, and what only training uses."""
        inner = [name for name, _ in self.detector.model.named_children()]
        behind = [f"detector.model.{name}" for name in inner if name not in {"backbone", *_NECK}]
        own = [name for name, _ in self.named_children() if name != "detector"]
        return {
            "backbone": ("detector.model.backbone",),
            "neck": tuple(f"detector.model.{name}" for name in _NECK),
            "head": (*behind, *own),
        }

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Class heads of proposals and decoder layers; embeddings for denoising, the last is padding."""
        return {
            name: NamedRows(after=int("denoising" in name))
            for name in self.state_dict()
            if "class_embed" in name or "enc_score_head" in name
        }

    def mim_loss(
        self,
        images: Tensor,
        *,
        generator: torch.Generator | None = None,
        masking: Masking = Masking(),
    ) -> Tensor:
        """What hidden patches cost: a scalar whose gradient reaches backbone, projections and encoder.

        No label is needed, no running statistic of a norm changes, and training or evaluation mode stays.

        Args:
            images: (B, 3, H, W) in 0..1, sides multiples of 32.
            generator: chooses the patches; on the CPU. ``None`` is torch's own.
            masking: what is hidden, where it is not what the branch was trained with.

        Raises:
            OptionError: the model was built without masked image modeling.
        """
        if self.mim is None:
            raise OptionError(
                "the model has no branch of masked image modeling",
                fix="train it with --enable-mim; a run can start from a checkpoint that has none",
            )
        patches = self.mim.draw(images, generator, masking)
        # Images with hidden patches would shift running statistics that predictions use.
        with kept_statistics(self.detector):
            seen = self.pyramid(self.mim.hide(images, patches, masking))
            states = self.detector.model.encoder(seen).last_hidden_state
            with torch.no_grad():
                targets = (self.mim.teacher or self.pyramid)(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.mim.loss(images, patches, [state.float() for state in states], targets, masking)

    def update_teacher(self, decay: float | None = None) -> None:
        """Let the teacher follow the weights as they are now; nothing to do where there is none.

        Args:
            decay: weight of the old average; ``None`` is the architecture's, 0 makes it a copy.
        """
        if self.mim is not None and self.mim.teacher is not None:
            self.mim.teacher.follow(self.pyramid, self.mim.spec.teacher_decay if decay is None else decay)


def build_detector(architecture: Architecture) -> RTDetrV2ForObjectDetection:
    """RT-DETRv2 with random weights and the architecture's backbone, or of a published config."""
    if architecture.published is not None:
        return _of_published(architecture)
    backbone = build_backbone(architecture.model.backbone)
    with warnings.catch_warnings():
        # Of widths of heads that are no power of 2: true of a kernel that is not used here, once a layer.
        warnings.filterwarnings("ignore", ".*dimension of each attention head a power of 2", UserWarning)
        detector = RTDetrV2ForObjectDetection(_config(architecture))
    detector.model.backbone = _Levels(backbone)
    width = architecture.model.projector.d_model
    channels: Sequence[int] = backbone.channels  # type: ignore[assignment]
    detector.model.encoder_input_proj = nn.ModuleList(
        nn.Sequential(nn.Conv2d(count, width, 1, bias=False), nn.BatchNorm2d(width)) for count in channels
    )
    initialize(detector)
    return detector


def _of_published(architecture: Architecture) -> RTDetrV2ForObjectDetection:
    try:
        return RTDetrV2ForObjectDetection(published_config(architecture))
    except AnydetError:
        raise
    except Exception as exc:  # whatever a config of somebody else leads to
        reason = str(exc).strip().split("\n", maxsplit=1)[0]
        raise TrainingError(
            f"the published model's config builds no RT-DETRv2: {reason:.200}",
            fix="give another checkpoint, or the option weights with the model that it began with",
        ) from exc


def published_config(architecture: Architecture) -> RTDetrV2Config:
    """The config of a published model, with the architecture's classes and queries."""
    assert architecture.published is not None
    # Its weights are loaded afterwards, and those of a backbone must not be fetched for them.
    plain = {key: value for key, value in architecture.published.items() if key != "use_pretrained_backbone"}
    return RTDetrV2Config.from_dict({**plain, **_sizes(architecture)})


class _Levels(nn.Module):
    """A backbone with RT-DETR's interface: features with masks of padding, which are not used."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor, _mask: Tensor) -> list[tuple[Tensor, None]]:
        return [(features, None) for features in self.body(images)]


def _config(architecture: Architecture) -> RTDetrV2Config:
    transformer, width = architecture.model.transformer, architecture.model.projector.d_model
    levels = len(STRIDES)
    return RTDetrV2Config(
        backbone_config=_smallest_backbone(),
        freeze_backbone_batch_norms=False,
        d_model=width,
        encoder_hidden_dim=width,
        encoder_in_channels=[width] * levels,
        decoder_in_channels=[width] * levels,
        encoder_layers=transformer.encoder_layers,
        decoder_layers=transformer.decoder_layers,
        encoder_ffn_dim=transformer.ffn_dim,
        decoder_ffn_dim=transformer.ffn_dim,
        encoder_attention_heads=transformer.attention_heads,
        decoder_attention_heads=transformer.attention_heads,
        decoder_n_points=transformer.sampling_points,
        hidden_expansion=transformer.expansion,
        dropout=transformer.dropout,
        **_sizes(architecture),
    )


def _sizes(architecture: Architecture) -> dict[str, Any]:
    return {
        "num_labels": len(architecture.classes),
        "num_queries": architecture.num_queries,
        "num_denoising": architecture.num_denoising,
        "label_noise_ratio": architecture.label_noise,
        "box_noise_scale": architecture.box_noise,
    }


def _smallest_backbone() -> RTDetrResNetConfig:
    """Stands in until ours takes its place: ``transformers`` builds none without one."""
    return RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="bottleneck",
        out_indices=[2, 3, 4],  # type: ignore[call-arg]
    )


def _denoising(meta: dict[str, Any] | None) -> Denoising | None:
    if meta is None:
        return None
    return Denoising(int(meta["dn_num_split"][0]), int(meta["dn_num_group"]), meta["dn_positive_idx"])
