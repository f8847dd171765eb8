"""What ``anydet.plugins`` gives authors: names for all of it, and no import that they do not use."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from anydet import plugins


@pytest.mark.slow
def test_every_name_is_where_the_table_says_and_has_a_docstring():
    pytest.importorskip("torch")
    pytest.importorskip("cv2")
    for module, names in plugins.AUTHORS.items():
        for name in names:
            found = getattr(plugins, name)
            assert found is getattr(import_module(module), name)
            assert found.__doc__, f"{name}: the reference shows the first sentence"
    with pytest.raises(ImportError, match="cannot import name 'Detector'"):
        exec("from anydet.plugins import Detector")


def test_types_are_stated_of_the_very_same_names():
    stub = Path(plugins.__file__).with_suffix(".pyi").read_text("utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom)]
    stated = {(node.module, alias.asname) for node in imports for alias in node.names}
    lazy = {(module, name) for module, names in plugins.AUTHORS.items() for name in names}
    cheap = {name for name in plugins.__all__ if name not in {name for _, name in lazy}}
    assert lazy <= stated
    assert {name for _, name in stated - lazy} == cheap
    assert set(dir(plugins)) == {name for _, name in lazy} | cheap


@pytest.mark.slow
def test_importing_them_imports_neither_numpy_nor_torch_until_one_is_used():
    code = (
        "import sys; from anydet.plugins import *; from anydet import plugins\n"
        "assert not {'torch', 'cv2'} & set(sys.modules)\n"
        "plugins.Evaluator, plugins.View, plugins.DatasetFormat\n"
        "assert not {'torch', 'cv2'} & set(sys.modules)\n"
    )
    cheap = "import sys, anydet.plugins; assert not {'numpy', 'torch', 'cv2'} & set(sys.modules)"
    for lines in (code, cheap):
        subprocess.run([sys.executable, "-c", lines], check=True)
