from __future__ import annotations

from anydet.testing import DatasetConformance, SceneConformance


class TestBOP(DatasetConformance):
    dataset = "bop"


class TestPoseScenes(SceneConformance):
    scenes = "pose"
