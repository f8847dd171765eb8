from __future__ import annotations

from anydet.testing import AdapterConformance


class TestFasterrcnnMultitaskAdapter(AdapterConformance):
    adapter = "fasterrcnn_multitask"
