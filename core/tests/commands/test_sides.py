from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from anydet.commands.sides import SidedCommand, read_sides, sided_options


@click.command(cls=SidedCommand)
@sided_options
@click.pass_context
def command(ctx, **_flags):
    """Print what each adapter gets."""
    for side in read_sides(ctx):
        click.echo(f"{side['adapter']} {side.get('checkpoint')} {' '.join(side['options'])}")


@pytest.mark.parametrize(
    ("line", "sides"),
    [
        ("--adapter a --option x=1 --adapter b --checkpoint c", ["a None x=1", "b c "]),
        ("--checkpoint c --option x=1 --adapter a --adapter b --option y=2", ["a c x=1", "b c x=1 y=2"]),
        (
            "--option x=1 --option y=2 --adapter a --adapter b --option x=3",
            ["a None x=1 y=2", "b None y=2 x=3"],
        ),
        ("--adapter a --option x=1 --option x=2", ["a None x=1 x=2"]),
    ],
    ids=["own", "of both", "own before that of both", "twice is for the adapter to refuse"],
)
def test_what_follows_an_adapter_is_its_own(line, sides):
    assert CliRunner().invoke(command, line.split()).output.splitlines() == sides
