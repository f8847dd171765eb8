"""The ``anydet`` command: a group that imports a command when it runs."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import click

from anydet.errors import (
    MEMORY_FIX,
    AnydetError,
    AnydetWarning,
    ImageError,
    ImageSizeError,
    SplitError,
    did_you_mean,
    warn_anew,
)
from anydet.text import message, quoted
from anydet.version import __version__

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a write; without a file name they are of stdout."""
_NEVER_CUT = 10_000
_OTHER_NAMES = {
    "check": "check-dataset",
    "detect": "predict",
    "evaluate": "eval-coco",
    "export": "export-predictions",
    "finetune": "train",
    "fine-tune": "train",
    "infer": "predict",
    "list": "adapters list",
    "map": "eval-coco",
    "plot": "plot-metrics",
    "show": "view",
    "tta": "adaptation",
    "ttt": "adaptation",
    "val": "eval-coco",
    "validate": "validate-predictions",
    "visualize": "view",
}
"""What people type who come from other tools -> what to type here."""


class Group(click.Group):
    """Finds commands by their registered names, and prints errors without traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of core's commands, then of the plugins' commands."""
        return list(_plugins(ctx).specs("commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        plugins = _plugins(ctx)
        if not plugins.has("commands", cmd_name):
            return None
        command: click.Command = plugins.load("commands", cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an argument that is empty is wrong usage, and a name like another leads to it."""
        _refuse_empty(ctx, args)
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            other = _OTHER_NAMES.get(name)
            hint = f"; its name here is {other!r}" if other else did_you_mean(name, known)
            raise click.UsageError(f"no command called {quoted(name)}{hint}", ctx)
        found, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            from anydet.commands.typed import as_click_takes

            rest = as_click_takes(command, rest, ctx)
        return found, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with the summaries of their specs; only one without a summary is imported."""
        specs = _plugins(ctx).specs("commands")
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, spec in specs.items():
            command = None if spec.summary else self.get_command(ctx, name)
            summary = command.get_short_help_str(_NEVER_CUT) if command else spec.summary
            sections.setdefault(spec.section, []).append((f"{name:{max(map(len, specs))}}", summary))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click does; what is printed before a command begins, as help is, may not be writable."""
        try:
            return super().main(*args, **kwargs)
        except OSError as exc:
            if exc.filename is not None or exc.errno not in _FULL:
                raise
            failure = _Failure(_refused(exc))
            failure.show()
            sys.exit(failure.exit_code)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """As click does; what was typed may be long."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as exc:
            _bound(exc)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run; what users can do something about becomes a message and an exit code."""
        from anydet.inputs import keeping_inputs

        try:
            with keeping_inputs():
                result = super().invoke(ctx)
            # Here, where it can still be said that it failed; Python's own flush comes too late for that.
            sys.stdout.flush()
        except click.ClickException as exc:
            _bound(exc)
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as exc:
            raise _Failure(_InterruptedError("interrupted")) from exc
        except BaseException as exc:
            error = _explained(exc, ctx)
            if error is None:
                raise
            raise _Failure(error) from exc
        return result


def _refuse_empty(ctx: click.Context, args: list[str]) -> None:
    """Refuse what a shell makes of a variable that is not set; Python takes it for the current folder."""
    for before, word in zip(["anydet", *args], args, strict=False):
        if not word:
            problem = f"the argument after {before!r} is empty"
        elif word.startswith("--") and word.partition("=")[1:] == ("=", ""):
            problem = f"{word!r} has an empty value"
        else:
            continue
        raise click.UsageError(f"{problem}; is a variable of the shell not set?", ctx)


def _bound(exc: click.ClickException) -> None:
    """Cut and escape what click says of a value, which may be of any length."""
    exc.message = message(exc.message)  # type: ignore[misc]  # click declares it final


def _explained(exc: BaseException, ctx: click.Context) -> AnydetError | None:
    """The error to print; ``None`` for a bug of our own, a broken pipe, which click handles, and an exit."""
    if isinstance(exc, AnydetError):
        return _with_flag(exc, ctx)
    if isinstance(exc, OSError):
        if exc.filename is not None or exc.errno in _FULL:
            return _refused(exc)
        if exc.errno == errno.EPIPE:
            return None
    if _is_out_of_memory(exc):
        return AnydetError(f"memory is exhausted{f': {exc}' if str(exc) else ''}", fix=MEMORY_FIX)
    plugins = _plugins(ctx)
    command = ctx.invoked_subcommand
    if isinstance(exc, SystemExit) and command and plugins.owner("commands", command) is not None:
        return None
    blamed: AnydetError | None = plugins.blame(exc)
    return blamed


def _with_flag(error: AnydetError, ctx: click.Context) -> AnydetError:
    """An error whose fix names the flag that the command at hand has for it; itself where there is none."""
    if isinstance(error, ImageSizeError) and error.pixels and _has_option(ctx, "max_pixels"):
        error = ImageError(error.problem, fix=f"open it with --max-pixels {error.pixels}, or {error.fix}")
    if isinstance(error, ImageError) and _has_option(ctx, "on_error"):
        return ImageError(error.problem, fix=f"{error.fix}, or use --on-error skip")
    if isinstance(error, SplitError) and _has_option(ctx, error.option):
        return SplitError(error.problem, fix=f"{error.fix} with --{error.option.replace('_', '-')}")
    return error


def _is_out_of_memory(exc: BaseException) -> bool:
    """Whether memory is what lacks; a library or a thread that finds no room has errors of other types."""
    if isinstance(exc, OSError) and exc.errno == errno.ENOMEM:
        return True
    said = isinstance(exc, ImportError | RuntimeError) and any(
        words in str(exc) for words in ("Cannot allocate memory", "failed to map segment", "start new thread")
    )
    # What numpy does where its own allocation fails.
    null = isinstance(exc, SystemError) and "NULL without setting" in str(exc) and _memory_is_limited()
    return said or null or isinstance(exc, MemoryError)


def _memory_is_limited() -> bool:
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:  # Windows
        return False
    return getrlimit(RLIMIT_AS)[0] != RLIM_INFINITY


def _has_option(ctx: click.Context, name: str) -> bool:
    """Whether the command that ran has an option."""
    command = (
        ctx.command.get_command(ctx, ctx.invoked_subcommand or "") if isinstance(ctx.command, Group) else None
    )
    return command is not None and any(param.name == name for param in command.params)


class _InterruptedError(AnydetError):
    exit_code = 130  # 128 plus the number of SIGINT, as in shells


class _Failure(click.ClickException):
    def __init__(self, error: AnydetError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click declares it for the class


def _refused(exc: OSError) -> AnydetError:
    """The file and the reason of an ``OSError``; one that names no file is of stdout."""
    path = exc.filename2 or exc.filename
    if path is not None:
        return AnydetError(f"{path}: {exc.strerror}", fix="give another path, or change its permissions")
    with suppress(OSError, ValueError):  # where stdout is no file
        # What waits in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return AnydetError(f"stdout: {exc.strerror}", fix="write it to another place")


def _occupy_closed_streams() -> None:
    """Lead standard streams that are closed to the null device, so that no file gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _keep_stdout() -> None:
    """Give stdout a descriptor of its own; what plugins and libraries write to 1 goes to stderr."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file: tests and embedders
        return
    if number == 1:
        sys.stdout.flush()
        own = sys.stdout
        sys.stdout = os.fdopen(os.dup(1), "w", encoding=own.encoding, errors=own.errors)
        os.dup2(2, 1)
        # A plugin that closes them would leave nothing to say it with.
        for stream in (sys.stdout, sys.stderr):
            stream.close = lambda: None  # type: ignore[method-assign]


def _show_warning(otherwise: Callable[..., None], warning: Warning | str, *args: Any, **kwargs: Any) -> None:
    """A warning of ours as a line, any other as it is."""
    if isinstance(warning, AnydetWarning):
        from anydet.commands.messages import warn

        warn(warning)
    else:
        # Of a plugin or a library: its text may hold what a terminal takes for a command.
        otherwise(message(str(warning)), *args, **kwargs)


def _plugins(ctx: click.Context) -> Any:
    """The plugins of this process, found once; commands get them as ``ctx.obj``."""
    root = ctx.find_root()
    if root.obj is None:
        from anydet.plugins.manager import Plugins

        root.obj = Plugins.from_env()
    return root.obj


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "\b\n"
        "Example:\n"
        "  anydet synth --out data/scenes --images 64\n"
        "  anydet export-predictions --adapter toy --dataset data/scenes --output predictions.json\n"
        "  anydet validate-predictions predictions.json\n"
        "  anydet eval-coco --dataset data/scenes --predictions predictions.json"
    ),
)
@click.version_option(__version__)
@click.pass_context
def main(ctx: click.Context) -> None:
    """One predictions contract for any detector: export, validate and evaluate predictions."""
    # Start-up makes many objects that live to the end; the default threshold would have the garbage
    # collector walk through them again and again.
    gc.set_threshold(50_000)
    _occupy_closed_streams()
    _keep_stdout()
    if getattr(warnings.showwarning, "func", None) is not _show_warning:  # once a process
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
    warn_anew()
    atexit.register(_spare_last_collection)
    _plugins(ctx)


def _spare_last_collection() -> None:
    """Leave out the collection that Python ends with, a tenth of a short command."""
    # torch brings bindings that print all their objects as leaked where that collection finds none of them.
    if "torch" not in sys.modules:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
