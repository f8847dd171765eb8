"""Predictions as Parquet: one row a detection. What the columns are, for the writer and the reader.

Layout: ``image``, ``width``, ``height``, ``class_id``, ``score``, the box as ``cx``, ``cy``, ``w``, ``h``,
then the optional fields of a detection under their own names, null where a detection has none; ``extra`` is
JSON text. ``entry`` is JSON text of what an entry has beside its detections and size, in the first row of
each image. Rows of an image stand together. An image without detections has one row with all of a
detection's columns null. The file's key-value metadata has ``anydet``: JSON with ``schema_version`` and
``meta``.
"""

from __future__ import annotations

from typing import Any

from anydet.errors import AnydetError

KEY = b"anydet"
"""Of the file's metadata."""
ROWS = 50_000
"""Detections that are written, or read as entries, at once."""
SIDES = ("cx", "cy", "w", "h")
IMAGE = ("image", "width", "height", "entry")
"""Columns that are about the image; the others are null where it has no detections."""
REQUIRED = ("image", "class_id", "score", *SIDES)
"""Columns that a file of another program has, too."""
IMAGE_FIELDS = ("classification", "semantic_mask", "intrinsics", "preprocess", "extra")
"""Fields of an entry that are JSON text in the column ``entry``."""


def import_pyarrow() -> Any:
    """The pyarrow module; raises ``AnydetError`` that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError as exc:
        raise AnydetError(
            "Parquet needs the package pyarrow, which is not installed", fix="pip install 'anydet[parquet]'"
        ) from exc
    return pyarrow


def schema(pa: Any) -> Any:
    """The columns that are written; files of others may lack optional ones."""
    number, numbers = pa.float64(), pa.list_(pa.float64())
    keypoint = pa.struct([("x", number), ("y", number), ("score", number), ("v", pa.int32())])
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("class_id", pa.int32()),
            ("score", number),
            *((side, number) for side in SIDES),
            ("state", pa.int32()),
            ("state_scores", numbers),
            ("mask", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
            ("keypoints", pa.list_(keypoint)),
            ("log_z", number),
            ("rot6d", numbers),
            ("R", pa.list_(numbers)),
            ("t", numbers),
            ("offsets", numbers),
            ("k_delta", numbers),
            ("log_sigma_z", number),
            ("log_sigma_rot", number),
            ("extra", pa.string()),
            ("entry", pa.string()),
        ]
    )
