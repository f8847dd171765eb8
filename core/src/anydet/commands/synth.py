"""``anydet synth``: synthetic scenes with exact ground truth, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names, plugins_of
from anydet.commands.messages import echo_path, say
from anydet.commands.paths import OUTPUT_FOLDER
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


class SynthCommand(click.Command):
    """Lists the installed kinds of scenes in its help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the kinds of scenes, then the options."""
        rows = []
        for name, spec in plugins_of(ctx).specs("scenes").items():
            objects = ", takes --objects" * spec.takes_objects
            rows.append((name, f"{spec.summary}.  [{'|'.join(spec.writers)}{objects}]"))
        with formatter.section("Scenes, with the formats they are written in"):
            formatter.write_dl(rows)
        super().format_options(ctx, formatter)


def complete_layouts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Formats that scenes of the named kind, or of any, are written in."""
    specs = plugins_of(ctx).specs("scenes")
    chosen = specs.get(ctx.params.get("scene", ""))
    layouts = {layout for spec in ([chosen] if chosen else specs.values()) for layout in spec.writers}
    return sorted(layout for layout in layouts if layout.startswith(incomplete))


def read_size(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[int, int]:
    """``320x240`` to (width, height)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise click.BadParameter(f"{text!r} is not a size like 320x240 with sides of at least 16 pixels")
    return int(width), int(height)


@click.command(
    cls=SynthCommand,
    short_help="Write synthetic scenes as a data set.",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 64\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json"
    ),
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    required=True,
    help="New or empty folder, or one of such scenes without this split.",
)
@click.option(
    "--images", type=click.IntRange(1, MOST_INTEGER), default=64, show_default=True, help="Number of scenes."
)
@click.option(
    "--size",
    callback=read_size,
    metavar="WxH",
    default="320x240",
    show_default=True,
    help="Width x height in pixels.",
)
@click.option(
    "--seed", type=click.IntRange(0, MOST_INTEGER), default=0, show_default=True, help="Seed of the scenes."
)
@click.option(
    "--scene",
    metavar="NAME",
    default="shapes",
    show_default=True,
    shell_complete=complete_names("scenes"),
    help="Kind of scenes, see above.",
)
@click.option(
    "--format",
    "layout",
    metavar="NAME",
    shell_complete=complete_layouts,
    help="Format of the data set.  [default: the first of the scenes' formats]",
)
@click.option(
    "--objects",
    type=click.IntRange(1, MOST_INTEGER),
    help="Maximum of objects in a scene, for scenes that take it.",
)
@click.option("--split", default="val", show_default=True, help="Name of the split.")
@click.pass_obj
def command(
    plugins: Plugins,
    /,
    *,
    out: Path,
    images: int,
    size: tuple[int, int],
    seed: int,
    scene: str,
    layout: str | None,
    objects: int | None,
    split: str,
) -> None:
    """Write synthetic scenes with exact ground truth as a data set.

    Scene i of a seed does not depend on the number of scenes. Either the whole split is written or nothing;
    a folder of such scenes takes further splits.
    """
    from anydet.commands.progress import progress
    from anydet.outputs import writing_to
    from anydet.plugins.scenes import build_scenes, write_scenes

    with writing_to(out):  # what is wrong with its name is not the writer's fault
        out.exists()

    spec = plugins.spec("scenes", scene)
    layout = layout or next(iter(spec.writers))
    if layout not in spec.writers:
        raise click.UsageError(
            f"--format {layout} does not go with --scene {scene}; use {' or '.join(spec.writers)}"
        )
    if objects is not None and not spec.takes_objects:
        raise click.UsageError(
            f"--objects does not go with --scene {scene}, whose number of objects is not an option"
        )
    dataset = build_scenes(
        plugins, scene, count=images, seed=seed, image_wh=size, split=split, most_objects=objects
    )
    with progress("rendering", images) as report:
        write_scenes(plugins, scene, dataset, out, layout=layout, report=report)
    echo_path(out)
    say(f"{counted(images, 'image')} of split {split!r}, layout {layout}; next:")
    say(f"  {spec.next_step.format(out=out, split=split)}")
