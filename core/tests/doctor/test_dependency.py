from __future__ import annotations

import pytest

from anydet.doctor.dependency import dependencies


@pytest.mark.parametrize(
    ("text", "found", "allowed"),
    [
        ("numpy<3,>=1.26", "1.26.0", True),
        ("numpy<3,>=1.26", "2.4.1", True),
        ("numpy<3,>=1.26", "1.9", False),
        ("numpy<3,>=1.26", "3.0.0", False),
        ("torch>=2.4; extra == 'torch'", "2.10.0+cpu", True),
        ("torch>=2.4; extra == 'torch'", "2.4", True),
        ("torch>=2.4; extra == 'torch'", "2.10.0.dev20251101+cu128", True),
        ("numpy<3,>=1.26", "unknown", False),
        ("anydet-onnxruntime; extra == 'onnx'", "0.0.1", True),
    ],
)
def test_a_version_is_held_to_its_declared_range(text, found, allowed, dependency):
    assert dependency(text).allows(found) == allowed


def test_a_dependency_says_which_extra_requires_it_and_one_of_another_platform_is_left_out():
    lines = ["click", "pyarrow>=16; extra == 'parquet'", "pywin32; sys_platform == 'nowhere'"]
    assert [(d.name, d.extra) for d in dependencies(lines, ("plot", "parquet"))] == [
        ("click", ""),
        ("pyarrow", "parquet"),
    ]


def test_a_distribution_is_imported_by_its_modules_name(dependency):
    assert [dependency(name).module for name in ("opencv-python-headless", "Pillow", "mlflow-skinny")] == [
        "cv2",
        "PIL",
        "mlflow",
    ]
    assert dependency("rtdetr-pose").module == "rtdetr_pose"
