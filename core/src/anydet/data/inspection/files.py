"""Image files: whether they are there, have the stated sizes, and differ from each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from anydet.data.dataset.protocols import Dataset
from anydet.data.inspection.finding import DatasetFinding, Severity, some
from anydet.data.record.containment import ContainedImage
from anydet.data.record.frames import noting_frames
from anydet.data.record.pixels import ImageFile
from anydet.data.record.record import Record
from anydet.errors import DatasetError, ImageSizeError
from anydet.inputs import open_file

_BLOCK = 1 << 20


def inspect_files(
    dataset: Dataset, report: Callable[[int], None] = lambda count: None, *, decode: bool = False
) -> Iterator[DatasetFinding]:
    """What the image files show.

    Headers and ends are read of all, and the whole of those that are equally long; those whose ends are not
    as they should be are decoded.

    Args:
        dataset: the data set; images that are no files are left out.
        report: is called with each further count of images.
        decode: decode every file: it may be damaged between a good header and a good end.
    """
    missing, unreadable, turned, differing = list[str](), list[str](), list[str](), list[str]()
    outside, too_large = list[str](), list[ImageSizeError]()
    by_length: dict[int, list[Path]] = defaultdict(list)
    with noting_frames() as several:
        for i in range(len(dataset)):
            report(1)
            record = _record(dataset, i)
            if record is None or record.path is None:
                continue
            if problem := _leads_outside(record):
                outside.append(problem)
                continue
            if not record.path.is_file():
                missing.append(record.key)
                continue
            # Files of different length differ, so that few need to be read to find duplicates.
            by_length[record.path.stat().st_size].append(record.path)
            try:
                verdict = _compare(record, record.path)
                if decode or not _ends_well(record.path):
                    ImageFile(record.path).read()
            except ImageSizeError as exc:
                too_large.append(exc)
                continue
            except DatasetError as exc:
                unreadable.append(exc.problem)
                continue
            if verdict:
                (turned if verdict == _TURNED else differing).append(f"{record.key}: {verdict}")
    yield from _missing(missing, len(dataset))
    yield from _outside_names(outside)
    yield from _listed(
        "broken",
        "too large images",
        [one.problem for one in too_large],
        "image files of more pixels than are opened",
        way_to_open(too_large),
    )
    fix = "get them again, or take them out of the data set"
    yield from _listed("broken", "unreadable images", unreadable, "image files that cannot be decoded", fix)
    yield from _listed(
        "broken",
        "sizes differ",
        differing,
        "image files of another size than the data set states",
        "use the images that were annotated, or scale the annotations to these",
    )
    yield from _listed(
        "warning",
        "turned images",
        turned,
        "image files whose EXIF orientation turns them against the stated size",
        "predict on the image as it is stored; many tools turn it, and boxes then miss their objects",
    )
    yield from _listed(
        "warning",
        "several frames",
        [path.name for path in several],
        "image files of several frames or pages, of which the first is read",
        "write the frames that are meant as images of their own",
    )
    yield from _duplicates(by_length)


_TURNED = "turned by its EXIF orientation"


def _record(dataset: Dataset, index: int) -> Record | None:
    """The record, or ``None`` where its labels are malformed, which another check reports."""
    try:
        return dataset[index]
    except DatasetError:
        return None


def inspect_names(dataset: Dataset) -> Iterator[DatasetFinding]:
    """Images whose names lead out of their folder, as annotations state them; no file is opened."""
    names = (position for position, key in enumerate(dataset.keys) if key.startswith("/") or ".." in key)
    records = (record for position in names if (record := _record(dataset, position)) is not None)
    yield from _outside_names([problem for record in records if (problem := _leads_outside(record))])


def _leads_outside(record: Record) -> str:
    """What is wrong with the name of an image that may not be opened; "" where it may."""
    if not isinstance(record.pixels, ContainedImage):
        return ""
    try:
        record.pixels.located()
    except DatasetError as exc:
        return exc.problem
    return ""


def _outside_names(problems: Sequence[str]) -> Iterator[DatasetFinding]:
    """The finding of images whose names lead out of their folder."""
    yield from _listed(
        "broken",
        "names outside",
        problems,
        "images whose name leads out of the image folder: they are not opened",
        "copy the files into that folder, and name them by their path there",
    )


def way_to_open(errors: Sequence[ImageSizeError]) -> str:
    """The option that opens all of the images."""
    return f"open them with --max-pixels {max((one.pixels for one in errors), default=0)}, or cut them up"


def _compare(record: Record, path: Path) -> str:
    """How a file's size differs from the stated one; "" where it does not."""
    upright = ImageFile(path).size_wh()
    stated = record.stated_wh
    if stated is None or stated == upright:
        return ""
    if stated == ImageFile(path, stated).size_wh():
        return _TURNED
    return f"{upright[0]}x{upright[1]}, stated {stated[0]}x{stated[1]}"


def _ends_well(path: Path) -> bool:
    from anydet.data.record.tails import ends_well

    return ends_well(path)


def _missing(missing: Sequence[str], images: int) -> Iterator[DatasetFinding]:
    if len(missing) == images:
        yield DatasetFinding(
            "note",
            "no image files",
            len(missing),
            "images whose files are not there: sizes and duplicates were not looked at",
            some(missing),
        )
    else:
        problem, fix = "images whose files are not there", "get them, or take them out of the data set"
        yield from _listed("broken", "missing images", missing, problem, fix)


def _listed(
    severity: Severity, check: str, examples: Sequence[str], problem: str, fix: str
) -> Iterator[DatasetFinding]:
    if examples:
        yield DatasetFinding(severity, check, len(examples), problem, some(examples), fix)


def _duplicates(by_length: dict[int, list[Path]]) -> Iterator[DatasetFinding]:
    """Files of the same bytes; only those of equal length are read."""
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for paths in by_length.values():
        for path in paths if len(paths) > 1 else ():
            by_content[_digest(path)].append(path.name)
    same = [" = ".join(names) for names in by_content.values() if len(names) > 1]
    surplus = sum(len(names) - 1 for names in by_content.values())
    if same:
        yield DatasetFinding(
            "warning",
            "duplicate images",
            surplus,
            "image files with the same bytes as another one",
            some(same),
            "keep one; across splits they make scores too good",
        )


def _digest(path: Path) -> bytes:
    digest = sha256()
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.digest()
