"""``Setting``: which scenarios a model is measured in, on which data, and what its numbers must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.errors import OptionError, did_you_mean
from anydet.plugins.manager import Plugins
from anydet.plugins.options import check_options, load_schema
from anydet.prediction.pipeline import Limits
from anydet.prediction.recipe import Recipe
from anydet.scenarios.scenario import Scenario, read_scenarios
from anydet.scenarios.thresholds import read_thresholds
from anydet.text import quoted
from anydet.training.config.config_file import open_setting

if TYPE_CHECKING:
    from typing_extensions import Self

PACKAGED = "anydet.scenarios:settings"
SCHEMA = "anydet.scenarios:setting.schema.json"
SCORE_FLOOR = 0.001
"""Lowest score of a detection that AP counts."""
COCO = "coco"
"""The evaluator that always runs."""
_PREDICTIONS = "precomputed"
"""The adapter that takes a predictions file."""
_OF_ADAPTER = ("config", "checkpoint", "device", "options", "image_size", "predictions")
"""Keys that are of the setting's adapter, and say nothing of another one."""
_HELP = "see 'anydet test --help'"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured.

    Attributes:
        recipe: adapter and limits.
        dataset: its path.
        split: of it.
        max_images: only the first so many, or ``None``.
        score_threshold: lowest score that recall, precision and rejection rate count.
        evaluators: that run where they apply; COCO's always does.
        seed: of all random choices.
        scenarios: in the order of the tables.
        output: a further file for the result, or ``None``.
    """

    recipe: Recipe
    dataset: Path
    split: str | None
    max_images: int | None
    score_threshold: float
    evaluators: tuple[str, ...]
    seed: int
    scenarios: tuple[Scenario, ...]
    output: Path | None = None

    @classmethod
    def read(cls, setting: Path | str, plugins: Plugins, given: Mapping[str, Any] | None = None) -> Self:
        """The setting of a file, or of one that anydet brings.

        Args:
            setting: YAML or JSON file, or name of a packaged setting.
            plugins: where adapters and evaluators come from.
            given: keys that go before those of the file; of another adapter than the file's, the file's keys
                of its adapter are left out.

        Raises:
            OptionError: a key is unknown or has a wrong value; names it, and what was probably meant.
            PluginError: there is no such adapter or evaluator.
        """
        file = open_setting(setting, PACKAGED, "setting")
        given = dict(given or {})
        values = dict(file.values)
        if given.get("adapter", values.get("adapter")) != values.get("adapter"):
            values = {key: value for key, value in values.items() if key not in _OF_ADAPTER}
        options = {**_mapping(values, "options", file.name), **given.pop("options", {})}
        try:
            keys = check_options(
                {**values, **given, "options": options}, load_schema(SCHEMA), owner=file.name
            )
        except OptionError as exc:
            # Without its own hint: a file is no adapter that can be shown.
            raise OptionError(exc.problem, fix=_HELP) from exc
        evaluators = tuple(dict.fromkeys((COCO, *keys["evaluators"])))
        for name in evaluators:
            plugins.spec("evaluators", name)
        return cls(
            _recipe(keys, plugins, file.name),
            Path(keys["dataset"]),
            keys["split"],
            keys["max_images"],
            keys["score_threshold"],
            evaluators,
            keys["seed"],
            _scenarios(keys, evaluators, file.name),
            None if keys["output"] is None else Path(keys["output"]),
        )

    def only(self, names: Sequence[str]) -> Setting:
        """The same with some of the scenarios; all where none is named.

        A name is that of a scenario, or of an entry of the setting that gives several.
        """
        known = [one.name for one in self.scenarios]
        for name in names:
            if not any(_is_of(one, name) for one in known):
                raise OptionError(
                    f"no scenario called {quoted(name)}{did_you_mean(name, known)}",
                    fix=f"name some of {', '.join(known)}",
                )
        kept = tuple(one for one in self.scenarios if any(_is_of(one.name, name) for name in names))
        return replace(self, scenarios=kept or self.scenarios)


def _is_of(scenario: str, name: str) -> bool:
    return scenario == name or scenario.startswith(f"{name}-")


def _recipe(keys: Mapping[str, Any], plugins: Plugins, file: str) -> Recipe:
    adapter, options = keys["adapter"], dict(keys["options"])
    if adapter is None:
        raise OptionError(f"{file}: names no adapter", fix="add --adapter NAME")
    if keys["predictions"] is not None:
        if adapter != _PREDICTIONS:
            raise OptionError(
                f"a predictions file is for the adapter {_PREDICTIONS}, not for {quoted(adapter)}",
                fix=f"add --adapter {_PREDICTIONS}, or leave out --predictions",
            )
        options["predictions"] = keys["predictions"]
    elif adapter == _PREDICTIONS and "predictions" not in options:
        raise OptionError(f"the adapter {_PREDICTIONS} has no predictions file", fix="add --predictions FILE")
    if keys["image_size"] is not None:
        options.setdefault("image_size", keys["image_size"])
    floor = min(SCORE_FLOOR, keys["score_threshold"])
    settings = plugins.settings(
        adapter,
        options=options,
        config=keys["config"],
        checkpoint=keys["checkpoint"],
        device=keys["device"],
        batch_size=keys["batch_size"],
        score_floor=floor,
        max_detections=keys["max_detections"],
        seed=keys["seed"],
    )
    return Recipe(adapter, settings, Limits(floor, keys["max_detections"]))


def _scenarios(keys: Mapping[str, Any], evaluators: tuple[str, ...], file: str) -> tuple[Scenario, ...]:
    thresholds = read_thresholds(keys["thresholds"], evaluators, file)
    found = [
        scenario
        for name, entry in keys["scenarios"].items()
        for scenario in read_scenarios(
            str(name),
            entry or {},
            seed=keys["seed"],
            least_visible=keys["least_visible"],
            thresholds=thresholds,
            evaluators=evaluators,
        )
    ]
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"{file}: two scenarios are called {quoted(twice)}", fix="rename one of them")
    return tuple(found)


def _mapping(values: Mapping[str, Any], key: str, file: str) -> Mapping[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, Mapping):
        raise OptionError(f"{file}: {key}: expected keys and values, got {quoted(found)}", fix=_HELP)
    return found
