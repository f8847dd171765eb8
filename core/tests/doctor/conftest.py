"""A package that can be broken, and dependencies as a distribution declares them."""

from __future__ import annotations

import pytest

from anydet.doctor.dependency import Dependency, dependencies


def parse_dependency(line: str) -> Dependency:
    (found,) = dependencies([line], ("plot", "torch", "onnx"))
    return found


@pytest.fixture
def sad(tmp_path, monkeypatch):
    """A package that is installed: what its one module does is the test's."""
    info = tmp_path / "sad_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sad-package\nVersion: 1.0\n")
    (info / "RECORD").write_text("sad_package.py,,\nsad_package.pyc,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "sad_package.py"


@pytest.fixture
def dependency():
    """``parse_dependency``."""
    return parse_dependency
