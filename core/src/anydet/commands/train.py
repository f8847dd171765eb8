"""``anydet train``: train the model of an adapter on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.json_output import STDOUT, json_option, write_encoded
from anydet.commands.messages import echo_path, say
from anydet.commands.result_options import MAX_PIXELS, STRICT
from anydet.commands.train_options import TrainCommand, given, read_words, train_options

if TYPE_CHECKING:
    from anydet.plugins.adapter import TrainResult
    from anydet.plugins.manager import Plugins
    from anydet.training.run import Run


@click.command(
    "train",
    cls=TrainCommand,
    context_settings={"ignore_unknown_options": True},
    options_metavar="[CONFIG] [OPTIONS]",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 4 --split train\n"
        "  anydet train --adapter fasterrcnn_multitask --dataset data/scenes --run-id first \\\n"
        "      --weights none --backbone resnet18_fpn --min-size 96 --max-size 128 --proposals 100 \\\n"
        "      --max-steps 2"
    ),
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@train_options
@STRICT
@json_option()
@MAX_PIXELS
@click.pass_obj
def command(
    plugins: Plugins,
    /,
    words: tuple[str, ...],
    *,
    config: str | None,
    strict: bool,
    json_path: Path | None,
    **flags: Any,
) -> None:
    """Train the model of an adapter on a data set.

    CONFIG is a YAML or JSON file of keys, or the name of a config file in the adapter's package; keys are
    the long flags with underscores. Flags override CONFIG, CONFIG overrides the adapter's defaults ('anydet
    adapters show NAME'), and these override the defaults shown here. Any other long flag is a training key
    of the adapter: --key value, --key=value, or --key alone for true.

    Files are written to RUNS_DIR/RUN_ID: checkpoints/best.pt and last.pt, reports, and exports/model.onnx,
    which is held against the trained model (--parity-policy). --resume continues an interrupted run. Several
    processes: torchrun --nproc-per-node 2 -m anydet.cli train ...
    """
    import sys
    from contextlib import redirect_stdout

    from anydet.export.gate import train_and_export
    from anydet.training.devices.torchrun import is_main_process
    from anydet.training.launch.preparation import prepare

    config, keys = read_words(words, config)
    typed = {**keys, **given(flags)}
    if config is None and not ({"adapter", "resume"} & set(typed)):
        raise click.UsageError("no CONFIG and no adapter given: add --adapter NAME and --dataset DIR")
    ready = prepare(
        typed,
        config,
        plugins=plugins,
        say=say if is_main_process() else lambda _text: None,
        refuse_odd=strict,
    )
    # stdout is for the result, which scripts read; adapters and libraries print to it, too.
    with redirect_stdout(sys.stderr):
        result = train_and_export(ready, say=say)
    if is_main_process():
        _print_result(ready.run, result, json_path)


def _print_result(run: Run, result: TrainResult, json_path: Path | None) -> None:
    import msgspec

    from anydet.training.launch.start import next_command

    best = run.settings.best_metric
    if best in result.metrics:
        say(f"{best} {result.metrics[best]:.4g}")
    say("next:", f"  {next_command(run, result)}")
    encoded = msgspec.json.format(msgspec.json.encode(result))  # a number that is NaN becomes null
    if json_path:
        write_encoded(encoded.decode(), json_path)
    if json_path != STDOUT:
        echo_path(result.checkpoint)
