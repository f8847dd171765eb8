"""Packages of this project by what they register, for hints where a name is not installed."""

from __future__ import annotations

# Spelled out: a package name that is guessed from a typing error may be anybody's on the index.
_PACKAGES = {
    ("adapters", "adaptivestream"): "anydet-adaptivestream",
    ("adapters", "fasterrcnn_multitask"): "anydet-fasterrcnn-multitask",
    ("adapters", "onnxruntime"): "anydet-onnxruntime",
    ("adapters", "opencv_dnn"): "anydet-opencv-dnn",
    ("adapters", "openvino"): "anydet-openvino",
    ("adapters", "rtdetr_pose"): "anydet-rtdetr-pose",
    ("adapters", "tensorrt"): "anydet-tensorrt",
    ("adapters", "torchvision"): "anydet-torchvision",
    ("adapters", "toy"): "anydet-toy",
    ("adapters", "transformers"): "anydet-transformers",
    ("datasets", "bop"): "anydet-bop",
    ("datasets", "delftbikes"): "anydet-delftbikes",
    ("engines", "fasteval"): "anydet-fasteval",
    ("evaluators", "delftbikes"): "anydet-delftbikes",
    ("evaluators", "presence"): "anydet-delftbikes",
    ("scenes", "bikes"): "anydet-delftbikes",
    ("scenes", "pose"): "anydet-bop",
}

_OTHER_NAMES = {
    "voc": ("pascal", "pascalvoc", "voc2007", "voc2012", "voc07", "voc12"),
    "open-images": ("openimages", "oid"),
    "olrp": ("lrp",),
    "coco": ("bbox", "box", "boxes", "map", "ap"),
    "coco-segm": ("segm", "mask", "masks"),
    "coco-keypoints": ("keypoints", "oks"),
    "confusion": ("confusionmatrix",),
}
"""What other tools and papers call evaluators, in small letters without marks."""


def package_of(kind: str, name: str) -> str | None:
    """The package of this project that registers a name, ``None`` where none does."""
    return _PACKAGES.get((kind, name))


def known_as(kind: str, name: str) -> str | None:
    """What something is called here that others call ``name``, ``None`` where that is not known."""
    plain = "".join(filter(str.isalnum, name.lower()))
    found = (own for own, others in _OTHER_NAMES.items() if plain in others)
    return next(found, None) if kind == "evaluators" else None


def packaged_names(kind: str) -> list[str]:
    """Names of a kind that packages of this project register, installed or not."""
    return [name for registered, name in _PACKAGES if registered == kind]
