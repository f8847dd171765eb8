"""A runtime of a few lines: models that are numpy functions, in files that pickle reads."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from anydet.plugins.options import check_options, load_schema, parse_options
from anydet.runtime.adapter import RuntimeAdapter
from anydet.runtime.loaded import RuntimeInfo, TensorInfo
from anydet.types import AdapterSettings

OPTIONS = "anydet.runtime:options.schema.json"


@dataclass(frozen=True)
class Constants:
    """A model that gives the same arrays whatever it sees, under names that say nothing."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    arrays: tuple[np.ndarray, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    runtime: RuntimeInfo = RuntimeInfo("numpy", np.__version__, "CPU", "float64", 1)  # noqa: RUF009

    def run(self, feeds):
        return self.arrays

    def close(self):
        pass


class NumpyRuntime(RuntimeAdapter):
    registered_name = "numpy"

    def load(self, path):
        return pickle.loads(Path(path).read_bytes())


def constants(
    outputs: Sequence[np.ndarray],
    *,
    input_wh: tuple[int, int] = (64, 64),
    input_shape: Sequence[int | str | None] | None = None,
    metadata: Mapping[str, str] | None = None,
    extra_inputs: Sequence[TensorInfo] = (),
    names: Sequence[str] = (),
    dtype: type = np.float32,
    open_outputs: bool = False,
) -> Constants:
    """Whole numbers stay such; the rest, and the image, are of ``dtype``."""
    arrays = tuple(o if o.dtype.kind in "iu" else o.astype(dtype) for o in map(np.asarray, outputs))
    image = TensorInfo("pixels", tuple(input_shape or (1, 3, input_wh[1], input_wh[0])), np.dtype(dtype).name)
    named = zip(names or [f"{700 + i}" for i in range(len(arrays))], arrays, strict=True)
    declared = [TensorInfo(n, (None,) * a.ndim if open_outputs else a.shape, a.dtype.name) for n, a in named]
    return Constants((image, *extra_inputs), tuple(declared), arrays, metadata or {})


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Any model of this runtime, in a file."""

    def save(model):
        path = tmp_path / "model.pickle"
        path.write_bytes(pickle.dumps(model))
        return path

    return save


@pytest.fixture
def build(save) -> Callable[..., Path]:
    """``constants`` in a file."""
    return lambda outputs, **kwargs: save(constants(outputs, **kwargs))


@pytest.fixture
def load() -> Callable[..., NumpyRuntime]:
    """An adapter as the command line makes it: options typed as text, checked against the schema."""

    def load(path, *, batch_size=1, score_floor=0.05, config=None, **options):
        pairs = parse_options([f"{key}={value}" for key, value in options.items()])
        checked = check_options(pairs, load_schema(OPTIONS), owner="numpy")
        checkpoint = None if path is None else str(path)
        return NumpyRuntime(
            AdapterSettings(config, checkpoint, "cpu", batch_size, score_floor, options=checked)
        )

    return load
