"""Flags of commands that read results and a data set whose ids or annotations may be odd."""

from __future__ import annotations

import click

CLASS_MAP = click.option(
    "--class-map",
    metavar="MAP",
    help="How category ids of COCO results count, where they are not the data set's: zero-based, one-based, "
    "coco91, or a JSON file of ids and classes.",
)
STRICT = click.option(
    "--strict", is_flag=True, help="Refuse a data set with odd annotations, instead of warning of them."
)
