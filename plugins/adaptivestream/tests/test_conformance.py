from __future__ import annotations

from anydet.testing import AdapterConformance


class TestAdaptivestreamAdapter(AdapterConformance):
    adapter = "adaptivestream"
