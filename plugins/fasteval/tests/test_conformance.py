from __future__ import annotations

from anydet.testing import EngineConformance


class TestFastEngine(EngineConformance):
    engine = "fasteval"
