"""Files that a data set names must be inside its folder."""

from __future__ import annotations

from pathlib import Path

from anydet.data.record.pixels import ImageFile
from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.types import ByteImage, Size


def contained(folder: Path, name: Path | str, *, links: bool = False) -> Path:
    """``folder / name`` with links followed; ``DatasetError`` where that leads outside ``folder``.

    Args:
        folder: what it must be in.
        name: path relative to it, as the data set states it.
        links: whether a file of the folder may itself be a link that leads out of it, as caches of Hugging
            Face, DVC and git-annex lay them: the link is the folder's own.
    """
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve()) or (links and _holds_link(folder, folder / name))
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


def _holds_link(folder: Path, path: Path) -> bool:
    """Whether it is a link in the folder or below it, reached without a link that leads outside."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(folder.resolve())


@dataclass(frozen=True, slots=True)
class ContainedImage:
    """An image file that is opened only if it, or the link to it, is inside a folder.

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
        return ImageFile(self.located(), self.stated_wh).read()

    def size_wh(self) -> Size:
        """(width, height) from the file's header; raises ``DatasetError`` where the name leads outside."""
        return ImageFile(self.located(), self.stated_wh).size_wh()

    def located(self) -> Path:
        """The file, links followed; raises ``DatasetError`` where the name leads outside."""
        return contained(self.folder, self.name, links=True)
