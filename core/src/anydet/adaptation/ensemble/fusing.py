"""Predictions files of several models into one, image by image, by a fusion of test-time augmentation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from anydet.adaptation.ensemble.members import Member, Members, check_weights, lay_over
from anydet.arguments import require, require_choice, require_integer, require_number
from anydet.contract.encode import encode_entry
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.load import load
from anydet.contract.write import check_output, write_predictions
from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.errors import ContractError, OptionError
from anydet.outputs import require_writable
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.prediction.checks import check_values
from anydet.prediction.choices import Choice
from anydet.prediction.hooks import Fusion, FusionSettings, ViewResult
from anydet.prediction.meta import file_sha256, folder_sha256
from anydet.prediction.pipeline import Limits
from anydet.scanner import Scanner
from anydet.text import counted, shortened
from anydet.types import ImagePredictions
from anydet.version import __version__

MISSING = ("error", "empty", "skip")
"""What an image that a file does not mention is: an error, an image on which that model found nothing, or one
that is fused from the other models' results alone."""


@dataclass(frozen=True, slots=True)
class FuseSettings:
    """How files become one.

    Attributes:
        method: the fusion and its options.
        weights: of the files, positive; empty where all count alike.
        missing: one of ``MISSING``.
        score_threshold: lowest score that is written.
        max_detections: best ones written an image, or ``None`` for all.
        box_format: what the boxes of all files are in; by default what each says, else ``cxcywh_norm``.
    """

    method: Choice = Choice("wbf")
    weights: tuple[float, ...] = ()
    missing: str = "error"
    score_threshold: float = 0.0
    max_detections: int | None = None
    box_format: str | None = None

    def resolve(self, plugins: Plugins) -> FuseSettings:
        """The same with the method known and its options complete; raises as ``Plugins.options``."""
        for weight in self.weights:
            require_number("weights", weight, 0, above=True)
        require_choice("missing", self.missing, MISSING)
        require_number("score_threshold", self.score_threshold, 0, 1)
        if self.max_detections is not None:
            require_integer("max_detections", self.max_detections, 1)
        return replace(self, method=self.method.resolve(plugins, "fusions"))


@dataclass(frozen=True, slots=True)
class FuseSummary:
    """What was fused.

    Attributes:
        output: the finished file.
        images: entries in it.
        detections: detections in it.
        given: detections of each file.
        lacking: images that each file has no result of.
        wall_s: seconds it took.
        warnings: what makes the result worth less than it looks.
    """

    output: Path
    images: int
    detections: int
    given: tuple[int, ...]
    lacking: tuple[int, ...]
    wall_s: float
    warnings: tuple[str, ...] = ()


def fuse_files(
    files: Sequence[Path],
    output: Path,
    settings: FuseSettings,
    plugins: Plugins,
    *,
    dataset: Dataset | None = None,
    scanner: Scanner | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> FuseSummary:
    """Fuse predictions of several models on the same images; ``meta.fusion`` says of what and how.

    Files are held as columns, about a hundred bytes a detection; results are made and written one image at a
    time. The file appears under its name when it is complete.

    Args:
        files: two or more, of any shape; COCO results with ``dataset``.
        output: ``.json`` (with ``meta``), ``.jsonl`` or ``.parquet``.
        settings: how.
        plugins: where the fusion comes from.
        dataset: what was predicted: ids of COCO results; sizes and class names that files do not state.
        scanner: reads JSON files faster, with the same result.
        progress: called with the number of images done and of all.

    Raises:
        ContractError: a file breaks the contract, or files contradict each other (``lay_over``), or one lacks
            images and ``settings.missing`` is "error".
        OptionError: a setting is unknown, or has the wrong type or value.
        PluginError: the fusion failed.
    """
    start = time.perf_counter()
    check_output(output)
    # Not Path.resolve, which fails at a link in a circle.
    if os.path.realpath(output) in map(os.path.realpath, files):
        raise OptionError(f"{output}: the result would replace a file that is fused", fix="name another file")
    require_writable(output)
    require(len(files) > 1, "files", len(files), "two predictions files or more")
    settings = settings.resolve(plugins)
    weights = check_weights(settings.weights, len(files))
    truth = None if dataset is None else dataset.ground_truth
    # Before they are read: a file that changes later is not the one whose digest is stated.
    digests = [_sha256(path) for path in files]
    raws = [load(path, scanner, truth) for path in files]
    members = lay_over(raws, weights, truth, settings.box_format)
    lacking = tuple(map(len, members.lacking()))
    if settings.missing == "error":
        _refuse_lacking(members)
    fusion: Fusion = plugins.build("fusions", settings.method.name, FusionSettings(settings.method.options))
    made = _Made(members, settings, fusion, plugins, progress)
    meta = _meta(members, digests, settings, dataset)
    write_predictions(map(encode_entry, made), output, meta=meta, wrap=True)
    seconds = time.perf_counter() - start
    given = tuple(map(len, raws))
    warnings = tuple(_different_images(raws))
    return FuseSummary(output, len(members.images), made.detections, given, lacking, seconds, warnings)


def _different_images(raws: Sequence[RawPredictions]) -> Iterator[str]:
    """A warning where the files state different corruptions of their images, or some state none."""
    stated = [_corruption(raw) for raw in raws]
    if any(one != stated[0] for one in stated):
        of = ", ".join(f"{raw.path}: {one}" for raw, one in zip(raws, stated, strict=True))
        yield f"the files are of images that were corrupted in different ways ({of})"


def _stated_corruption(raw: RawPredictions) -> Any:
    extra = (raw.meta or {}).get("extra")
    return extra.get("corruption") if isinstance(extra, dict) else None


def _corruption(raw: RawPredictions) -> str:
    stated = _stated_corruption(raw)
    if not isinstance(stated, dict):
        return "clean, or not stated" if stated is None else shortened(stated)
    return shortened(f"{stated.get('name')}:{stated.get('severity')}")


class _Made:
    """The fused images, one at a time, and how many detections they had."""

    def __init__(
        self,
        members: Members,
        settings: FuseSettings,
        fusion: Fusion,
        plugins: Plugins,
        progress: Callable[[int, int], None],
    ) -> None:
        self.detections = 0
        self._members, self._settings, self._fusion = members, settings, fusion
        self._calls = PluginCalls("fusions", settings.method.name, plugins)
        self._progress = progress

    def __iter__(self) -> Iterator[ImagePredictions]:
        total = len(self._members.images)
        for at in range(total):
            fused = self._kept(self._image(at))
            self.detections += len(fused)
            yield fused
            self._progress(at + 1, total)

    def _kept(self, fused: ImagePredictions) -> ImagePredictions:
        most = self._settings.max_detections
        return Limits(self._settings.score_threshold, most or max(1, len(fused)), clip=False).apply(fused)

    def _image(self, at: int) -> ImagePredictions:
        key, (width, height) = self._members.images[at], self._members.sizes_wh[at].tolist()
        empty = ImagePredictions.empty(key, (width, height))
        window = (0.0, 0.0, float(width), float(height))
        results = []
        for member, found in self._members.image(at):
            if found is None and self._settings.missing == "skip":
                continue
            results.append(ViewResult(empty if found is None else found, member.weight, window))
        if not results:
            return empty
        cameras = [r.predictions.intrinsics for r in results if r.predictions.intrinsics is not None]
        fused = results[0].predictions
        # A size that nobody states is one of images on which nobody found anything.
        if len(results) > 1 and width:
            with self._calls.to("fuse", key):
                fused = self._fusion.fuse(results)
                if not isinstance(fused, ImagePredictions):
                    raise self._calls.error(f"gave {type(fused).__name__} for {key!r}, not ImagePredictions")
            names = self._members.classes
            (fused,) = check_values(
                [fused], [(width, height)], None if names is None else len(names), self._calls
            )
        # How one model's image was prepared says nothing of what several models found.
        return replace(fused, preprocess=None, intrinsics=cameras[0] if cameras else None)


def _refuse_lacking(members: Members) -> None:
    for member, lacking in zip(members.files, members.lacking(), strict=True):
        if len(lacking):
            raise ContractError(
                f"{member.raw.path}: no result of {counted(len(lacking), 'image')} that others have, "
                f"such as {members.images[int(lacking[0])]}",
                fix="predict the same images with each model, or say what such images are: --missing empty "
                "(nothing found on them) or --missing skip (leave them to the other models)",
            )


def _sha256(path: Path) -> str:
    try:
        return folder_sha256(path) if path.is_dir() else file_sha256(path)
    except OSError as exc:
        absent = isinstance(exc, FileNotFoundError)
        problem = "no such file" if absent else f"cannot be read: {exc.strerror}"
        raise ContractError(f"{path}: {problem}", fix="give the path of a predictions file") from exc


def _meta(
    members: Members, digests: Sequence[str], settings: FuseSettings, dataset: Dataset | None
) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "adapter": "fuse",
        "anydet_version": __version__,
        "config": "",
        "images": len(members.images),
        "export_settings": {
            "score_threshold": settings.score_threshold,
            "max_detections": settings.max_detections,
        },
        "conventions": {"bbox_format": "cxcywh_norm", "rot6d": "columns"},
        "fusion": {
            "method": settings.method.name,
            "options": dict(settings.method.options),
            "missing": settings.missing,
            "files": [_file(*one) for one in zip(members.files, digests, strict=True)],
        },
    }
    about = _dataset([member.raw for member in members.files], dataset)
    extra: dict[str, Any] = {"keypoint_names": list(members.keypoint_names)} if members.keypoint_names else {}
    corruptions = [_stated_corruption(member.raw) for member in members.files]
    if corruptions[0] is not None and all(one == corruptions[0] for one in corruptions):
        extra["corruption"] = corruptions[0]
    return {
        **meta,
        **({} if about is None else {"dataset": about}),
        **({} if members.classes is None else {"classes": list(members.classes)}),
        **({"states": list(members.states)} if members.states else {}),
        **({"extra": extra} if extra else {}),
    }


_OF_MODEL = ("adapter", "adapter_version", "config", "checkpoint", "checkpoint_sha256", "tta", "ttt")


def _file(member: Member, digest: str) -> dict[str, Any]:
    raw = member.raw
    meta = raw.meta or {}
    return {
        "path": raw.path,
        "sha256": digest,
        "weight": member.weight,
        "images": len(raw.images),
        "detections": len(raw),
        "meta": {name: meta[name] for name in _OF_MODEL if name in meta} or None,
    }


def _dataset(raws: Sequence[RawPredictions], dataset: Dataset | None) -> Mapping[str, Any] | None:
    """The data set that was given, or that all files name alike."""
    if dataset is not None:
        return {"root": str(dataset.root), "split": dataset.split, "fingerprint": dataset.fingerprint()}
    named = [(raw.meta or {}).get("dataset") for raw in raws]
    same = named[0] is not None and all(one == named[0] for one in named)
    return named[0] if same else None


def settings_of(
    method: str,
    plugins: Plugins,
    *,
    iou: float | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> FuseSettings:
    """Settings with ``iou`` as the method's option ``iou_threshold``.

    Raises ``OptionError`` where it is stated twice or is no option of the method.
    """
    given = dict(options or {})
    if iou is not None:
        if "iou_threshold" in given:
            raise OptionError("iou and the option iou_threshold are the same", fix="leave out one of them")
        given["iou_threshold"] = iou
    return FuseSettings(Choice(method, given), **more).resolve(plugins)
