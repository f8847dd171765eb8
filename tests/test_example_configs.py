"""The config files in docs/examples are ones that 'anydet train' takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.config.config_file import open_config
from anydet.training.config.keys import canonical
from anydet.training.config.resolve import FILE, resolve

ROOT = Path(__file__).parents[1]
EXAMPLES = [path for path in sorted((ROOT / "docs/examples").glob("*.yaml")) if path.stem != "test_setting"]
"""Configs of trainings; ``test_setting`` is one of ``anydet test``, which its own tests run."""


def test_there_are_examples():
    assert {"train_contract.yaml", "poses.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_config_is_taken_whole(path):
    file = open_config(path)
    adapter = file.values["adapter"]
    schema = load_schema(Plugins(only=[adapter]).spec("adapters", adapter).training_schema)
    resolved = resolve({}, file, schema, adapter_name=adapter)
    assert {resolved.origins[canonical(key)] for key in file.values} == {FILE}
    assert resolved.strict == ("run_contract" in file.values)
