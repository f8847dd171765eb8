"""``anydet diagnose``: what it takes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from anydet.cli import main

pytestmark = pytest.mark.slow


def test_diagnose_takes_one_config_as_train_does(recorder_plugins):
    done = CliRunner().invoke(main, ["diagnose", "--config", "a.yaml", "b.yaml"], obj=recorder_plugins)
    assert done.exit_code == 2, done.output
    assert "unexpected argument 'b.yaml'" in done.output
