"""Mend the types of TensorRT: tensorrt-stubs 10.13 is no valid Python in five lines, where mypy stops.

An argument is called ``in``, and one without a default comes after those with one. Run by the Makefile after
the stubs are installed; running it again changes nothing.
"""

import re
import sysconfig
from pathlib import Path

TYPES = Path(sysconfig.get_path("purelib")) / "tensorrt_bindings" / "tensorrt.pyi"

if TYPES.is_file():
    text = TYPES.read_text("utf-8")
    mended = re.sub(r"(?<=, )in(?=: list\[)", "in_", text)
    mended = mended.replace(
        "power: Weights = None, channel_axis: int)", "power: Weights = None, channel_axis: int = ...)"
    )
    if mended != text:
        TYPES.unlink()  # may be a hard link into the cache of the installer
        TYPES.write_text(mended, "utf-8")
        print(f"{TYPES.name}: mended")
