"""Writes the pages of docs/reference that are made from ``--help``, the schemas and the hooks.

Run it by ``make docs``. A test holds the pages to what it would write.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from anydet import plugins as authors
from anydet.cli import main as anydet
from anydet.plugins import hookspecs, specs
from anydet.plugins.api import API_VERSION
from anydet.plugins.catalog import option_rows
from anydet.plugins.manager import ADAPTATION, Plugins, noun
from anydet.plugins.options import load_schema
from anydet.training.config import resolve as resolution
from anydet.training.config.keys import ALIASES, described_schema, engine_properties, section_rows
from anydet.training.config.settings import SECTIONS

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs/examples/hooks"
REFERENCE = ROOT / "docs/reference"
MADE = "<!-- Made by `make docs`; do not edit. -->"


def pages() -> dict[str, str]:
    """File name in ``docs/reference`` -> text, for what this repository brings and no other plugin."""
    ours = [path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    os.environ["ANYDET_PLUGINS"] = ",".join(ours)
    plugins = Plugins.from_env()
    return {
        "commands.md": commands(plugins),
        "hooks.md": hooks(),
        "predictions-schema.md": predictions_schema(),
        "adapters-options.md": adapters_options(plugins),
        "adaptation-options.md": adaptation_options(plugins),
        "training-keys.md": training_keys(plugins),
    }


def commands(plugins: Plugins) -> str:
    """``--help`` of every command and subcommand."""
    parts = [f"# Commands\n\n{MADE}\n\nWhat `anydet COMMAND --help` prints."]
    for ctx in walk(_context(anydet, "anydet", obj=plugins)):
        parts.append(f"## {ctx.command_path}\n\n```text\n{ctx.get_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def walk(ctx: click.Context) -> Iterator[click.Context]:
    """A command and all below it, each with its context."""
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None and not command.hidden:
                yield from walk(
                    click.Context(command, ctx, name, terminal_width=100, max_content_width=100, obj=ctx.obj)
                )


def _context(
    command: click.Command, name: str, parent: click.Context | None = None, *, obj: Any = None
) -> click.Context:
    """As the command line makes it, but of one width everywhere."""
    return click.Context(command, parent, name, terminal_width=100, obj=obj, **command.context_settings)


def hooks() -> str:
    """Every hook that a plugin may implement, and what it registers."""
    parts = [
        f"# Hooks\n\n{MADE}",
        _doc(hookspecs),
        "An implementation is a function of the hook's name in the module that the entry point of group "
        "`anydet` names, marked with `@anydet.plugins.hookimpl`. "
        f"The module states `PLUGIN_API = {API_VERSION}`, the version of the plugin API that it is written "
        "for. "
        "[Write an adapter](../tutorial/write-an-adapter.md) shows one; [plugin API](plugin-api.md) says "
        "what changed between versions.",
        "Each hook has an example, a whole package `anydet-example` but for its `pyproject.toml`, which "
        'names `example = "anydet_example"` among the entry points. A test installs each, holds it to the '
        "conformance kit (`anydet plugins check example`) and runs the commands that are shown, where "
        "`scenes` is what `anydet synth --out scenes --images 2 --size 96x64` writes.",
    ]
    for name, hook in vars(hookspecs).items():
        if inspect.isfunction(hook) and hasattr(hook, f"{hookspecs.PROJECT}_spec"):
            parts.append(f"## {name}\n\n```text\n{name}{inspect.signature(hook)}\n```\n\n{_doc(hook)}")
            parts += _example(EXAMPLES / name)
    parts.append("## What is registered")
    parts += [f"### {name}\n\n{_attributes(kind)}" for name, kind in vars(specs).items() if _is_spec(kind)]
    capabilities = [(f"`{name}`", ", ".join(map(_code, m))) for name, m in specs.CAPABILITIES.items()]
    parts.append(
        f"## Capabilities of adapters\n\n{_table(('capability', 'methods of `Adapter`'), capabilities)}"
    )
    parts.append(
        "## What authors import\n\nAll of it from `anydet.plugins`, beside the specs and `hookimpl`. It is "
        "imported on first use, so that a package's `__init__`, which needs none of it, stays cheap.\n\n"
        + _table(("name", "what it is", "module"), list(_authors()))
    )
    return "\n\n".join(parts) + "\n"


def _example(folder: Path) -> Iterator[str]:
    """The files of the package that shows a hook, then what runs it."""
    if not folder.is_dir():
        yield "The example of `on_train_start` has it, too."
        return
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix == ".sh", path.name)):
        language = {".py": "python", ".sh": "bash", ".yaml": "yaml"}[path.suffix]
        title = "" if language == "bash" else f" title=src/anydet_example/{path.name}"
        yield f"```{language}{title}\n{path.read_text('utf-8').rstrip()}\n```"


def _authors() -> Iterator[tuple[str, str, str]]:
    for module, names in authors.AUTHORS.items():
        for name in names:
            yield _code(name), _doc(getattr(authors, name)).splitlines()[0], _code(module)


def predictions_schema() -> str:
    """Each object of the schema as a table of its fields."""
    schema = json.loads((ROOT / "schemas/predictions.schema.json").read_text("utf-8"))
    parts = [
        f"# Fields of the predictions file\n\n{MADE}",
        schema["description"],
        "[The predictions file](predictions.md) says what they are for; the normative text is "
        "[the schema](../../core/src/anydet/schemas/predictions.schema.json).",
    ]
    for name, part in schema["$defs"].items():
        parts += _objects(name, part, schema["$defs"])
    return "\n\n".join(parts) + "\n"


def adapters_options(plugins: Plugins) -> str:
    """What ``--option key=value`` accepts, an adapter a section."""
    parts = [f"# Options of the adapters\n\n{MADE}\n\nGiven as `--option KEY=VALUE`, which may be repeated."]
    for name, spec in sorted(plugins.specs("adapters").items()):
        table = _options("option", load_schema(spec.options_schema)) or "It takes no option."
        parts.append(f"## {name}\n\n{spec.summary.rstrip('.')}.\n\n{table}")
    return "\n\n".join(parts) + "\n"


def adaptation_options(plugins: Plugins) -> str:
    """What views, fusions and methods of test-time training take, a kind a section."""
    parts = [
        f"# Options of views, fusions and methods\n\n{MADE}",
        "Views and the fusion take them as `--tta-option NAME.KEY=VALUE`, views also in this order"
        " behind their name (`--tta-views scale:0.5`); methods take them as `--ttt-option KEY=VALUE`.",
    ]
    for kind in ADAPTATION:
        for name, spec in plugins.specs(kind).items():
            table = _options("option", load_schema(spec.options_schema)) or "It takes no option."
            parts.append(f"## {noun(kind)} {name}\n\n{_sentence(spec.summary)}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:].rstrip('.')}."


def training_keys(plugins: Plugins) -> str:
    """What a config file of ``anydet train`` may say: the engine's keys, then each adapter's own."""
    aliases = ", ".join(f"`{alias}` for `{key}`" for alias, key in ALIASES.items())
    parts = [
        f"# Keys of a training run\n\n{MADE}",
        "Each is a line `key: value` of a config file and a flag `--key value` of "
        "[`anydet train`](commands.md).",
        inspect.cleandoc(resolution.__doc__ or "").partition("\n\n")[2].replace("``", "`"),
        f"Other names: {aliases}; `use_amp: true` is `amp: fp16`.",
    ]
    engine = engine_properties()
    for title, keys in section_rows(SECTIONS).items():
        parts.append(f"## {title}\n\n{_options('key', {'properties': {key: engine[key] for key in keys}})}")
    for name, spec in sorted(plugins.specs("adapters").items()):
        own = _options("key", described_schema(load_schema(spec.training_schema)))
        if own:
            parts.append(f"## Adapter {name}\n\nIts own keys, and its defaults of the engine's.\n\n{own}")
    return "\n\n".join(parts) + "\n"


def _options(kind: str, schema: Mapping[str, Any]) -> str:
    """The properties of a schema as a table; empty where it has none."""
    rows = [
        (f"`{o.name}`", o.type, "" if o.default is None else f"`{json.dumps(o.default)}`", o.description)
        for o in option_rows(schema)
    ]
    return _table((kind, "takes", "default", "meaning"), rows) if rows else ""


def _objects(name: str, part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    """A section for a schema and for the objects within it, where they have fields."""
    fields = _fields(part)
    if not fields:
        return
    required = part.get("required", ())
    rows = []
    for key, value in fields.items():
        known = definitions.get(value.get("$ref", "").rpartition("/")[2], value)
        mark = " (required)" if key in required else ""
        rows.append((f"`{key}`{mark}", _type(value, definitions), known.get("description", "")))
    text = [f"## {name}", *([part["description"]] if "description" in part else [])]
    yield "\n\n".join([*text, _table(("field", "type", "meaning"), rows)])
    for key, value in part.get("properties", {}).items():
        yield from _objects(f"{name}.{key}", value, definitions)


def _fields(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of an object, also of one that may be a list instead."""
    fields: Mapping[str, Any] = part.get("properties") or part.get("else", {}).get("properties", {})
    return fields


def _type(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a value may be, in words; objects with fields are links to their section."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})" if _fields(definitions[name]) else _type(definitions[name], definitions)
    if "enum" in part:
        return " or ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    kind = part.get("type", "any")
    kinds = [kind] if isinstance(kind, str) else list(kind)
    if "array" in kinds and "items" in part:
        low, high = part.get("minItems"), part.get("maxItems")
        count = f"{low} x " if low is not None and low == high else ""
        kinds[kinds.index("array")] = f"array of {count}{_type(part['items'], definitions)}"
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="))
    return " or ".join(kinds) + "".join(f", {sign} {part[key]}" for key, sign in signs if key in part)


def _is_spec(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, specs.Spec)


def _attributes(kind: type) -> str:
    """A docstring whose ``Attributes`` become a list."""
    text, _, attributes = _doc(kind).partition("\n\nAttributes:\n")
    lines = inspect.cleandoc(" \n" + attributes).splitlines() if attributes else []
    for line in lines:
        name, _, rest = line.strip().partition(": ")
        text += f"\n- `{name}`: {rest}" if not line.startswith(" ") else f" {line.strip()}"
    return text.replace("\n- ", "\n\n- ", 1)


def _doc(thing: object) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")


def _code(text: str) -> str:
    return f"`{text}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def write(folder: Path) -> None:
    """Write all pages."""
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE)
