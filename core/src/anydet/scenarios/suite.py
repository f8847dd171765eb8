"""``Suite``: a model in all scenarios of a setting; what was predicted already is not predicted again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from anydet.contract.reading.load import load, meta_of
from anydet.data.dataset.protocols import Dataset
from anydet.data.dataset.subset import FirstImages
from anydet.data.opening import open_dataset
from anydet.errors import EvaluationError
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.reading import join_inputs, require_labels
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.prediction.export import InterruptedRunError, export_predictions
from anydet.prediction.meta import identity, options_as_given
from anydet.prediction.pipeline import Pipeline
from anydet.prediction.recipe import Recipe
from anydet.scenarios.measuring import IOU, measure
from anydet.scenarios.results import Outcome, Results
from anydet.scenarios.scenario import Scenario
from anydet.scenarios.setting import Setting
from anydet.text import as_given, counted

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""A progress bar of a label and a total: gives a function that advances it."""
_NO_PIXELS = "it changes pixels, and the adapter {name} looks at none"


@contextmanager
def _no_bar(_label: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _count: None


@dataclass(frozen=True, eq=False)
class Suite:
    """The predictions and evaluations of a setting.

    Attributes:
        setting: what is measured.
        out: folder of all files.
        plugins: where adapters, formats and evaluators come from.
        engine: matches detections.
        strict: refuse a data set with odd annotations.
        say: called with a line on what is done.
        warn: called with a line on what lowers numbers.
        bar: of what is predicted.
    """

    setting: Setting
    out: Path
    plugins: Plugins
    engine: Engine
    strict: bool = False
    say: Callable[[str], None] = lambda _text: None
    warn: Callable[[str], None] = lambda _text: None
    bar: Bar = _no_bar

    @cached_property
    def dataset(self) -> Dataset:
        """The data set as it is, or its first images.

        Raises:
            DatasetError: it cannot be read.
            EvaluationError: it has no labels.
        """
        formats = installed_formats(self.plugins)
        opened = open_dataset(
            self.setting.dataset, self.setting.split, formats=formats, refuse_odd=self.strict
        )
        require_labels(opened)
        most = self.setting.max_images
        return opened if most is None else FirstImages(opened, most)

    def run(self) -> Results:
        """Predict what is missing, and measure.

        Raises:
            AnydetError: a data set, the adapter or an evaluation fails; predictions so far are kept.
            InterruptedRunError: Ctrl-C; the same call goes on.
        """
        dataset, scenarios = self.dataset, self.setting.scenarios
        outcomes: list[Outcome] = []
        clean: float | None = None
        with self.setting.recipe.open(self.plugins) as pipeline:
            for number, scenario in enumerate(scenarios):
                self.say(
                    f"scenario {number + 1} of {len(scenarios)}, {scenario.name}: {scenario.description}"
                )
                outcomes.append(self._outcome(scenario, pipeline, dataset))
                if clean is None and not scenario.changes and not scenario.selections:
                    clean = outcomes[-1].numbers.get("AP")
            about = self._about(pipeline)
        return Results(tuple(replace(one, clean_ap=clean) for one in outcomes), about)

    def _outcome(self, scenario: Scenario, pipeline: Pipeline, clean: Dataset) -> Outcome:
        dataset = scenario.open(clean)
        outcome = Outcome(scenario, scenario.fingerprint(dataset))
        adapter = pipeline.adapter
        if scenario.changes and not adapter.needs_pixels:
            return self._unmeasured(outcome, _NO_PIXELS.format(name=adapter.name))
        file = self._predict(scenario, pipeline, dataset)
        inputs = join_inputs(dataset, load(file, self.engine.scanner, dataset.ground_truth))
        for warning in inputs.warnings:
            self.warn(f"{scenario.name}: {warning}")
        outcome = replace(outcome, predictions=str(file.relative_to(self.out)))
        try:
            measures = measure(
                scenario,
                inputs,
                evaluators=self.setting.evaluators,
                score_threshold=self.setting.score_threshold,
                plugins=self.plugins,
                engine=self.engine,
            )
        except EvaluationError as exc:
            if not scenario.selections:
                raise
            return self._unmeasured(outcome, exc.problem)
        if measures is None:
            return self._unmeasured(outcome, "it selects no object")
        for name, error in measures.failed.items():
            self.warn(f"{scenario.name}: {name} failed: {error.problem}")
        runtime = (meta_of(file) or {}).get("runtime", {}) if adapter.needs_pixels else {}
        return replace(outcome, measures=measures, images_per_s=runtime.get("images_per_s"))

    def _unmeasured(self, outcome: Outcome, reason: str) -> Outcome:
        self.warn(f"{outcome.scenario.name} is not measured: {reason}")
        return replace(outcome, reason=reason)

    def _predict(self, scenario: Scenario, pipeline: Pipeline, dataset: Dataset) -> Path:
        """The predictions file of a changed data set; scenarios that only select have one in common.

        It is named by all that decides what is in it, so that one that is there is the one that is wanted.
        """
        run = identity(Recipe.of(pipeline), dataset, len(dataset), pipeline.adapter.version)
        digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:12]
        name = scenario.name if scenario.changes else "unchanged"
        file = self.out / "predictions" / f"{name}-{digest}.jsonl"
        if file.exists():
            return file
        try:
            with self.bar(scenario.name, len(dataset)) as advance:
                summary = export_predictions(pipeline, dataset, file, resume=True, progress=advance)
        except InterruptedRunError as exc:
            raise InterruptedRunError(exc.problem, fix="give the same command again to go on") from None
        self.say(f"{file}: {counted(summary.images, 'image')}, {counted(summary.detections, 'detection')}")
        return file

    def _about(self, pipeline: Pipeline) -> dict[str, Any]:
        dataset, setting = self.dataset, self.setting
        settings = setting.recipe.settings
        return {
            "adapter": pipeline.adapter.name,
            "adapter_version": pipeline.adapter.version,
            "config": settings.config,
            "checkpoint": settings.checkpoint and as_given(settings.checkpoint),
            "device": settings.device,
            "options": options_as_given(settings.options),
            "dataset": {
                "root": as_given(str(dataset.root)),
                "split": dataset.split,
                "fingerprint": dataset.fingerprint(),
                "images": len(dataset),
            },
            "score_threshold": setting.score_threshold,
            "iou_threshold": IOU,
            "max_detections": setting.recipe.limits.max_detections,
            "evaluators": list(setting.evaluators),
            "seed": setting.seed,
        }
