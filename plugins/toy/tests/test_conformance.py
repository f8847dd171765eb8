from __future__ import annotations

from anydet.testing import AdapterConformance


class TestToy(AdapterConformance):
    adapter = "toy"
