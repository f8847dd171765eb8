"""``anydet browse``: the page of ``anydet report`` with every picture, served to this machine alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anydet.commands.coco_options import bootstrap_options
from anydet.commands.dataset_options import dataset_options, engine_options, open_data
from anydet.commands.json_output import write_json
from anydet.commands.messages import echo, say, warn
from anydet.commands.numbers import FiniteRange
from anydet.commands.page_models import print_headlines, read_models, summarize, warn_of_failures
from anydet.commands.predictions import predictions_arguments

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.report.page.findings import Findings
    from anydet.report.server.server import BrowseServer


@click.command(
    "browse",
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 16\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet browse predictions.json --dataset data/scenes"
    ),
)
@predictions_arguments("predictions", several=True)
@dataset_options
@engine_options
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any that is free",
    help="Port of 127.0.0.1 to listen on.",
)
@click.option(
    "--open/--no-open", "opens", default=True, help="Open the page in a browser, where there is one."
)
@click.option(
    "--idle-minutes",
    type=FiniteRange(0),
    help="End after so many minutes without a request; 0 evaluates, prints and ends.  [default: never]",
)
@bootstrap_options
@click.pass_obj
def command(
    plugins: Plugins, /, predictions: tuple[Path, ...], json_path: Path | None, port: int, **flags: Any
) -> None:
    """Serve the page of 'anydet report' to this machine, with all detections and whole images.

    Nothing is left out: every detection, annotation and image has its picture, which is read from the data
    set when it is looked at. The server listens on 127.0.0.1 alone, and answers browsers that have opened the
    address that is printed, which holds a token. Ctrl-C ends it.
    """
    from anydet.report.server.pictures import Pictures
    from anydet.report.server.server import BrowseServer, Contents

    # Before the work: a port that is taken is said at once.
    with BrowseServer(port, warn) as server:
        engine, scanner, dataset = open_data(plugins, flags)
        findings = _find(plugins, read_models(dataset, predictions, flags, scanner), engine, flags)
        pictures = Pictures(dataset, findings, lambda error: warn(error.problem))
        contents = Contents(findings, pictures)
        _print(findings, server, json_path)
        idle = flags["idle_minutes"]
        if flags["opens"] and idle != 0:
            _open(server.url_once)
        server.serve(contents, None if idle is None else 60 * idle)
    say(f"ended: no request for {idle:g} minutes" if idle else "ended without serving")


def _find(plugins: Plugins, models: list[Any], engine: Any, flags: dict[str, Any]) -> Findings:
    from anydet.commands.progress import progress
    from anydet.evaluation.evaluator import AnalysisSettings
    from anydet.report.page.findings import find

    return find(
        models,
        AnalysisSettings(flags["resamples"], flags["level"], flags["seed"]),
        plugins=plugins,
        engine=engine,
        progress=lambda label, total, unit: progress(label, total, unit=unit),
    )


def _print(findings: Findings, server: BrowseServer, json_path: Path | None) -> None:
    """Numbers to stderr, so that stdout is the address; with ``--json -`` the JSON has it."""
    warn_of_failures(findings.runs)
    summary = summarize(findings.names, findings.runs, findings.comparisons)
    # Others may read a file of numbers, and must not get the token by it.
    whole = json_path == Path("-")
    write_json({"url": server.url, **summary} if whole else summary, json_path)
    print_headlines(findings.names, findings.runs, say)
    say("the page of all pictures, for this machine alone; Ctrl-C ends it")
    if not whole:
        echo(server.url)


def _open(url: str) -> None:
    """Open it in a browser of the desktop; one of the terminal would take that away from the server."""
    import webbrowser

    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    try:
        webbrowser.open(url)
    except webbrowser.Error as error:
        warn(f"no browser was opened: {error}")
