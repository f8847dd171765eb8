"""Opening a data set in the format that fits; listing the built-in formats imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import as_file, there_is

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset, DatasetFormat
    from anydet.scanner import Scanner

# COCO takes every JSON file, so formats that know theirs come before it; its annotations win over label files
# of the same images, label files over masks; a folder of images is what everything else is, too.
BUILTIN = (
    ("dataset.json", "anydet.data.dataset_json:FORMAT", "dataset.json as prepare_coco_yolo writes it"),
    ("coco-panoptic", "anydet.data.coco.mask_formats:PANOPTIC", "COCO panoptic JSON and its PNG files"),
    (
        "coco-semantic",
        "anydet.data.coco.mask_formats:SEMANTIC",
        "COCO stuff or semantic JSON: masks of all pixels",
    ),
    ("label-studio", "anydet.data.annotation_tools.formats:LABEL_STUDIO", "Label Studio's JSON and JSON-MIN"),
    (
        "supervisely",
        "anydet.data.annotation_tools.formats:SUPERVISELY",
        "Supervisely: meta.json, ann/ and img/",
    ),
    ("fiftyone", "anydet.data.annotation_tools.formats:FIFTYONE", "FiftyOne: samples.json and data/"),
    (
        "imagefolder",
        "anydet.data.annotation_tools.formats:IMAGEFOLDER",
        "Hugging Face's ImageFolder: metadata.jsonl",
    ),
    ("labelme", "anydet.data.annotation_tools.formats:LABELME", "LabelMe: a JSON file for each image"),
    ("dota", "anydet.data.annotation_tools.formats:DOTA", "DOTA: oriented boxes in labelTxt/*.txt"),
    ("open-images", "anydet.data.annotation_tools.formats:OPEN_IMAGES", "Open Images: CSV files of boxes"),
    ("coco", "anydet.data.coco.dataset:FORMAT", "COCO instances JSON and an image folder"),
    ("ultralytics", "anydet.data.descriptor:ULTRALYTICS", "Ultralytics data.yaml"),
    ("cvat", "anydet.data.annotation_tools.formats:CVAT", "CVAT's annotations.xml, for images and video"),
    ("voc", "anydet.data.voc.format:FORMAT", "Pascal VOC: an XML file for each image"),
    ("yolo", "anydet.data.yolo.dataset:FORMAT", "images/<split> beside labels/<split>/*.txt"),
    (
        "coco-folder",
        "anydet.data.coco.folders:FORMAT",
        "COCO JSON as Roboflow, MMDetection, LVIS, ... lay it",
    ),
    ("class-masks", "anydet.data.class_masks.folder:FORMAT", "images/<split> beside masks/<split>/*.png"),
    ("darknet", "anydet.data.darknet:FORMAT", "YOLO label files beside their images; Darknet's obj.data"),
    ("folder", "anydet.data.dataset.folder:FORMAT", "images without labels"),
)
"""(name, ``module:attribute`` of a ``DatasetFormat``, summary), in the order in which they are tried."""
_NAMING = (
    "coco-folder",
    "voc",
    "cvat",
    "label-studio",
    "supervisely",
    "fiftyone",
    "imagefolder",
    "labelme",
    "dota",
    "darknet",
)
"""Formats of which a folder may hold several; each is a ``NamingFormat``."""
# PREFIX and DESCRIPTION of corruptions, whose modules are imported where a data set has one.
_CORRUPTED = "corruption:"
_DESCRIPTION = "corruption.json"


@dataclass(frozen=True, slots=True)
class DeferredFormat:
    """A format that is imported when its turn comes.

    Attributes:
        name: as it is registered.
        load: imports it.
    """

    name: str
    load: Callable[[], DatasetFormat]

    def matching(self, path: Path) -> DatasetFormat | None:
        """The format, where a path looks like one of it."""
        known = self.load()
        return known if known.matches(path) else None

    def open(
        self,
        known: DatasetFormat,
        path: Path,
        split: str | None,
        images: Path | None,
        scanner: Scanner | None,
    ) -> Dataset:
        """Open what matched, read by a scanner where the format can use it."""
        from anydet.data.dataset.protocols import ScannableFormat

        fast = known.with_scanner(scanner) if isinstance(known, ScannableFormat) else known
        return fast.open(path, split, images)


def builtin_formats() -> list[DeferredFormat]:
    """The built-in formats, in the order in which they are tried."""
    return [DeferredFormat(name, partial(_import, factory)) for name, factory, _ in BUILTIN]


def open_dataset(
    path: Path | str,
    split: str | None = None,
    *,
    images: Path | None = None,
    formats: Sequence[DatasetFormat | DeferredFormat] | None = None,
    scanner: Scanner | None = None,
    refuse_odd: bool = False,
) -> Dataset:
    """The data set at ``path``, in the first of ``formats`` that knows it.

    Args:
        path: file, folder or pipe; ``corruption:fog:3:PATH`` is the one at PATH with corrupted images.
        split: the split wanted, or ``None`` for the first of ``splits.SPLITS`` that exists.
        images: image folder, where it is not where the format expects it.
        formats: what to try, or ``None`` for the built-in ones. Formats of plugins go first, as they know
            more special layouts; the built-in ones keep the order of ``BUILTIN``.
        scanner: reads annotations faster where the format can use it; the result is the same.
        refuse_odd: raise for odd annotations, which are warned of otherwise: ``--strict``.

    Raises:
        DatasetError: that lists what is there and which formats were tried; or what is odd.
        OptionError: there is no such corruption, or a pipe cannot be read (``inputs.as_file``).
    """
    opened = _open(path, split, images, formats, scanner)
    if refuse_odd:
        from anydet.data.dataset.oddities import refuse_all

        refuse_all(getattr(opened, "oddities", ()), opened.root)
    return opened


def _open(
    path: Path | str,
    split: str | None,
    images: Path | None,
    formats: Sequence[DatasetFormat | DeferredFormat] | None,
    scanner: Scanner | None,
) -> Dataset:
    from anydet.data.known_formats import check_installed

    path = Path(path)
    if str(path).startswith(_CORRUPTED) and not path.exists():
        return _open_corrupted(path, split, images, formats, scanner)
    path = as_file(path)
    deferred = in_order(builtin_formats() if formats is None else formats)
    if not path.exists():
        raise DatasetError(
            f"{path}: no such data set", fix="give a folder or an annotations file as the data set"
        )
    names = [listed.name for listed in deferred]
    for listed in deferred:
        known = listed.matching(path)
        if known is not None:
            # The last format takes any folder with images, and COCO any JSON file: without this look, labels
            # of a format that is not installed would be dropped or misread.
            if listed.name == BUILTIN[-1][0] or path.is_file():
                check_installed(path, names)
            _refuse_rivals(path, known, deferred)
            known = _told_of_nested(known, path, deferred)
            opened = listed.open(known, path, split, images, scanner)
            return _as_stored(opened, path) if there_is(path / _DESCRIPTION) else opened
    check_installed(path, names)
    raise _unknown(path, deferred)


def _unknown(path: Path, deferred: Sequence[DeferredFormat]) -> DatasetError:
    """What is there in place of a data set, and the way to one."""
    from anydet.data.dataset.unread_labels import look_for_labels

    found = sorted(p.name + "/" * p.is_dir() for p in path.iterdir())[:10] if path.is_dir() else [path.name]
    looked = look_for_labels(path, (), _nested(path, deferred)).oddities
    return DatasetError(
        f"{path}: not a data set of a known format ({', '.join(one.name for one in deferred)}); "
        f"found {', '.join(found) or 'an empty folder'}",
        details=[f"{one.what}: {one.count} (the first: {one.examples[0]})" for one in looked],
        fix=looked[0].fix
        if looked
        else "the page 'Formats of data sets' of the reference says how each is laid out",
    )


def _nested(path: Path, deferred: Sequence[DeferredFormat]) -> tuple[Path, ...]:
    from anydet.data.nested import find_nested

    return find_nested(path, [one.matching for one in deferred if one.name != BUILTIN[-1][0]])


def _told_of_nested(known: DatasetFormat, path: Path, deferred: Sequence[DeferredFormat]) -> DatasetFormat:
    from anydet.data.dataset.protocols import FallbackFormat

    return known.with_nested(_nested(path, deferred)) if isinstance(known, FallbackFormat) else known


def _refuse_rivals(path: Path, known: DatasetFormat, deferred: Sequence[DeferredFormat]) -> None:
    """Refuse a folder that two formats read, each of which has something of its own that can be named."""
    from anydet.data.dataset.protocols import NamingFormat

    if not path.is_dir() or not isinstance(known, NamingFormat):
        return
    others = (
        listed.matching(path) for listed in deferred if listed.name in _NAMING and listed.name != known.name
    )
    rivals = [known, *(other for other in others if isinstance(other, NamingFormat))]
    if len(rivals) > 1:
        ways = [f"{rival.naming(path)} ({rival.name})" for rival in rivals]
        raise DatasetError(
            f"{path}: holds labels in several forms: {', '.join(rival.name for rival in rivals)}",
            fix=f"name the ones that are meant: {' or '.join(ways)}",
        )


def _open_corrupted(
    path: Path,
    split: str | None,
    images: Path | None,
    formats: Sequence[DatasetFormat | DeferredFormat] | None,
    scanner: Scanner | None,
) -> Dataset:
    from anydet.data.corruptions.corruption import split_path
    from anydet.data.corruptions.dataset import corrupted

    corruption, clean = split_path(path)
    dataset = open_dataset(clean, split, images=images, formats=formats, scanner=scanner)
    return dataset if corruption is None else corrupted(dataset, corruption)


def _as_stored(dataset: Dataset, path: Path) -> Dataset:
    from anydet.data.corruptions.dataset import as_stored

    return as_stored(dataset, path)


def in_order(formats: Sequence[DatasetFormat | DeferredFormat]) -> list[DeferredFormat]:
    """Formats of plugins as given, then the built-in ones in the order in which they must be tried."""
    rank = {name: position for position, (name, _, _) in enumerate(BUILTIN)}
    deferred = [
        known if isinstance(known, DeferredFormat) else DeferredFormat(known.name, partial(_itself, known))
        for known in formats
    ]
    return sorted(deferred, key=lambda known: rank.get(known.name, -1))


def _itself(known: DatasetFormat) -> DatasetFormat:
    return known


def _import(factory: str) -> DatasetFormat:
    module, _, attribute = factory.partition(":")
    known: DatasetFormat = getattr(import_module(module), attribute)
    return known
