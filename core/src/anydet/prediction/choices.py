"""What a run adapts with, as plain data: names of views, fusion and method, with their options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from anydet.arguments import (
    require,
    require_choice,
    require_flag,
    require_integer,
    require_number,
    require_text,
)
from anydet.dataclass import dataclass
from anydet.errors import OptionError, did_you_mean
from anydet.plugins.options import load_schema
from anydet.plugins.specs import TTT_SETTINGS, UPDATE_FILTERS
from anydet.prediction.hooks import TTTSettings
from anydet.text import counted, shortened

if TYPE_CHECKING:
    from typing_extensions import Self

    from anydet.plugins.manager import Plugins
    from anydet.plugins.specs import TTTMethodSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """Something registered, and the options to build it with.

    Attributes:
        name: as it is registered.
        options: its own options.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """``scale:0.5``: the name and the values of all options, in the order of the schema."""
        values = (v if isinstance(v, str) else json.dumps(v) for v in self.options.values())
        return ":".join([self.name, *values])

    def resolve(self, plugins: Plugins, kind: str) -> Choice:
        """The same with all options checked and complete; raises as ``Plugins.options``."""
        return replace(self, options=plugins.options(kind, self.name, self.options))


@dataclass(frozen=True, slots=True)
class TTA:
    """Test-time augmentation.

    Attributes:
        views: in the order in which they are predicted, at least one.
        fusion: how their results become one.
        weights: of the views, positive; empty where all count alike.
        seed: of the views' random choices, with each record's key.
    """

    views: tuple[Choice, ...]
    fusion: Choice = Choice("wbf")
    weights: tuple[float, ...] = ()
    seed: int = 0

    def resolve(self, plugins: Plugins) -> Self:
        """The same with all names known and all options complete.

        Raises ``OptionError`` or ``PluginError`` that says what is wrong with which.
        """
        require(
            isinstance(self.views, tuple) and all(isinstance(view, Choice) for view in self.views),
            "views",
            self.views,
            "a tuple of Choice",
        )
        require(isinstance(self.fusion, Choice), "fusion", self.fusion, "a Choice")
        require(isinstance(self.weights, tuple), "weights", self.weights, "a tuple of numbers")
        require_integer("seed", self.seed, 0)
        if not self.views:
            raise OptionError("test-time augmentation without views", fix="name one, such as 'original'")
        if self.weights and len(self.weights) != len(self.views):
            raise OptionError(
                f"{counted(len(self.weights), 'weight')} for {counted(len(self.views), 'view')}",
                fix="give one weight a view",
            )
        for weight in self.weights:
            require_number("weights", weight, 0, above=True)
        views = tuple(view.resolve(plugins, "views") for view in self.views)
        # Weights of 1 are those of none: such runs are the same, and one resumes the other.
        weights_that_count = () if set(self.weights) == {1.0} else self.weights
        fusion = self.fusion.resolve(plugins, "fusions")
        return replace(self, views=views, fusion=fusion, weights=weights_that_count)


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Detections mirrored by chance after prediction (``--tta-mode prediction``): a robustness probe.

    The image is predicted once, as it is; this is no augmentation, and makes no result better.

    Attributes:
        seed: of the choices, with each record's key.
        flip_prob: probability that a detection is mirrored left and right.
        norm_only: mirror only what is in fractions of the image, boxes and keypoints; masks and poses stay.
    """

    seed: int = 0
    flip_prob: float = 0.5
    norm_only: bool = False

    def resolve(self, plugins: Plugins) -> Self:
        """The same; raises ``OptionError`` where a value has the wrong type or is out of range."""
        del plugins
        require_integer("seed", self.seed, 0)
        require_number("flip_prob", self.flip_prob, 0, 1)
        require_flag("norm_only", self.norm_only)
        return self


def read_tta(
    views: str,
    plugins: Plugins,
    *,
    fusion: str = "wbf",
    weights: Sequence[float] = (),
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> TTA:
    """``original,hflip,scale:0.5`` as test-time augmentation, resolved.

    Args:
        views: names with commas between them; values behind a name fill the view's options in the order of
            its schema, an empty one leaves its default.
        plugins: where views and fusions come from.
        fusion: registered name.
        weights: of the views; none where all count alike.
        seed: of the views' random choices.
        options: name of a view or of the fusion -> its options, where ``views`` does not state them.

    Raises:
        PluginError: nothing of a name is registered.
        OptionError: an option is unknown or has the wrong type or value, or there are too many values.
    """
    given = options or {}
    words = [word.strip() for word in views.split(",") if word.strip()]
    stated = tuple(_read_view(word, plugins) for word in words)
    _refuse_unused(given, stated, fusion, plugins)
    chosen = tuple(Choice(v.name, {**given.get(v.name, {}), **v.options}) for v in stated)
    fusing = Choice(fusion, given.get(fusion, {}))
    return TTA(chosen, fusing, tuple(weights), seed).resolve(plugins)


def _refuse_unused(
    options: Mapping[str, Mapping[str, Any]], views: Sequence[Choice], fusion: str, plugins: Plugins
) -> None:
    """Refuse options of what a run does not have, and those that each use of a view states by itself."""
    known = [*dict.fromkeys(view.name for view in views), fusion]
    for name, given in options.items():
        if name not in known:
            raise OptionError(
                f"options for {name!r}, which is no view or fusion of this run ({', '.join(known)})"
                + did_you_mean(name, known),
                fix=_way_in(name, plugins),
            )
        uses = [view for view in views if view.name == name]
        for key in given:
            if name != fusion and all(key in view.options for view in uses):
                raise OptionError(
                    f"option {name}.{key} has no effect: {', '.join(map(str, uses))} states it already",
                    fix=f"leave out {name}.{key}, or the value in the views",
                )


def _way_in(name: str, plugins: Plugins) -> str:
    """What makes something a part of the run, where it is registered."""
    if plugins.has("fusions", name):
        return f"choose it as the fusion (--tta-fusion {name})"
    if plugins.has("views", name):
        return f"add {name} to the views (--tta-views)"
    return "correct the name; 'anydet adaptation list' shows views and fusions"


def _read_view(text: str, plugins: Plugins) -> Choice:
    """The view and the options that the text states."""
    name, *values = text.split(":")
    if values and not plugins.has("views", name) and plugins.has("views", f"{name}:{values[0]}"):
        name, values = f"{name}:{values[0]}", values[1:]  # PACKAGE:NAME
    names = list(load_schema(plugins.spec("views", name).options_schema).get("properties", {}))
    if len(values) > len(names):
        takes = f"takes {len(names)}: {', '.join(names)}" if names else "takes none"
        raise OptionError(
            f"view {text!r} has {counted(len(values), 'value')}, and {name} {takes}",
            fix=f"see 'anydet adaptation show {name}'",
        )
    return Choice(name, {key: value for key, value in zip(names, values, strict=False) if value})


def method_of_preset(preset: str, plugins: Plugins, *, default: str) -> str:
    """The method that a preset belongs to, so that the preset alone says everything.

    Args:
        preset: name.
        plugins: where methods come from.
        default: method that goes before others.

    Raises ``OptionError`` where several others have it, or none has.
    """
    specs: dict[str, TTTMethodSpec] = plugins.specs("ttt_methods")
    having = [name for name, spec in specs.items() if preset in spec.presets]
    if default in having:
        return default
    if len(having) > 1:
        raise OptionError(
            f"methods {', '.join(having)} have a preset {preset!r}", fix=f"add --ttt-method {having[0]}"
        )
    if having:
        return having[0]
    known = [each for spec in specs.values() for each in spec.presets]
    raise OptionError(
        f"no method of test-time training has a preset {preset!r} (known: {', '.join(known) or 'none'})"
        + did_you_mean(preset, known),
        fix="'anydet adaptation list' shows the methods, 'anydet adaptation show NAME' their presets",
    )


def _with_preset(settings: TTTSettings, spec: TTTMethodSpec) -> TTTSettings:
    """What the preset stands for, where nothing else is given."""
    stated = dict(spec.presets.get(settings.preset or "", {}))
    fields = {name: stated.pop(name) for name in TTT_SETTINGS if name in stated and name != "source"}
    wanted = {name: value for name, value in fields.items() if getattr(settings, name) is None}
    return replace(settings, **wanted, options={**stated, **settings.options})


@dataclass(frozen=True, slots=True)
class TTT:
    """Test-time training.

    Attributes:
        method: registered name.
        settings: of the method.
        source: path of a data set like that which the model was trained on, or ``None``.
        source_split: its split, or ``None`` for the first usual one.
    """

    method: str
    settings: TTTSettings = field(default_factory=TTTSettings)
    source: str | None = None
    source_split: str | None = None

    def resolve(self, plugins: Plugins) -> Self:
        """The same with the method known and its options complete.

        Raises ``OptionError`` where a setting is one that the method does not use, else as
        ``Plugins.options``.
        """
        self._check()
        spec = plugins.spec("ttt_methods", self.method)
        self._refuse_unused(spec)
        settings = _with_preset(self.settings, spec)
        options = plugins.options("ttt_methods", self.method, settings.options)
        return replace(self, settings=replace(settings, options=options))

    def _check(self) -> None:
        require_text("method", self.method)
        settings = self.settings
        require(isinstance(settings, TTTSettings), "settings", settings, "TTTSettings")
        require_choice("reset", settings.reset, ("sample", "stream"))
        require_integer("seed", settings.seed, 0)
        for name in ("steps", "batch_size", "max_batches"):
            value = getattr(settings, name)
            if value is not None:
                require_integer(name, value, 1)
        if settings.lr is not None:
            require_number("lr", settings.lr, 0)
        if settings.update_filter is not None:
            require_choice("update_filter", settings.update_filter, UPDATE_FILTERS)
        for name in ("include", "exclude"):
            patterns = getattr(settings, name)
            good = patterns is None or (
                isinstance(patterns, tuple) and all(isinstance(word, str) and word for word in patterns)
            )
            require(good, name, patterns, "a tuple of patterns, or None")
        for name, text in (
            ("preset", settings.preset),
            ("statistics", settings.statistics),
            ("source", self.source),
            ("source_split", self.source_split),
        ):
            require(text is None or isinstance(text, str), name, text, "text, or None")

    def _refuse_unused(self, spec: TTTMethodSpec) -> None:
        listing = f"see 'anydet adaptation show {self.method}'"
        preset = self.settings.preset
        if preset is not None and preset not in spec.presets:
            known = f"its presets are {', '.join(spec.presets)}" if spec.presets else "it has no presets"
            raise OptionError(
                f"{self.method} has no preset {preset!r}: {known}{did_you_mean(preset, list(spec.presets))}",
                fix=listing,
            )
        for name in TTT_SETTINGS:
            given = self.source if name == "source" else getattr(self.settings, name)
            if given is not None and name not in spec.settings:
                used = ", ".join(spec.settings) or "none"
                raise OptionError(
                    f"{self.method} does not use the setting {name} (it uses {used})",
                    fix=f"leave out --ttt-{name.replace('_', '-')}",
                )
        if self.source is not None and self.settings.statistics is not None:
            raise OptionError(
                f"{self.method} takes a data set ({shortened(self.source)}) or its statistics "
                f"({shortened(self.settings.statistics)}), not both",
                fix="leave out --ttt-source, from which statistics would be computed, or --ttt-statistics",
            )
        if self.source_split is not None and self.source is None:
            raise OptionError(
                f"split {self.source_split!r} of a source data set, and no source data set",
                fix="add --ttt-source, or leave out --ttt-source-split",
            )
