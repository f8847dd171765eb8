"""Models of the hub as folders on this machine: those that are there, else those that can be downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from anydet.errors import TrainingError
from anydet.text import one_line

T = TypeVar("T")
_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILES = ("*.json", "*.txt", "*.safetensors", "*.model")
"""What a model consists of, beside weights in older formats, which are taken where there are no others."""
_PATIENCE_S = 8.0
"""How long the hub may take to say that a model is there."""


def is_hub_id(name: str) -> bool:
    """Whether a name can be one of the hub's models: ``OWNER/MODEL``."""
    return _ID.fullmatch(name) is not None


def hub_folder(name: str) -> Path:
    """Folder of a model's files: of the local cache where it is whole there, else downloaded into it.

    Raises ``TrainingError`` within seconds where the hub cannot be reached or has no such model.
    """
    cached = _cached(name)
    if cached is not None:
        return cached
    try:
        # The library itself would try again for minutes, file by file.
        info = _within(_PATIENCE_S, lambda: HfApi().model_info(name))
        safe = any(file.rfilename.endswith(".safetensors") for file in info.siblings or ())
        return Path(snapshot_download(name, allow_patterns=[*_FILES, *([] if safe else ["*.bin"])]))
    except (GatedRepoError, RepositoryNotFoundError, HFValidationError) as exc:
        raise TrainingError(
            f"{name}: the hub has no such model that you may read",
            fix="look for its exact id; 'hf auth login' gives access to private and gated ones",
        ) from exc
    except OfflineModeIsEnabled as exc:
        raise _not_here(name, "HF_HUB_OFFLINE forbids downloads") from exc
    except Exception as exc:  # whatever the hub's client of HTTP raises
        raise _not_here(name, f"the hub cannot be reached ({one_line(str(exc))[:80]})") from exc


def has_weights(folder: Path) -> bool:
    """Whether a folder has a model's configuration and weights."""
    weights = (*folder.glob("*.safetensors"), *folder.glob("*.bin"))
    return (folder / "config.json").is_file() and bool(weights)


def _cached(name: str) -> Path | None:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if has_weights(folder) else None


def _not_here(name: str, why: str) -> TrainingError:
    return TrainingError(
        f"{name}: not in the local cache ({constants.HF_HUB_CACHE}), and {why}",
        fix="download it where there is network (huggingface_hub.snapshot_download), and give its folder",
    )


def _within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call; raises what it raises, or ``TimeoutError``, while it goes on alone."""
    results: Queue[tuple[T | None, BaseException | None]] = Queue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as exc:
            results.put((None, exc))

    Thread(target=run, daemon=True).start()
    try:
        found, error = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    assert found is not None
    return found
