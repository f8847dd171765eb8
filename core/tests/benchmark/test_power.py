from __future__ import annotations

import sys

import pytest

from anydet.benchmark.power import PowerMeter, Reading


@pytest.fixture
def counters(tmp_path):
    """RAPL's folder with two packages, one of which has a part, that is in its package's number already."""
    for name, value in (("intel-rapl:0", 100), ("intel-rapl:1", 7), ("intel-rapl:0:0", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000\n")
    return tmp_path


def test_power_is_of_all_packages_and_counters_may_begin_again(counters):
    meter = PowerMeter(root=counters)
    assert meter.read() == Reading((100, 7), None)
    assert "2 processor package" in meter.note
    after = Reading((300_100, 500_007), None)
    assert meter.watts(Reading((100, 7), None), after, 2.0) == pytest.approx(0.4)
    assert meter.watts(Reading((900_000, 7), None), Reading((100_000, 7), None), 1.0) == pytest.approx(0.2)
    assert meter.watts(after, Reading(after.microjoules, 55.0), 1.0) == pytest.approx(55.0)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for nvidia-smi")
@pytest.mark.parametrize(("said", "watts"), [("55.5\\n44.5", 100.0), ("[N/A]", None)])
def test_gpus_are_asked_for_their_power_all_together(said, watts, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    meter = PowerMeter(gpu=True, root=tmp_path)
    assert meter.watts(meter.read(), meter.read(), 1.0) == watts
    assert meter.note.startswith("nvidia-smi alone")


def test_what_cannot_be_read_is_said(tmp_path):
    meter = PowerMeter(root=tmp_path)
    assert meter.note == f"not readable: no RAPL counters in {tmp_path}"
    assert meter.watts(meter.read(), meter.read(), 1.0) is None


def test_a_counter_that_is_no_number_is_said(counters):
    (counters / "intel-rapl:1" / "energy_uj").write_text("")
    meter = PowerMeter(root=counters)
    assert "not readable" in meter.note
    assert "energy_uj" in meter.note
