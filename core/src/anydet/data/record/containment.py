"""Files that a data set names must be inside its folder."""

from __future__ import annotations

from pathlib import Path

from anydet.data.record.pixels import ImageFile
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.types import ByteImage, Size


def contained(folder: Path, name: Path | str) -> Path:
    """``folder / name`` with links followed; ``DatasetError`` where that leads outside ``folder``."""
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as exc:  # a loop of links, a zero byte in the name
        raise DatasetError(
            f"{str(name)!r} in {folder} cannot be opened: {exc}", fix="correct the name in the data set"
        ) from exc
    if not inside:
        raise DatasetError(
            f"{str(name)!r} is outside of the data set's folder {folder}",
            fix="copy the file into that folder, and name it by its path there",
        )
    return path


@dataclass(frozen=True, slots=True)
class ContainedImage:
    """An image file that is opened only if it is inside a folder, links followed.

    Attributes:
        folder: the folder.
        name: path relative to ``folder``, as the data set states it.
        stated_wh: size that the data set states, or ``None``.
    """

    folder: Path
    name: str
    stated_wh: Size | None = None

    def read(self) -> ByteImage:
        """(H, W, 3) uint8 RGB; raises ``DatasetError`` where the name leads outside."""
        return self._file().read()

    def size_wh(self) -> Size:
        """(width, height) from the file's header; raises ``DatasetError`` where the name leads outside."""
        return self._file().size_wh()

    def _file(self) -> ImageFile:
        return ImageFile(contained(self.folder, self.name), self.stated_wh)
