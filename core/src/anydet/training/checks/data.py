"""Data quality: what is wrong with images and labels before any model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from anydet.data.dataset.protocols import Dataset
from anydet.data.inspection.annotations import inspect_annotations
from anydet.data.inspection.files import inspect_files
from anydet.data.inspection.finding import DatasetFinding
from anydet.data.record.class_mask import background_of
from anydet.errors import DatasetError
from anydet.training.checks.content import Content, read_content
from anydet.training.checks.verdict import State, Verdict, shortened
from anydet.training.run import Run
from anydet.training.task import TrainingTask
from anydet.types import ClassTable

IMBALANCE = 100
"""Times as many of the most frequent class as of the rarest."""
_STATES: Mapping[str, State] = {"broken": "fail", "warning": "warn", "note": "pass"}
_SEEN_HERE = {
    *("duplicate images", "unreadable images", "missing images", "no image files"),
    *("classes never used", "class imbalance"),
}
"""Findings of ``anydet check-dataset`` that reading the pixels shows better."""

_verdict = partial(Verdict, "data")


def check_data(run: Run, task: TrainingTask, most: int) -> Iterator[Verdict]:
    """Images, labels, and whether training and validation have images in common.

    Args:
        run: whose data.
        task: which labels are read, and how samples reach the model.
        most: images of each split that are looked at, the first ones.
    """
    content = read_content(run.dataset, task, most)
    yield _images(content, len(run.dataset))
    yield _values(content)
    yield _labels(content)
    yield from _balance(content, task.classes)
    yield _duplicates(content)
    if run.validation is not None:
        yield _leakage(content, read_content(run.validation, task, most))
    yield from _inspected(run.dataset)


def _listed(check: str, state: State, problem: str, examples: Sequence[str], fix: str) -> Verdict:
    message = f"{len(examples)} {problem}: {shortened(list(examples), 2)}"
    return _verdict(check, state, message, fix, {"count": len(examples), "examples": list(examples[:20])})


def _images(content: Content, images: int) -> Verdict:
    if content.broken:
        fix = "get these images again or correct their labels, or take them out of the data set"
        return _listed("images", "fail", "cannot be read", content.broken, fix)
    if content.refused:
        fix = "correct these labels; see 'anydet check-dataset'"
        return _listed("images", "fail", "are refused by the adapter", content.refused, fix)
    message = f"{content.images} of {images} read, all of them fine"
    return _verdict("images", "pass", message, "", {"read": content.images, "images": images})


def _values(content: Content) -> Verdict:
    message = f"pixels {content.lowest} to {content.highest}"
    numbers = {"lowest": content.lowest, "highest": content.highest}
    if content.nonfinite:
        fix = "look at sizes and boxes of these images, and at what the adapter divides by"
        return _listed("value ranges", "fail", "reach the model with NaN or infinity", content.nonfinite, fix)
    if content.flat:
        fix = "look at them: an image of one color is often a file that was cut short"
        return _listed("value ranges", "warn", f"of one color ({message})", content.flat, fix)
    if content.images > len(content.broken) and content.highest < 16:
        fix = "images are nearly black: were they divided by 255 before they were written?"
        return _verdict("value ranges", "warn", message, fix, numbers)
    return _verdict("value ranges", "pass", message, "", numbers)


def _labels(content: Content) -> Verdict:
    readable = content.images - len(content.broken)
    if content.strange:
        fix = "correct the label or the mask of these images, or name the missing classes"
        return _listed("labels", "fail", "contradict themselves", content.strange, fix)
    if readable and len(content.unlabeled) == readable:
        return _verdict("labels", "fail", "no image has a label", "look where labels are expected")
    if 2 * len(content.unlabeled) > readable:
        fix = "look whether their labels were found; background images are useful, a majority rarely meant"
        return _listed("labels", "warn", "images without labels", content.unlabeled, fix)
    message = f"{readable - len(content.unlabeled)} of {readable} images have labels"
    return _verdict("labels", "pass", message, "", {"unlabeled": len(content.unlabeled)})


def _balance(content: Content, classes: ClassTable) -> Iterator[Verdict]:
    names, background = classes.names, background_of(classes)
    for check, counts in (
        ("balance of objects", content.objects),
        ("balance of images", content.labels),
        ("balance of pixels", content.pixels),
    ):
        if counts:
            shown = {name: counts.get(i, 0) for i, name in enumerate(names) if i != background}
            yield _balanced(check, shown)


def _balanced(check: str, counts: Mapping[str, int]) -> Verdict:
    """How even classes are; background is none."""
    numbers = {"counts": counts}
    used = {name: count for name, count in counts.items() if count}
    never = [name for name, count in counts.items() if not count]
    if not used:
        return _verdict(check, "warn", "nothing but background", "check the class list", numbers)
    rarest, most = min(used, key=lambda name: used[name]), max(used, key=lambda name: used[name])
    ratio = used[most] / used[rarest]
    message = f"{most} {used[most]:,} to {rarest} {used[rarest]:,} ({ratio:.3g} to 1)"
    if never:
        message += f"; never: {shortened(never)}"
        fix = "check the class list and the ids, or label some: a class without examples is not learned"
        return _verdict(check, "warn", message, fix, numbers)
    if ratio > IMBALANCE:
        fix = "collect or repeat images of rare classes, or weigh classes in the loss"
        return _verdict(check, "warn", message, fix, numbers)
    return _verdict(check, "pass", message, "", numbers)


def _duplicates(content: Content) -> Verdict:
    same = [" = ".join(keys) for keys in content.by_pixels.values() if len(keys) > 1]
    if same:
        fix = "keep one of each, unless they are repeated on purpose"
        return _listed("duplicates", "warn", "groups of images with the same pixels", same, fix)
    return _verdict("duplicates", "pass", f"{len(content.by_pixels)} different images")


def _leakage(training: Content, validation: Content) -> Verdict:
    shared = training.by_pixels.keys() & validation.by_pixels.keys()
    both = [f"{training.by_pixels[one][0]} = {validation.by_pixels[one][0]}" for one in sorted(shared)]
    if both:
        fix = "take them out of one of the two: validation is too good otherwise"
        return _listed("leakage", "fail", "images both trained and validated on", both, fix)
    return _verdict("leakage", "pass", f"none of {validation.images} validation images is trained on")


def _inspected(dataset: Dataset) -> Iterator[Verdict]:
    """Findings of ``anydet check-dataset`` on boxes, masks and files."""
    try:
        truth = dataset.ground_truth()
        findings = list(inspect_annotations(truth)) if len(truth) else []
    except DatasetError as exc:
        yield _verdict("annotations", "fail", exc.problem, exc.fix)
        return
    findings += inspect_files(dataset)
    worth = [one for one in findings if one.severity != "note" and one.check not in _SEEN_HERE]
    yield from map(_of_finding, worth)
    if not any(one.severity == "broken" for one in worth):
        message = f"{len(truth)} boxes and masks, as 'anydet check-dataset' looks at them"
        yield _verdict("annotations", "pass", message, "", {"annotations": len(truth)})


def _of_finding(one: DatasetFinding) -> Verdict:
    message = f"{one.count} {one.problem}: {''.join(one.examples[:1])}"
    numbers = {"count": one.count, "examples": list(one.examples)}
    return _verdict(one.check, _STATES[one.severity], message, one.fix, numbers)
