"""ONNX models of a test's own, and the adapter that runs them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.onnx_models import constant_model, load_runtime, save_graph, seeing_model

from anydet.plugins.manager import Plugins
from anydet_onnxruntime.adapter import OnnxRuntimeAdapter


@pytest.fixture
def save() -> Callable[..., Path]:
    """``save_graph``."""
    return save_graph


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """``constant_model`` in an empty folder."""
    return lambda outputs, **kwargs: constant_model(tmp_path / "model.onnx", outputs, **kwargs)


@pytest.fixture
def build_seeing(tmp_path: Path) -> Callable[..., Path]:
    """``seeing_model``, each in a file of its own."""
    numbers = itertools.count()
    return lambda **kwargs: seeing_model(tmp_path / f"seeing{next(numbers)}.onnx", **kwargs)


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return Plugins(only=["onnxruntime"])


@pytest.fixture
def load(plugins: Plugins) -> Callable[..., OnnxRuntimeAdapter]:
    """``load_runtime`` of this plugin."""
    return partial(load_runtime, plugins, "onnxruntime")
