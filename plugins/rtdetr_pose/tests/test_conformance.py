from __future__ import annotations

from anydet.testing import AdapterConformance


class TestRtdetrPoseAdapter(AdapterConformance):
    adapter = "rtdetr_pose"
