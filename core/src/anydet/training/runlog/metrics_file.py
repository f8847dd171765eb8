"""``MetricsFile``: numbers of a run as JSON lines, and the same as CSV beside them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from anydet.errors import OutputError, TrainingError
from anydet.inputs import read_text, release
from anydet.outputs import new_file, writing_to

Line = Mapping[str, Any]


class MetricsFile:
    """Appends one JSON object a line; what was appended survives the end of the process.

    Floats are written so that reading gives the same bits; NaN and infinity, which JSON cannot say, as
    ``null``. Lines that are there already stay; ``truncate_after`` removes them.

    Args:
        path: the JSON lines; its folder is made where it is missing.
        csv_path: where the same goes as CSV, or ``None``. A column that appears late is empty above.

    Raises:
        TrainingError: a line of an existing file is not a JSON object; the last one may be torn.
    """

    def __init__(self, path: Path, csv_path: Path | None = None) -> None:
        self.path = path
        self.csv_path = csv_path
        self._json: IO[str] | None = None
        self._csv: IO[str] | None = None
        self._columns: list[str] = []
        with writing_to(path, path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._write_all(read_metrics(path) if path.exists() else [])

    def append(self, line: Line) -> None:
        """Write one line and hand it to the operating system; raises ``OutputError`` where it refuses."""
        self.require_there()
        with writing_to(self.path, self.path.parent):
            self._append({name: _plain(value) for name, value in line.items()})

    def require_there(self) -> None:
        """Raise ``OutputError`` where the file was removed, with its folder or alone."""
        # An open file that has no name any more can be written, and nobody will ever read it.
        if not self.path.exists():
            raise OutputError(
                f"{self.path}: was removed while the run was writing it",
                fix="start the run again, and leave its folder alone while it trains",
            )

    def _append(self, line: Line) -> None:
        self._json = self._json or self.path.open("a", encoding="utf-8")
        self._json.write(_encode(line))
        # Without it, lines of a killed process would be lost in Python's own buffer.
        self._json.flush()
        if self.csv_path is None:
            return
        if set(line) <= set(self._columns):
            self._csv = self._csv or self.csv_path.open("a", encoding="utf-8", newline="")
            self._csv.write(_rows(self._columns, [line]))
            self._csv.flush()
        else:
            # A new column needs a new header, so that the whole file is written again.
            self._write_csv(read_metrics(self.path))

    def truncate_after(self, step: int) -> None:
        """Remove lines whose ``step`` is larger, so that a resumed run writes them once; -1 removes all."""
        self._write_all([line for line in read_metrics(self.path) if line.get("step", 0) <= step])

    def close(self) -> None:
        """Close both files; a later ``append`` opens them again."""
        for file in (self._json, self._csv):
            if file is not None:
                # Every line was flushed: what a full disk refused was an error then, and is refused again.
                with suppress(OSError):
                    file.close()
        self._json = self._csv = None

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_all(self, lines: Sequence[Line]) -> None:
        self.close()
        release(self.path)
        with new_file(self.path) as file:
            file.writelines(_encode(line).encode() for line in lines)
        if self.csv_path is not None:
            self._write_csv(lines)

    def _write_csv(self, lines: Sequence[Line]) -> None:
        assert self.csv_path is not None
        if self._csv is not None:
            self._csv.close()
            self._csv = None
        self._columns = list(dict.fromkeys(name for line in lines for name in line))
        header = dict(zip(self._columns, self._columns, strict=True))
        with new_file(self.csv_path) as file:
            file.write(_rows(self._columns, [header, *lines] if self._columns else []).encode())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of metrics, without a last one that was torn while it was written.

    Raises:
        TrainingError: there is no such file, or a line is not a JSON object.
    """
    try:
        texts = read_text(path, "utf-8").split("\n")
    except FileNotFoundError as error:
        raise TrainingError(
            f"{path}: no such metrics file", fix="give a run folder or its train_metrics.jsonl"
        ) from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise TrainingError(f"{path}: these are no JSON lines", fix="name a run or its JSON lines") from error
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts, start=1):
        line = _decode(text)
        if line is not None:
            lines.append(line)
        elif number < len(texts):  # the last one is empty, or was written halfway
            raise TrainingError(f"{path}: line {number} is not a JSON object", fix="remove that line")
    return lines


def _decode(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _encode(line: Line) -> str:
    return json.dumps(line, allow_nan=False) + "\n"


def _rows(columns: Sequence[str], lines: Sequence[Line]) -> str:
    text = StringIO()
    csv.DictWriter(text, columns, lineterminator="\n").writerows(lines)
    return text.getvalue()
