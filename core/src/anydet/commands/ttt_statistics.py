"""``anydet ttt-statistics``: what methods of test-time training need to know of the source data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.messages import say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.paths import INPUT, OUTPUT
from anydet.commands.recipe_options import adapter_options
from anydet.text import counted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@click.command(
    "ttt-statistics",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --scene segmentation --size 96x96 --images 8 --out data/shapes\n"
        "  anydet ttt-statistics --adapter adaptivestream --dataset data/shapes --output source.npz"
    ),
)
@adapter_options
@click.option("--dataset", type=INPUT, required=True, help="Images like those that the model was trained on.")
@click.option("--split", help="Split; the first of the usual names by default.")
@click.option(
    "--max-images",
    type=click.IntRange(2, MOST_INTEGER),
    default=512,
    show_default=True,
    help="Use the first N images.",
)
@click.option(
    "--ttt-batch-size",
    type=click.IntRange(1, MOST_INTEGER),
    default=8,
    show_default=True,
    help="Images of a batch of adaptation, for which the usual distance of such batches is measured.",
)
@click.option(
    "--confidence",
    type=FiniteRange(0, 1),
    default=0.3,
    show_default=True,
    help="Probability from which a region, query or pixel is an object.",
)
@click.option("--output", type=OUTPUT, required=True, help="File to write, .npz.")
@click.pass_obj
def command(plugins: Plugins, /, **flags: Any) -> None:
    """Write what methods of test-time training (align, eata) need to know of the source data.

    Means and variances of features of images and of objects, and the Fisher information of the norms'
    parameters; no labels are used. Give the file to --ttt-statistics of 'anydet export-predictions'.
    """
    from anydet.adaptation.ttt.selection import Scope, select_parameters
    from anydet.adaptation.ttt.source_statistics import collect_statistics
    from anydet.commands.progress import progress
    from anydet.data.opening import open_dataset
    from anydet.outputs import require_writable
    from anydet.plugins.formats import installed_formats
    from anydet.prediction.checks import check_notes
    from anydet.prediction.meta import checkpoint_sha256

    names = ("options", "config", "checkpoint", "device", "batch_size")
    settings = plugins.settings(flags["adapter"], **{name: flags[name] for name in names})
    _require_suffix(flags["output"])
    require_writable(flags["output"])
    dataset = open_dataset(flags["dataset"], flags["split"], formats=installed_formats(plugins))
    images = min(len(dataset), flags["max_images"])
    say(f"{dataset.root}: {counted(images, 'image')}, {dataset.note}")
    with plugins.adapter(flags["adapter"], settings) as adapter, progress("statistics", images) as advance:
        for warning in check_notes(adapter, plugins).warnings:
            warn(warning)
        model = adapter.get_model()
        found = collect_statistics(
            adapter,
            dataset,
            images=images,
            batch_size=flags["ttt_batch_size"],
            confidence=flags["confidence"],
            fisher_of=select_parameters(model, "norm_only", Scope({})),
            progress=advance,
            about={
                "adapter": adapter.name,
                "checkpoint_sha256": checkpoint_sha256(settings.checkpoint),
                "dataset": dataset.fingerprint(),
                "images": images,
            },
        )
    found.write(flags["output"])
    say(
        f"{flags['output']}: {counted(images, 'image')}, {counted(len(found.images), 'level')}, "
        f"{counted(int(found.counts.sum()), 'object')}, Fisher information of "
        f"{counted(len(found.fisher), 'parameter')}"
    )


def _require_suffix(output: Path) -> None:
    """Refuse a name that says the file is another thing; a device or a pipe has no say."""
    from anydet.errors import OptionError

    if output.suffix.lower() != ".npz" and (not output.exists() or output.is_file()):
        raise OptionError(f"{output}: statistics are written as .npz", fix="name it .npz")
