"""No number that is given anywhere may be NaN or infinite: flags, options of plugins, training keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest

from anydet.cli import main
from anydet.commands.train_options import TrainCommand
from anydet.errors import OptionError
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.config.keys import engine_properties
from anydet.training.config.resolve import resolve

ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))
PLUGINS = Plugins(only=OURS.split(","))
WRONG = ("nan", "inf", "-inf", "1e999")
SAMPLES = ("0.5", "1.5", "1", "2,1", "all=0:1,small=0:1")
"""Values of which every option that takes numbers takes one."""


def leaves(command, ctx, name=""):
    """(name as typed, context) of each command that is no group."""
    if not isinstance(command, click.Group):
        yield name, ctx
        return
    for part in command.list_commands(ctx):
        below = command.get_command(ctx, part)
        yield from leaves(below, click.Context(below, ctx, part), f"{name} {part}".strip())


def holds_floats(value):
    if isinstance(value, Mapping):
        return any(map(holds_floats, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(map(holds_floats, value))
    return isinstance(value, float)


def read(param, ctx, text):
    """What an option makes of a text, as the command would get it."""
    try:
        return param.process_value(ctx, (text,) if param.multiple else text)
    finally:
        ctx.close()  # takes back what an option has set for the time of its command


def number_options():
    """(command, option, a value that it takes) of each option whose value is a number or has some."""
    root = click.Context(main, info_name="anydet", obj=PLUGINS)
    for name, ctx in leaves(main, root):
        for param in ctx.command.params:
            # Flags of training are keys, which a config file may have, too: see below.
            if isinstance(ctx.command, TrainCommand) and param.name in engine_properties():
                continue
            for sample in SAMPLES:
                try:
                    value = read(param, ctx, sample)
                except click.BadParameter:
                    continue
                if holds_floats(value):
                    yield pytest.param(ctx, param, sample, id=f"{name} {param.name}")
                    break


NUMBER_OPTIONS = list(number_options())


def test_the_options_are_found():
    found = {param.id for param in NUMBER_OPTIONS}
    assert {
        "eval-coco dilation_ratio",
        "eval-coco area_ranges_px",
        "eval-coco iou_thresholds",
        "compare level",
        "predict score_threshold",
        "export-predictions ttt_lr",
        "export-predictions tta_weights",
        "diagnose overfit_share",
        "adaptivestream quick-test seconds",
    } <= found


@pytest.mark.parametrize(("ctx", "param", "sample"), NUMBER_OPTIONS)
def test_no_option_of_a_command_takes_a_number_that_is_not_finite(ctx, param, sample):
    for wrong in WRONG:
        for place in re.finditer(r"[\d.]+", sample):
            text = sample[: place.start()] + wrong + sample[place.end() :]
            with pytest.raises(click.BadParameter):
                read(param, ctx, text)


def test_no_option_of_a_command_takes_an_integer_of_more_than_64_bits():
    taken = []
    root = click.Context(main, info_name="anydet", obj=PLUGINS)
    for name, ctx in leaves(main, root):
        for param in ctx.command.params:
            if isinstance(ctx.command, TrainCommand) and param.name in engine_properties():
                continue
            try:
                value = read(param, ctx, str(10**30))
            except (click.BadParameter, click.UsageError):
                continue
            if value == 10**30 and not isinstance(value, float):
                taken.append(f"{name} {param.opts[0]}")
    assert not taken


def takes_numbers(schema):
    kinds = schema.get("type", ())
    if "number" in ([kinds] if isinstance(kinds, str) else kinds):
        return True
    parts = [*schema.get("anyOf", ()), *(schema[key] for key in ("items",) if key in schema)]
    return any(map(takes_numbers, parts))


def plugin_options():
    for kind in ("adapters", "views", "fusions", "ttt_methods"):
        for name, spec in PLUGINS.specs(kind).items():
            properties = load_schema(spec.options_schema).get("properties", {})
            for key, schema in properties.items():
                if takes_numbers(schema):
                    # Text stays text where a schema takes that, too.
                    texts = () if "string" in schema.get("type", ()) else WRONG
                    yield pytest.param(kind, name, key, texts, id=f"{name} {key}")


def test_options_of_plugins_are_found():
    assert len(list(plugin_options())) > 10


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "key", "texts"), list(plugin_options()))
def test_no_option_of_a_plugin_takes_a_number_that_is_not_finite(kind, name, key, texts):
    numbers = [float(text) for text in WRONG]
    for wrong in (*numbers, *([number] for number in numbers), *texts, *(f"[{text}]" for text in texts)):
        with pytest.raises(OptionError, match=key):
            PLUGINS.options(kind, name, {key: wrong})


def training_keys():
    for key, schema in engine_properties().items():
        if takes_numbers(schema):
            yield pytest.param("toy", {"properties": {}}, key, id=key)
    for name, spec in PLUGINS.specs("adapters").items():
        schema = load_schema(getattr(spec, "training_schema", None))
        for key, part in schema.get("properties", {}).items():
            if takes_numbers(part):
                yield pytest.param(name, schema, key, id=f"{name} {key}")


@pytest.mark.parametrize(("name", "schema", "key"), list(training_keys()))
def test_no_training_key_takes_a_number_that_is_not_finite(name, schema, key, tmp_path):
    for text in WRONG:
        for wrong in (text, float(text)):
            with pytest.raises(OptionError, match=key.replace("_", ".")):
                resolve({"adapter": name, key: wrong}, None, schema, adapter_name=name)
    config = tmp_path / "train.yaml"
    for written in (".nan", ".inf", "-.inf", "NaN"):
        config.write_text(f"{key}: {written}\n", "utf-8")
        with pytest.raises(OptionError, match=key):
            resolve({"adapter": name}, config, schema, adapter_name=name)
