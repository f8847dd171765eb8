"""A path of weights may be a file or the folder of a run."""

from __future__ import annotations

from hashlib import sha256

import pytest

from anydet.plugins.checkpoints import IN_A_RUN, find_weights
from anydet.prediction.meta import checkpoint_sha256


@pytest.mark.parametrize("written", range(1, len(IN_A_RUN) + 1))
def test_a_runs_folder_means_its_best_weights_else_its_last(tmp_path, written):
    for name in IN_A_RUN[-written:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = tmp_path / IN_A_RUN[-written]
    assert find_weights(tmp_path) == expected
    assert find_weights(str(expected)) == expected
    digest = sha256(expected.read_bytes()).hexdigest()
    assert checkpoint_sha256(str(tmp_path)) == checkpoint_sha256(str(expected)) == digest


def test_where_there_are_no_weights_there_is_none(tmp_path):
    assert find_weights(tmp_path) is None
    assert find_weights(tmp_path / "missing.pt") is None
    assert checkpoint_sha256(None) is None
