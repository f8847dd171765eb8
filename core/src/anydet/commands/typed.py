"""What is typed, as click takes it: values of flags, and whether a word after ``--json`` is its path.

click knows flags without a value, and gives an option whose value may be left out whatever word follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from anydet.commands.predictions import PredictionsArgument

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True}
_TRUTHS |= {"false": False, "no": False, "off": False, "0": False}
OFF = "anydet.off"
"""Key in the ``meta`` of contexts: names of flags that are typed as false."""


def as_click_takes(command: click.Command, words: Sequence[str], ctx: click.Context) -> list[str]:
    """The words after a command's name.

    ``--flag true``, ``--flag=false`` and such become ``--flag``, ``--no-flag`` or nothing. ``--json`` gets
    the value "-" where the next word is an argument of the command.

    Args:
        command: the command, or a group of commands.
        words: what was typed after its name.
        ctx: the context in which the command was found.
    """
    if not isinstance(command, click.Group):
        return _Words(command, words, ctx).rewritten()
    at = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    inner = command.get_command(ctx, words[at]) if at < len(words) else None
    return [*words] if inner is None else [*words[: at + 1], *as_click_takes(inner, words[at + 1 :], ctx)]


class _Words:
    """The words of one command, taken from the left."""

    def __init__(self, command: click.Command, words: Sequence[str], ctx: click.Context) -> None:
        self._left = list(words)
        self._ctx = ctx
        self._arguments = [param for param in command.params if isinstance(param, click.Argument)]
        options = [param for param in command.params if isinstance(param, click.Option)]
        self._options = {name: param for param in options for name in (*param.opts, *param.secondary_opts)}
        self._given = 0

    def rewritten(self) -> list[str]:
        """All of them."""
        done: list[list[str]] = []
        undecided = None
        while self._left:
            word = self._left.pop(0)
            if word == "--":
                self._given += len(self._left)
                done.append([word, *self._left])
                break
            if word == "--json" and word in self._options and self._left and self._is_value(self._left[0]):
                undecided = [word, self._left.pop(0)]
                done.append(undecided)
            else:
                done.append(self._option(word))
        if undecided and self._is_argument(undecided[1]):
            undecided[0] = "--json=-"
        return [word for words in done for word in words]

    @staticmethod
    def _is_value(word: str) -> bool:
        return word == "-" or not word.startswith("-")

    def _option(self, word: str) -> list[str]:
        """A word with what belongs to it."""
        name, equals, value = word.partition("=")
        param = self._options.get(name)
        if param is None:
            self._given += self._is_value(word)
            return [word]
        if param.is_bool_flag:
            if not equals and self._left and self._left[0].lower() in {"true", "false"}:
                value = self._left.pop(0)
            return self._flag(param, name, value, word)
        if name == "--json" and not equals:
            return ["--json=-"]
        self._given += name == "--predictions" and any(
            isinstance(one, PredictionsArgument) for one in self._arguments
        )
        if equals or param.is_flag or param.count:
            return [word]
        taken, self._left = self._left[: param.nargs], self._left[param.nargs :]
        return [word, *taken]

    def _flag(self, param: click.Option, name: str, value: str, word: str) -> list[str]:
        """A flag with its value; a value that is no truth is left to click, which refuses it."""
        if value.lower() not in _TRUTHS:
            return [word]
        if _TRUTHS[value.lower()] != (name in param.secondary_opts):
            return [param.opts[0]]
        if param.secondary_opts:
            return [param.secondary_opts[0]]
        self._ctx.meta.setdefault(OFF, set()).add(param.name)
        return []

    def _is_argument(self, word: str) -> bool:
        """Whether the word after ``--json`` is an argument of the command, and no path to write to.

        It is where an argument lacks else, and where it is there and no JSON, and the command takes more
        arguments than it needs.
        """
        if word == "-":
            return False
        needed = sum(one.required for one in self._arguments)
        most = sum(float("inf") if one.nargs < 0 else 1 for one in self._arguments)
        if self._given < needed:
            return True
        return self._given < most and not word.lower().endswith(".json") and Path(word).exists()
