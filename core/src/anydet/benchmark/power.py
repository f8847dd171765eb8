"""Energy of a run, where the machine lets it be read: RAPL counters of the processors, nvidia-smi of GPUs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from anydet.dataclass import dataclass

RAPL = Path("/sys/class/powercap")
_PACKAGE = "intel-rapl:[0-9]*"


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment.

    Attributes:
        microjoules: of each processor package.
        gpu_watts: what GPUs take now, all together; ``None`` where that is not known.
    """

    microjoules: tuple[int, ...]
    gpu_watts: float | None


class PowerMeter:
    """Reads the energy of the whole machine: what else runs on it is counted, too.

    Args:
        gpu: whether to ask nvidia-smi.
        root: folder of the RAPL counters.

    Attributes:
        why_not: why the processors' counters cannot be read; "" where they can.
    """

    def __init__(self, *, gpu: bool = False, root: Path = RAPL) -> None:
        self._packages, self.why_not = _readable(root)
        self._smi = shutil.which("nvidia-smi") if gpu else None

    @property
    def note(self) -> str:
        """What is measured, or why nothing is."""
        if self._packages:
            return f"RAPL counters of {len(self._packages)} processor package(s), with all that runs there"
        if self._smi:
            return f"nvidia-smi alone; of the processors: {self.why_not}"
        return f"not readable: {self.why_not}"

    def read(self) -> Reading:
        """The counters now."""
        return Reading(
            tuple(int((one / "energy_uj").read_text()) for one in self._packages),
            _gpu_watts(self._smi) if self._smi else None,
        )

    def watts(self, before: Reading, after: Reading, seconds: float) -> float | None:
        """Mean power between two readings: of the processors, and of GPUs at the second one."""
        if seconds <= 0 or not (before.microjoules or after.gpu_watts is not None):
            return None
        joules = 0.0
        for package, start, end in zip(self._packages, before.microjoules, after.microjoules, strict=True):
            # The counter begins again at its range.
            joules += (end - start if end >= start else end + _range(package) - start) / 1e6
        return joules / seconds + (after.gpu_watts or 0.0)


def _readable(root: Path) -> tuple[Sequence[Path], str]:
    packages = sorted(path for path in root.glob(_PACKAGE) if path.name.count(":") == 1)
    if not packages:
        return (), f"no RAPL counters in {root}"
    try:
        for package in packages:
            int((package / "energy_uj").read_text())
    except (OSError, ValueError) as exc:
        return (), f"{packages[0] / 'energy_uj'}: {getattr(exc, 'strerror', None) or exc}"
    return packages, ""


def _range(package: Path) -> int:
    return int((package / "max_energy_range_uj").read_text())


def _gpu_watts(program: str) -> float | None:
    query = [program, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        return sum(map(float, done.stdout.split()))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
