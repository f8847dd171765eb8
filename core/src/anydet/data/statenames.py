"""Names of states in a COCO annotations file: ``"state_categories": [{"id": 0, "name": "intact"}, ...]``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from anydet.errors import DatasetError


class _State(msgspec.Struct):
    id: int
    name: str


class _File(msgspec.Struct):
    state_categories: list[_State] = []


def read_state_names(path: Path) -> tuple[str, ...]:
    """Names of the states 0, 1, ...; () where the file has none. Everything else in it is skipped.

    Raises:
        DatasetError: the states are malformed, or their ids are not 0, 1, ...
    """
    try:
        states = msgspec.json.decode(path.read_bytes(), type=_File).state_categories
    except (OSError, msgspec.DecodeError, RecursionError) as exc:
        raise DatasetError(f"{path}: state_categories: {exc}", fix="correct the file") from exc
    names = {state.id: state.name for state in states}
    if sorted(names) != list(range(len(states))):
        raise DatasetError(
            f"{path}: state_categories: ids {', '.join(str(state.id) for state in states)}",
            fix=f'number the {len(states)} states from 0, as the annotations\' "state" does',
        )
    return tuple(names[i] for i in range(len(states)))
