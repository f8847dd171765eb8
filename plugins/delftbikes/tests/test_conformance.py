from __future__ import annotations

import pytest

from anydet.testing import DatasetConformance, EvaluatorConformance, SceneConformance


class TestDelftBikes(DatasetConformance):
    dataset = "delftbikes"


@pytest.mark.slow
class TestBikes(SceneConformance):
    scenes = "bikes"


class TestBoxes(EvaluatorConformance):
    evaluator = "delftbikes"


class TestPresence(EvaluatorConformance):
    evaluator = "presence"
