"""Flags of commands that read data sets, whose images, ids or annotations may be odd, or results."""

from __future__ import annotations

import os

import click

from anydet.arguments import MOST_INTEGER

CLASS_MAP = click.option(
    "--class-map",
    metavar="MAP",
    help="How numbers of classes count (category ids of COCO results, other tools' labels), where they are "
    "not the data set's: zero-based, one-based, coco91, or a JSON or YAML file of ids and classes.",
)
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Refuse odd annotations, and predictions that are left out, instead of warning of them.",
)


def _set(ctx: click.Context, _param: click.Parameter, value: int | None) -> None:
    """Set the environment variable while the command runs: processes that it starts get it, too."""
    if value is None:
        return
    # MAX_PIXELS of data.record.image_formats, which would import Pillow.
    name = "ANYDET_MAX_PIXELS"
    before = os.environ.get(name)
    os.environ[name] = str(value)

    @ctx.call_on_close
    def restore() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


MAX_PIXELS = click.option(
    "--max-pixels",
    type=click.IntRange(1, MOST_INTEGER),
    metavar="N",
    expose_value=False,
    callback=_set,
    help="Open images of up to N pixels.  [default: ANYDET_MAX_PIXELS, else 178956970]",
)
