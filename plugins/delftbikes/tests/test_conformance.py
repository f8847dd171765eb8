from __future__ import annotations

from anydet.testing import DatasetConformance, EvaluatorConformance, SceneConformance


class TestDelftBikes(DatasetConformance):
    dataset = "delftbikes"


class TestBikes(SceneConformance):
    scenes = "bikes"


class TestBoxes(EvaluatorConformance):
    evaluator = "delftbikes"


class TestPresence(EvaluatorConformance):
    evaluator = "presence"
