"""Scripts in several processes, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def torchrun(script: str, folder: Path, *words: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a script, written into ``folder``, by torchrun; on the CPU with gloo and one thread each."""
    path = folder / "script.py"
    path.write_text(script)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), str(path), *words),
    ]
    paths = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=False, env=env, capture_output=True, text=True)
