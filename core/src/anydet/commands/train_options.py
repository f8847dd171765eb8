"""The flags of ``anydet train``: one for each key of the engine, and the adapter's keys as other flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from anydet.commands.completion import complete_names

_LISTED = ("adapter", "adapter_options")
"""Keys whose flags are defined below: one completes names, the other is repeatable."""


class TrainCommand(click.Command):
    """A command whose help groups its options by the sections of ``TrainSettings``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section, those of no section last."""
        from anydet.training.config.keys import section_rows
        from anydet.training.config.settings import SECTIONS

        options = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
        for title, keys in section_rows(SECTIONS).items():
            rows = [row for key in keys if (row := options.pop(key, None)) is not None]
            with formatter.section(title):
                formatter.write_dl(rows)
        with formatter.section("Other options"):
            formatter.write_dl([row for row in options.values() if row is not None and row[0]])


def train_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: ``--config`` and all flags; one that is not given is passed on as ``None``."""
    from anydet.training.config.keys import engine_properties

    options = [_option(key, part) for key, part in engine_properties().items() if key not in _LISTED]
    for option in reversed([_CONFIG, _ADAPTER, _ADAPTER_OPTIONS, *options]):
        function = option(function)
    return function


def given(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were typed."""
    from anydet.plugins.options import parse_options

    typed = {key: value for key, value in flags.items() if value not in {None, ()}}
    if "adapter_options" in typed:
        typed["adapter_options"] = parse_options(typed["adapter_options"])
    return typed


def read_words(words: Sequence[str], config: str | None = None) -> tuple[str | None, dict[str, Any]]:
    """CONFIG and the adapter's keys from the words that are not flags of the engine.

    ``--key value`` and ``--key=value`` give text, ``--key`` alone gives true, ``--no-key`` alone false.

    Args:
        words: the command line without those flags.
        config: value of ``--config``; if given, a CONFIG among the words is refused.

    Raises:
        click.UsageError: a word is neither a flag nor the only CONFIG.
    """
    keys: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            alone = not equals and (not rest or rest[0].startswith("--"))
            if alone:
                keys[name.removeprefix("no-").replace("-", "_")] = not name.startswith("no-")
            else:
                keys[name.replace("-", "_")] = value if equals else rest.pop(0)
        elif config is None and not word.startswith("-"):
            config = word
        else:
            raise click.UsageError(f"unexpected argument {word!r}: give one CONFIG, and keys as --key value")
    return config, keys


def _option(key: str, part: Mapping[str, Any]) -> Callable[..., Any]:
    """The flag of one key."""
    # No default for click: a typed flag overrides the config file, an omitted one must not, and both would
    # arrive with the same value. The default is part of the help text instead.
    name = f"--{key.replace('_', '-')}"
    shown = _shown(part.get("default"))
    text = f"{part.get('description', '')}{f'  [default: {shown}]' if shown else ''}"
    kinds = [kind for kind in part.get("anyOf", (part,)) if kind.get("type") != "null"]
    if kinds[0].get("type") == "boolean":
        return click.option(f"{name}/--no-{name[2:]}", key, default=None, help=text)
    return click.option(name, key, type=_type(kinds), help=text)


def _type(kinds: Sequence[Mapping[str, Any]]) -> Any:
    """The click type of a schema; its limits are checked later, when values of all origins are merged."""
    kind = kinds[0] if len(kinds) == 1 else {}
    if "enum" in kind:
        return click.Choice(kind["enum"])
    plain = {"integer": click.INT, "number": click.FLOAT}
    return plain.get(kind.get("type", ""), click.STRING)


def _shown(default: Any) -> str:
    """A default as it is typed on the command line."""
    if default is None or default in ("", {}):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


_CONFIG = click.option("--config", metavar="CONFIG", help="Same as the argument CONFIG.")
_ADAPTER = click.option(
    "--adapter",
    metavar="NAME",
    shell_complete=complete_names("adapters"),
    help="Adapter to train; see 'anydet adapters list'.",
)
_ADAPTER_OPTIONS = click.option(
    "--option",
    "adapter_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the adapter, see 'anydet adapters show NAME'; repeatable.",
)
