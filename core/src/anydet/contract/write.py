"""Encoded entries into a predictions file, as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anydet.contract.encode import encode_json
from anydet.contract.schema import VERSION
from anydet.errors import OptionError, did_you_mean
from anydet.outputs import new_file

SUFFIXES = (".json", ".jsonl", ".parquet")


def check_output(output: Path) -> str:
    """The suffix of a file that ``write_predictions`` can write.

    Raises:
        OptionError: unknown suffix, or Parquet without pyarrow; called before a run starts.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(
            f"{output}: predictions are written as {', '.join(SUFFIXES)}" + did_you_mean(suffix, SUFFIXES),
            fix=f"name the output {output.stem}.json",
        )
    if suffix == ".parquet":
        from anydet.contract.parquet_layout import import_pyarrow

        # Imported now, so that a missing pyarrow ends a run before it starts and not when it writes.
        import_pyarrow()
    return suffix


def write_predictions(
    lines: Iterable[bytes], output: Path, *, meta: Mapping[str, Any] | None = None, wrap: bool = False
) -> None:
    """Assemble a predictions file of entries from ``encode_entry``; memory holds one entry at a time.

    The file appears under its name when it is complete; what was there before stays until then.

    Args:
        lines: encoded entries, in the order of the file.
        output: ``.json`` (a list, or with ``wrap`` an object with meta), ``.jsonl`` or ``.parquet``.
        meta: the contract's ``meta``; a ``.json`` list has no place for it.
        wrap: write ``.json`` as ``{"schema_version", "predictions", "meta"}``.

    Raises:
        OptionError: unknown suffix.
        ContractError: ``meta`` holds something JSON cannot hold.
    """
    output = Path(output)
    suffix = check_output(output)
    with new_file(output) as file:
        if suffix == ".parquet":
            from anydet.contract.parquet_writer import write_parquet

            write_parquet(lines, file, meta=meta)
            return
        write: Callable[..., Iterator[bytes]] = _json_lines if suffix == ".jsonl" else _json
        file.writelines(write(lines, meta, wrap))


def _json(lines: Iterable[bytes], meta: Mapping[str, Any] | None, wrap: bool) -> Iterator[bytes]:
    yield b'{"schema_version":%d,"predictions":[\n' % VERSION if wrap else b"[\n"
    between = b""
    for line in lines:
        yield between + line
        between = b",\n"
    yield b"\n]"
    if wrap and meta is not None:
        yield b',"meta":' + encode_json(meta, where="meta")
    yield b"}\n" if wrap else b"\n"


def _json_lines(lines: Iterable[bytes], meta: Mapping[str, Any] | None, _wrap: bool) -> Iterator[bytes]:
    yield b'{"schema_version":%d}\n' % VERSION
    for line in lines:
        yield line + b"\n"
    if meta is not None:
        yield b'{"meta":' + encode_json(meta, where="meta") + b"}\n"
