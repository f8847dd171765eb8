"""A report from a data set and predictions: what they show, and samples of it with pictures, in a file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from anydet.data.dataset.protocols import Dataset
from anydet.dataclass import dataclass
from anydet.evaluation.analysis.comparison import Comparison
from anydet.evaluation.evaluator import AnalysisSettings, Engine
from anydet.evaluation.run import EvaluationRun
from anydet.plugins.manager import Plugins
from anydet.report.page.crops import draw_items
from anydet.report.page.document import assemble
from anydet.report.page.findings import Model, Progress, find, silent
from anydet.report.page.payload import pack
from anydet.report.page.sampling import choose
from anydet.text import escaped


@dataclass(frozen=True, slots=True, eq=False)
class PageSettings:
    """What a page holds.

    Attributes:
        pictures: most items that get a picture.
        resamples: of the intervals; 0 for none.
        level: of the intervals.
        seed: of the resamples.
        skip_unread: leave the pictures of images that cannot be read empty.
    """

    pictures: int = 800
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    skip_unread: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A finished report.

    Attributes:
        html: the document.
        names: of the models, as the page calls them.
        runs: what the evaluators gave, by model.
        comparisons: of each further model with the first.
        pictures: items that have one.
        left_out: detections and annotations that have none.
        unread: keys of images that could not be read.
    """

    html: str
    names: tuple[str, ...]
    runs: tuple[EvaluationRun, ...]
    comparisons: tuple[Comparison, ...]
    pictures: int
    left_out: int
    unread: tuple[str, ...]


def build_page(
    models: Sequence[Model],
    dataset: Dataset,
    settings: PageSettings | None = None,
    *,
    plugins: Plugins | None = None,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> Page:
    """The report of one model, or of several on the same images.

    Args:
        models: at least one; the others are compared with the first.
        dataset: has the images.
        settings: what the page holds.
        plugins: where evaluators come from; the installed ones by default.
        engine: matches boxes for COCO's metrics; the best installed one by default.
        progress: shows what is done.

    Raises:
        EvaluationError: COCO's metrics do not apply, or two files have other classes.
        ImageError: an image cannot be read, and they are not to be skipped.
    """
    settings = settings or PageSettings()
    draws = AnalysisSettings(settings.resamples, settings.level, settings.seed)
    findings = find(models, draws, plugins=plugins, engine=engine, progress=progress)
    items = choose(findings.truth, findings.annotations, findings.found, findings.judged, settings.pictures)
    with progress("crop", len(items), "pictures") as advance:
        pictures, unread = draw_items(
            items, dataset, findings.sides(), skip=settings.skip_unread, advance=advance
        )
    header = {
        **findings.header,
        "items": [picture.as_dict() for picture in pictures],
        "unread": [escaped(key) for key in unread],
        "picture_bytes": [len(picture.content) for picture in pictures],
    }
    content = b"".join(picture.content for picture in pictures)
    html = assemble(findings.title, *map(_text, (pack(header, findings.columns), content)))
    return Page(
        html,
        findings.names,
        findings.runs,
        findings.comparisons,
        len(items),
        len(findings) - len(items),
        tuple(unread),
    )


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
