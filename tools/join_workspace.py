"""``make new-plugin``: names a new plugin wherever this workspace lists its packages, beside the others."""

import sys
from pathlib import Path

NAME, DASHED = sys.argv[1], sys.argv[1].replace("_", "-")
for file, neighbor, more in (
    ("Makefile", "-e plugins/onnxruntime", f" -e plugins/{NAME}"),
    ("pyproject.toml", '"anydet_toy"', f', "anydet_{NAME}"'),  # the import rules
    ("pyproject.toml", "anydet-toy = { workspace = true }\n", f"anydet-{DASHED} = {{ workspace = true }}\n"),
    ("docs/README.md", "\n## Plugins\n\n", f"- [{NAME}](../plugins/{NAME}/README.md)\n"),
):
    text = Path(file).read_text("utf-8")
    Path(file).write_text(text.replace(neighbor, neighbor + more), "utf-8")
    print(f"{file}: {'added' if neighbor in text else 'add by hand:'} {more.strip(', ')}".rstrip())
