from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from anydet.geometry import cameras
from anydet.types import Intrinsics
from anydet_rtdetr_pose import recovery

FOCAL = st.floats(50, 3000)
CENTER = st.floats(-200, 2000)
PLACE = st.floats(-5, 5)


@settings(max_examples=40, deadline=None)
@given(st.tuples(FOCAL, FOCAL, CENTER, CENTER), st.tuples(PLACE, PLACE, st.floats(0.05, 50)))
def test_what_is_projected_is_recovered_within_a_millionth(camera, place):
    intrinsics, translation = torch.tensor([camera]).double(), torch.tensor([place]).double()
    center = recovery.projected_px(translation, intrinsics)
    found = recovery.translation_m(center, translation[:, 2].log(), intrinsics)
    assert torch.allclose(found, translation, atol=1e-6, rtol=1e-9)


def test_translation_and_k_delta_are_those_of_the_contract():
    rng = np.random.default_rng(0)
    centers, log_z, delta = rng.normal(100, 50, (8, 2)), rng.normal(size=8), rng.normal(0, 0.1, (8, 4))
    camera = Intrinsics(500.0, 510.0, 320.0, 240.0)
    expected = cameras.translation_m(centers, log_z, camera, k_delta=delta)
    intrinsics = recovery.with_delta(torch.tensor([500.0, 510, 320, 240]).double(), torch.from_numpy(delta))
    found = recovery.translation_m(torch.from_numpy(centers), torch.from_numpy(log_z), intrinsics)
    assert np.allclose(found, expected)


def test_the_target_of_the_camera_head_leads_from_the_nominal_to_the_true_camera():
    true = torch.tensor([[700.0, 650, 310, 250]]).double()
    size = torch.tensor([640.0, 480]).double()
    nominal = recovery.nominal_camera((640, 480))
    delta = recovery.delta_to(true, nominal, size)
    assert torch.allclose(recovery.with_delta(nominal, delta * torch.tensor([1, 1, 640, 480])), true)


def test_zooming_in_moves_the_depth_that_is_learned_not_the_one_that_is_predicted():
    near, far = torch.tensor([400.0, 400, 0, 0]), torch.tensor([800.0, 800, 0, 0])
    side = torch.tensor(400.0)
    assert float(recovery.depth_shift(far, side) - recovery.depth_shift(near, side)) == pytest.approx(
        np.log(2)
    )
    assert float(recovery.depth_shift(near, side)) == pytest.approx(0, abs=1e-6)
