"""``Recipe``: everything that decides what a run predicts, as plain data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field, replace
from typing import get_args

from anydet.arguments import MOST_THREADS, require, require_choice, require_integer, require_text
from anydet.data.dataset.splits import split_named_by
from anydet.data.opening import open_dataset
from anydet.data.record.transforms import mirrored_pairs
from anydet.dataclass import dataclass
from anydet.errors import PluginError
from anydet.plugins.adapter import Adapter
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.plugins.options import check_settings
from anydet.prediction.checks import check_notes
from anydet.prediction.choices import TTA, TTT, Perturbation
from anydet.prediction.hooks import FusionSettings, TTTMethod, ViewSettings
from anydet.prediction.perturbation import RunningPerturbation
from anydet.prediction.pipeline import Limits, Pipeline, RunningTTT
from anydet.prediction.predictor import OnError, RunningTTA
from anydet.types import AdapterSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pipeline before it is built. Picklable, so that each process can open its own.

    Attributes:
        adapter: registered name.
        settings: of the adapter.
        limits: detections that are kept.
        tta: test-time augmentation, a perturbation of the results, or ``None``.
        ttt: test-time training, or ``None``.
        on_error: what happens at an undecodable image, as in ``Pipeline``.
        workers: decoding threads; they change no result.
    """

    adapter: str
    settings: AdapterSettings = field(default_factory=AdapterSettings)
    limits: Limits = field(default_factory=Limits)
    tta: TTA | Perturbation | None = None
    ttt: TTT | None = None
    on_error: OnError = "stop"
    workers: int = 2

    @classmethod
    def of(cls, pipeline: Pipeline) -> Recipe:
        """The recipe that a pipeline was opened from, complete."""
        return cls(
            pipeline.adapter.name,
            pipeline.adapter.settings,
            pipeline.limits,
            pipeline.tta.choices if pipeline.tta else None,
            pipeline.ttt.choices if pipeline.ttt else None,
            pipeline.on_error,
            pipeline.workers,
        )

    def resolve(self, plugins: Plugins) -> Recipe:
        """The same with all names known and all options checked and complete. Imports no plugin's code.

        Raises:
            PluginError: nothing of a name is registered.
            OptionError: an option or a field is unknown or has the wrong type or value.
        """
        self._check()
        options = plugins.options("adapters", self.adapter, self.settings.options)
        return replace(
            self,
            settings=replace(self.settings, options=options),
            tta=self.tta.resolve(plugins) if self.tta else None,
            ttt=self.ttt.resolve(plugins) if self.ttt else None,
        )

    def _check(self) -> None:
        require_text("adapter", self.adapter)
        kinds = (
            ("settings", self.settings, AdapterSettings, "AdapterSettings"),
            ("limits", self.limits, Limits, "Limits"),
            ("tta", self.tta, TTA | Perturbation | None, "TTA, Perturbation, or None"),
            ("ttt", self.ttt, TTT | None, "TTT, or None"),
        )
        for name, value, kind, takes in kinds:
            require(isinstance(value, kind), name, value, takes)
        check_settings(self.settings)
        require_choice("on_error", self.on_error, get_args(OnError))
        require_integer("workers", self.workers, 1, MOST_THREADS)

    def open(self, plugins: Plugins) -> Pipeline:
        """The pipeline; use it as a context manager, or call ``close``, which closes the adapter.

        Raises:
            PluginError: nothing of a name is registered, or it cannot be set up.
            OptionError: an option is unknown or has the wrong type or value.
            DatasetError: the source data set of test-time training cannot be read.
        """
        whole = self.resolve(plugins)
        adapter = plugins.adapter(whole.adapter, whole.settings)
        try:
            return Pipeline(
                adapter,
                whole.limits,
                _start_tta(whole.tta, adapter, plugins) if whole.tta else None,
                _start_ttt(whole.ttt, plugins) if whole.ttt else None,
                on_error=whole.on_error,
                workers=whole.workers,
                plugins=plugins,
            )
        except BaseException:
            # The first error is the one to raise.
            with suppress(Exception):
                adapter.close()
            raise


def _start_tta(
    tta: TTA | Perturbation, adapter: Adapter, plugins: Plugins
) -> RunningTTA | RunningPerturbation:
    names = check_notes(adapter, plugins).keypoint_names
    if isinstance(tta, Perturbation):
        return RunningPerturbation(tta, mirrored_pairs(names))
    views = tuple(
        plugins.build("views", view.name, ViewSettings(view.options, tta.seed, names)) for view in tta.views
    )
    fusion = plugins.build("fusions", tta.fusion.name, FusionSettings(tta.fusion.options))
    return RunningTTA(tta, views, fusion)


def _start_ttt(ttt: TTT, plugins: Plugins) -> RunningTTT:
    method = plugins.build("ttt_methods", ttt.method, ttt.settings)
    if not isinstance(method, TTTMethod):
        raise PluginError(
            f"the factory of TTT method {ttt.method!r} returned {type(method).__name__}, not a TTTMethod",
            fix="derive its class from anydet.prediction.hooks.TTTMethod",
        )
    if ttt.source is None:
        return RunningTTT(ttt, method)
    with split_named_by("ttt_source_split"):
        source = open_dataset(ttt.source, ttt.source_split, formats=installed_formats(plugins))
    return RunningTTT(ttt, method, source)
