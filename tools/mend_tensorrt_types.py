"""Mend types of TensorRT 10.13, in five lines no Python: an argument called ``in``, a lost default."""

import re
import sysconfig
from pathlib import Path

types = Path(sysconfig.get_path("purelib"), "tensorrt_bindings/tensorrt.pyi")
text = types.read_text("utf-8")
mended = re.sub(r"(?<=, )in(?=: list\[)", "in_", text)
mended = mended.replace("= None, channel_axis: int)", "= None, channel_axis: int = ...)")
if mended != text:
    types.unlink()  # it may be a hard link into the installer's cache
    types.write_text(mended, "utf-8")
