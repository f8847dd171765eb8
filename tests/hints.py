"""What hints name: options, commands and packages, and whether they exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema

ROOT = Path(__file__).parents[1]
OURS = [path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
HOLE = "\0"
"""Stands for what an f-string puts in."""
FOREIGN = {
    "--nproc-per-node": "torchrun",
    "--upgrade": "pip",
    "--help": "click",
}
"""Options of other programs that hints name."""
_OPTION = re.compile(rf"(?<![\w-])--([a-z{HOLE}][a-z0-9{HOLE}-]*)")
_COMMAND = re.compile(rf"(?:^|['\n:] *|\$ |run )anydet ([a-z{HOLE}][a-z-]*)((?: [^'\";\n]*)?)")
_INSTALL = re.compile(r"pip install ((?:(?:--?[a-z]+|'[^']*'|[\w.\[\]-]+) ?)+)")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@cache
def plugins() -> Plugins:
    """All plugins of this repository."""
    return Plugins(only=OURS)


@cache
def commands() -> dict[str, click.Command]:
    """All commands by what is typed after ``anydet``: "eval", "adapters show"."""
    ctx = click.Context(main, info_name="anydet", obj=plugins())
    found: dict[str, click.Command] = {}
    for name in main.list_commands(ctx):
        command = main.get_command(ctx, name)
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {one}": command.get_command(ctx, one) for one in command.list_commands(ctx)}
    return found


@cache
def options_of(command: str) -> frozenset[str]:
    """The options of a command; of those that train, the training keys of all adapters too."""
    found = {name for param in commands()[command].params for name in (*param.opts, *param.secondary_opts)}
    if command in {"train", "diagnose"}:
        for spec in plugins().specs("adapters").values():
            for key in (
                load_schema(spec.training_schema).get("properties", {}) if spec.training_schema else ()
            ):
                found |= {f"--{key.replace('_', '-')}", f"--no-{key.replace('_', '-')}"}
    return frozenset(found)


def all_options() -> frozenset[str]:
    """The options of all commands."""
    return frozenset().union(*map(options_of, commands()))


def exists(option: str, known: frozenset[str]) -> bool:
    """Whether an option is known; ``HOLE`` in it stands for any text."""
    if option in known or option in FOREIGN:
        return True
    pattern = re.compile(re.escape(option).replace(re.escape(HOLE), "[a-z0-9-]+"))
    return HOLE in option and any(pattern.fullmatch(one) for one in known)


def untrue(text: str, command: str | None = None) -> Iterator[str]:
    """What a hint names that does not exist.

    Args:
        text: the hint, with ``HOLE`` for what is not known.
        command: the command that gave it, or ``None`` for any.
    """
    rest = text
    for found in _COMMAND.finditer(text):
        typed = _typed(found)
        if typed is None:
            continue
        rest = rest.replace(found.group(), "")
        if typed not in commands():
            yield f"no command anydet {typed}"
            continue
        for option in _OPTION.findall(found[2]):
            if not exists(f"--{option}", options_of(typed)):
                yield f"anydet {typed} has no --{option}"
    known = all_options() if command is None else options_of(command)
    for option in _OPTION.findall(rest):
        if not exists(f"--{option}", known):
            yield f"no --{option}"
    for package in packages(text):
        if HOLE not in package and package not in published():
            yield f"no package {package}"


def untrue_fixes(output: str, line: str) -> list[str]:
    """What the fix lines in the output of a command line name that does not exist, or was given already."""
    command = next(one for one in sorted(commands(), key=len, reverse=True) if line.startswith(one))
    hints = re.findall(r"^ *fix: (.*)", output, re.MULTILINE)
    named = {found for hint in hints for found in re.findall(r"(?<!leave out )--[a-z-]+[ =][\w.=]+", hint)}
    given = {one for one in named if f"{one} " in f"{line} "}
    return [*sorted(given), *(fault for hint in hints for fault in untrue(hint, command))]


def _typed(found: re.Match[str]) -> str | None:
    """The command that a hint tells to run; ``None`` where it is not known."""
    first, words = found[1], found[2].split()
    if HOLE in first:
        return None
    if isinstance(commands().get(first), click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]):
        return f"{first} {words[0]}"
    return first


def packages(text: str) -> Iterator[str]:
    """Names after ``pip install`` in a text, with their extras."""
    for found in _INSTALL.finditer(text.replace(HOLE, "hole")):
        for word in re.findall(r"'[^']*'|\S+", found[1]):
            name = word.strip("',")
            if name.startswith("-"):
                continue
            if name in {"for", "or", "and"}:
                break
            yield HOLE if "hole" in name else name


@cache
def published() -> frozenset[str]:
    """What this project publishes, with and without extras, and the dependencies that it names."""
    found = set()
    for path in (ROOT / "core/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        project: dict[str, Any] = _toml(path)["project"]
        extras = project.get("optional-dependencies", {})
        found |= {project["name"], *(f"{project['name']}[{extra}]" for extra in extras)}
        for requirement in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
            found.add(_NAME.match(requirement)[0])
    return frozenset(found)


def _toml(path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    return tomllib.loads(path.read_text("utf-8"))
