"""The flags of ``anydet train``: one for each key of the engine, and any long flag for the adapter's keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from anydet.commands.completion import complete_names

_LISTED = ("adapter", "adapter_options")
"""Keys whose flags are written out below, because they are more than a value."""


class TrainCommand(click.Command):
    """A command whose help has its options under the headings of ``TrainSettings``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section for each heading, those of no section last."""
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
    """CONFIG and the adapter's keys, of the words that are no flags of the engine.

    ``--key value`` and ``--key=value`` give text, ``--key`` alone gives true, ``--no-key`` alone false.

    Args:
        words: what the command line has beside those flags.
        config: what ``--config`` said, which leaves no place for a CONFIG among the words.

    Raises:
        click.UsageError: a word is neither, or a second CONFIG.
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
            raise click.UsageError(f"what is {word!r}? Flags are --key value, CONFIG is one file.")
    return config, keys


def _option(key: str, part: Mapping[str, Any]) -> Callable[..., Any]:
    """The flag of one key; its default is not click's, so that a flag that was typed can be told."""
    name = f"--{key.replace('_', '-')}"
    shown = _shown(part.get("default"))
    text = f"{part.get('description', '')}{f'  [default: {shown}]' if shown else ''}"
    kinds = [kind for kind in part.get("anyOf", (part,)) if kind.get("type") != "null"]
    if kinds[0].get("type") == "boolean":
        return click.option(f"{name}/--no-{name[2:]}", key, default=None, help=text)
    return click.option(name, key, type=_type(kinds), help=text)


def _type(kinds: Sequence[Mapping[str, Any]]) -> Any:
    """What click can tell to be wrong usage; limits are the schema's."""
    kind = kinds[0] if len(kinds) == 1 else {}
    if "enum" in kind:
        return click.Choice(kind["enum"])
    plain = {"integer": click.INT, "number": click.FLOAT}
    return plain.get(kind.get("type", ""), click.STRING)


def _shown(default: Any) -> str:
    """A default as one would type it."""
    if default is None or default in ("", {}):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


_CONFIG = click.option("--config", metavar="CONFIG", help="The same as CONFIG without a flag.")
_ADAPTER = click.option(
    "--adapter",
    metavar="NAME",
    shell_complete=complete_names("adapters"),
    help="Who is trained; see 'anydet adapters list'.",
)
_ADAPTER_OPTIONS = click.option(
    "--option",
    "adapter_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the adapter, as when it predicts; repeatable.",
)
