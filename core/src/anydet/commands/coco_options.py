"""Flags of the COCO protocol and its engine, for every command that computes COCO metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER, MOST_THREADS
from anydet.commands.completion import complete_names
from anydet.commands.numbers import FiniteRange, read_areas, read_numbers

if TYPE_CHECKING:
    from anydet.evaluation.protocol import CocoSettings

_F = TypeVar("_F", bound=Callable[..., Any])

BOX_FORMATS = ("cxcywh_norm", "cxcywh_abs", "xywh_abs", "xyxy_abs")
SETTINGS = (
    "iou_type",
    "protocol",
    "iou_thresholds",
    "area_ranges_px",
    "max_detections",
    "keypoint_sigmas",
    "box_area_factor",
    "class_agnostic",
    "dilation_ratio",
    "pycocotools_quirks",
)
"""Names of the flags that are fields of ``CocoSettings``."""


ENGINE_OPTIONS = (
    click.option(
        "--engine",
        metavar="NAME",
        shell_complete=complete_names("engines"),
        help="COCO evaluation engine; the fastest installed one by default.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, MOST_THREADS),
        help="Threads of the engine.  [default: number of cores]",
    ),
)
"""The engine and its number of threads."""

BOX_AREA_FACTOR = click.option(
    "--box-area-factor",
    type=FiniteRange(0, min_open=True),
    metavar="F",
    help="Keypoints: area of objects that the data set states none of, as a fraction of width x height; 0.53 "
    "is usual.  [default: 1, with a warning]",
)
"""What OKS takes for the area of an object that no area is stated of."""

_OPTIONS = (
    click.option(
        "--iou-type",
        type=click.Choice(["bbox", "segm", "keypoints", "boundary", "obb"]),
        help="Geometry that IoU is computed on; boundary is the minimum of mask IoU and boundary IoU, obb "
        "is of oriented boxes.  [default: bbox; keypoints with --protocol crowdpose]",
    ),
    click.option(
        "--protocol",
        type=click.Choice(["coco", "lvis", "crowdpose"]),
        default="coco",
        show_default=True,
        help="lvis: federated, 300 detections per image, AP of rare, common and frequent classes. crowdpose: "
        "14 keypoints, areas are 0.53 width x height.",
    ),
    *ENGINE_OPTIONS,
    click.option(
        "--max-dets",
        "max_detections",
        callback=read_numbers,
        metavar="N,N,...",
        help="Detections counted per image and class.  [default: 1,10,100; keypoints 20; lvis 300]",
    ),
    click.option(
        "--iou-thresholds",
        callback=read_numbers,
        metavar="T,T,...",
        help="IoU thresholds to average over.  [default: 0.50,0.55,...,0.95]",
    ),
    click.option(
        "--area-ranges",
        "area_ranges_px",
        callback=read_areas,
        metavar="NAME=LOW:HIGH,...",
        help="Area ranges in square pixels; AP is of the first.  [default: COCO's all, small, medium, large]",
    ),
    click.option("--class-agnostic", is_flag=True, help="Evaluate all classes as one."),
    click.option(
        "--dilation-ratio",
        type=FiniteRange(0, 1, min_open=True),
        default=0.02,
        show_default=True,
        help="Width of the boundary as a fraction of the image diagonal.",
    ),
    click.option(
        "--keypoint-sigmas",
        callback=read_numbers,
        metavar="S,S,...",
        help="OKS sigma of each keypoint; COCO's 17 of a person by default, or CrowdPose's 14.",
    ),
    BOX_AREA_FACTOR,
    click.option(
        "--pycocotools-quirks",
        is_flag=True,
        help="Count a match to an annotation with id 0 as a false positive, as pycocotools does.",
    ),
)


_BOOTSTRAP = (
    click.option(
        "--resamples",
        type=click.IntRange(1, MOST_INTEGER),
        default=1000,
        show_default=True,
        help="Bootstrap resamples of the intervals.",
    ),
    click.option(
        "--level",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        default=0.95,
        show_default=True,
        help="Confidence level of the intervals.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, MOST_INTEGER),
        default=0,
        show_default=True,
        help="Seed of the resamples.",
    ),
)


def bootstrap_options(function: _F) -> _F:
    """Decorator: ``--resamples``, ``--level`` and ``--seed`` of intervals."""
    for option in reversed(_BOOTSTRAP):
        function = option(function)
    return function


def coco_options(function: _F) -> _F:
    """Decorator: the flags that ``read_settings`` reads, and ``--engine`` and ``--workers``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_settings(flags: Mapping[str, Any]) -> CocoSettings:
    """The settings that the flags of ``coco_options`` give."""
    from anydet.evaluation.protocol import CocoSettings

    given = {name: flags[name] for name in SETTINGS}
    usual = "keypoints" if given["protocol"] == "crowdpose" else "bbox"
    return CocoSettings(**{**given, "iou_type": given["iou_type"] or usual})
