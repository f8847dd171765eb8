from __future__ import annotations

import pytest

from anydet.doctor.trial import Trial, run_trials


@pytest.mark.slow
def test_what_is_still_imported_is_shown(sad):
    sad.touch()
    shown: list[str] = []
    run_trials([Trial("sad_package"), Trial("json")], shown.append)
    assert shown[0] == "sad_package, json"
    assert shown[-1] == ""
