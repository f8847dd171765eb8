"""The comparison protocol: methods of test-time training on the same images, clean and corrupted.

Every method, and the model as it is, predicts the same first images under the same conditions with the same
seeds. Each is compared with the model as it is by a paired bootstrap over images. What is done already is
kept: a run whose identity is that of an earlier one is not run again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.corruptions.corruption import PREFIX, Corruption, choose_names
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset
from anydet.errors import OptionError
from anydet.evaluation.analysis.comparison import compare
from anydet.evaluation.coco import CocoEvaluator
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.figures import Axis, Bar, Bars, Matrix
from anydet.evaluation.reading import read_shards
from anydet.evaluation.run import prepare_coco
from anydet.evaluation.tables import Cell, Table
from anydet.inputs import known_json
from anydet.outputs import write_file
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.plugins.options import check_options, load_schema
from anydet.plugins.specs import TTT_SETTINGS
from anydet.prediction.checks import check_notes
from anydet.prediction.choices import TTT, method_of_preset
from anydet.prediction.export import export_predictions
from anydet.prediction.hooks import TTTSettings
from anydet.prediction.meta import identity
from anydet.prediction.recipe import Recipe
from anydet.prediction.spool import discard
from anydet.text import counted
from anydet.training.config.config_file import open_config

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEMA = "anydet.adaptation.ttt:protocol.schema.json"
BASELINE = "none"
"""Name of the model as it is."""
CLEAN = "clean"
_METRIC = "AP"
FIGURES = ("differences", "means")
"""Names of all that are drawn."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared, under which conditions.

    Attributes:
        recipe: of the model as it is.
        methods: name -> method with its settings, in the order of the tables.
        dataset: path of the images.
        split: of them, or ``None`` for the first of the usual names.
        max_images: the first so many, or ``None`` for all.
        conditions: "clean" first, then corruptions with their severities, "fog:3".
        seeds: of corruptions and of methods.
        resamples: of the bootstrap.
    """

    recipe: Recipe
    methods: Mapping[str, TTT]
    dataset: str
    split: str | None
    max_images: int | None
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]
    resamples: int

    @classmethod
    def read(cls, path: Path, plugins: Plugins) -> Self:
        """The setting of a YAML or JSON file; raises ``OptionError`` that names the key."""
        if not path.is_file():
            raise OptionError(f"{path}: no such file", fix="name a YAML or JSON file of keys")
        values = open_config(path).values
        try:
            given = check_options(values, load_schema(SCHEMA), owner=str(path))
        except OptionError as exc:
            # Without its own hint: a file is no adapter that can be shown.
            raise OptionError(exc.problem, fix="see 'anydet ttt-compare --help'") from exc
        settings = plugins.settings(
            given["adapter"],
            options=given["options"],
            config=given["config"],
            checkpoint=given["checkpoint"],
            device=given["device"],
            batch_size=given["batch_size"],
            score_floor=0.001,
        )
        methods = {
            name: read_method(name, keys or {}, plugins)
            for name, keys in given["methods"].items()
            if _is_method(name, keys)
        }
        if not methods:
            raise OptionError(f"{path}: there is no method to compare", fix="add methods: {norm: }")
        return cls(
            Recipe(given["adapter"], settings).resolve(plugins),
            methods,
            given["dataset"],
            given.get("split"),
            given.get("max_images"),
            (CLEAN, *_conditions(given["corruptions"], given["severities"])),
            tuple(dict.fromkeys(given["seeds"])),
            given["resamples"],
        )


def _is_method(name: str, keys: object) -> bool:
    """Whether a name is that of a method; the model as it is may be named, without keys, for completeness."""
    # Files and rows of tables have the name.
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"method {name!r}: names are up to 64 letters, digits and _ . -, a letter or digit first",
            fix="give it such a name",
        )
    if name != BASELINE:
        return True
    if keys:
        raise OptionError(
            f"{BASELINE!r} is the name of the model as it is", fix="give the method another name"
        )
    return False


def read_method(name: str, keys: Mapping[str, Any], plugins: Plugins) -> TTT:
    """``{method, preset, reset, steps, ..., options}`` as test-time training, resolved.

    Raises ``OptionError`` where a key is unknown, as ``TTT.resolve`` for the rest.
    """
    known = ("method", "preset", "reset", *TTT_SETTINGS, "source_split", "options")
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise OptionError(
            f"method {name!r}: unknown key {', '.join(map(repr, unknown))}",
            fix=f"keys are {', '.join(known)}",
        )
    try:
        return _resolved(name, {key: _number(key, value) for key, value in keys.items()}, plugins)
    except OptionError as exc:
        raise OptionError(f"method {name!r}: {exc.problem}", fix=exc.fix) from exc


def _number(key: str, value: Any) -> Any:
    # YAML takes 1e-5, which has no point, for text.
    if key == "lr" and isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


def _resolved(name: str, keys: Mapping[str, Any], plugins: Plugins) -> TTT:
    preset = keys.get("preset")
    method = keys.get("method") or (method_of_preset(preset, plugins, default="tent") if preset else name)
    fields: dict[str, Any] = {
        key: tuple(value) if key in {"include", "exclude"} and isinstance(value, list) else value
        for key, value in keys.items()
        if key in ("preset", "reset", *TTT_SETTINGS) and key != "source"
    }
    settings = TTTSettings(**{"reset": "stream", **fields}, options=keys.get("options") or {})
    return TTT(method, settings, keys.get("source"), keys.get("source_split")).resolve(plugins)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One method under one condition, over all seeds.

    Attributes:
        ap: mean over seeds.
        difference: mean difference from the model as it is; ``None`` for that one itself.
        low: lower end of its interval: the mean of the seeds' lower ends, which is too wide rather than too
            narrow, since the seeds have the same images.
        high: upper end, likewise.
        seconds: mean time of an image.
    """

    ap: float
    difference: float | None
    low: float | None
    high: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out.

    Attributes:
        outcomes: condition -> method -> outcome; the model as it is comes first.
        images: number of images.
        seeds: number of seeds.
    """

    outcomes: Mapping[str, Mapping[str, Outcome]]
    images: int
    seeds: int

    @property
    def summary(self) -> Table:
        """A row a method: clean, corrupted, what was won back, where it is sure, and what it costs."""
        corrupted = [name for name in self.outcomes if name != CLEAN]
        base = {name: methods[BASELINE] for name, methods in self.outcomes.items()}
        rows = []
        for method in next(iter(self.outcomes.values())):
            found = {name: methods[method] for name, methods in self.outcomes.items()}
            mean = _mean([found[name].ap for name in corrupted])
            gain = _mean([found[name].ap - base[name].ap for name in corrupted])
            lost = (
                None if mean is None else base[CLEAN].ap - (_mean([base[name].ap for name in corrupted]) or 0)
            )
            ends = [(found[name].low, found[name].high) for name in corrupted]
            rows.append(
                (
                    method,
                    found[CLEAN].ap,
                    found[CLEAN].difference,
                    mean,
                    None if method == BASELINE else gain,
                    gain / lost if gain is not None and lost and method != BASELINE else None,
                    sum(low is not None and low > 0 for low, _ in ends),
                    sum(high is not None and high < 0 for _, high in ends),
                    _mean([one.seconds for one in found.values()]) or 0.0,
                )
            )
        header = (
            "method",
            "clean",
            "change",
            "corrupted",
            "change",
            "won back",
            "better",
            "worse",
            "s/image",
        )
        counts = [counted(self.images, "image"), counted(len(corrupted), "corrupted condition")]
        counts.append(counted(self.seeds, "seed"))
        title = f"{_METRIC}, {', '.join(counts)}; better and worse count these conditions"
        return Table(title, header, tuple(rows))

    @property
    def table(self) -> Table:
        """A row a condition: the model as it is, then each method's difference with its interval."""
        methods = [name for name in next(iter(self.outcomes.values())) if name != BASELINE]
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (condition, found[BASELINE].ap, *(_shown(found[name]) for name in methods))
            for condition, found in self.outcomes.items()
        )
        return Table(
            f"{_METRIC} of the model as it is, and differences", ("condition", BASELINE, *methods), rows
        )

    @property
    def figures(self) -> tuple[Matrix, Bars]:
        """Differences by condition and method; mean differences."""
        methods = [name for name in next(iter(self.outcomes.values())) if name != BASELINE]
        values = tuple(tuple(found[name].difference for name in methods) for found in self.outcomes.values())
        bars = tuple(Bar(str(row[0]), row[4]) for row in self.summary.rows if row[0] != BASELINE)  # type: ignore[arg-type]
        return (
            Matrix(
                "differences",
                f"difference of {_METRIC} from the model as it is",
                Axis("condition"),
                Axis("method"),
                Axis(f"difference of {_METRIC}"),
                tuple(self.outcomes),
                tuple(methods),
                values,
            ),
            Bars("means", "mean over corrupted conditions", Axis(f"difference of {_METRIC}"), bars),
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "images": self.images,
            "seeds": self.seeds,
            "tables": [self.summary.as_dict(), self.table.as_dict()],
            "figures": [figure.as_dict() for figure in self.figures],
        }


@dataclass(frozen=True, slots=True)
class Runs:
    """The files of a comparison.

    Attributes:
        setting: what is compared.
        out: folder of all files.
        plugins: where adapters, methods and formats come from.
        engine: matches detections.
    """

    setting: Setting
    out: Path
    plugins: Plugins
    engine: Engine

    def __len__(self) -> int:
        setting = self.setting
        return len(setting.conditions) * len(setting.seeds) * (1 + len(setting.methods))

    def open(self, condition: str = CLEAN, seed: int = 0) -> Dataset:
        """The images of a condition; raises ``DatasetError`` as ``open_dataset``."""
        path = _corrupted(self.setting.dataset, condition, seed)
        return open_dataset(path, self.setting.split, formats=installed_formats(self.plugins))

    def run(
        self,
        progress: Callable[[int], None] = lambda _runs: None,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> Comparison:
        """Predict what is missing, and compare.

        Args:
            progress: called with 1 after each run.
            warn: called with each warning of the adapter, once.

        Raises:
            AnydetError: a model, a data set or a method fails; what was done before is kept.
        """
        setting = self.setting
        recipes = {
            BASELINE: setting.recipe,
            **{n: _with(setting.recipe, ttt) for n, ttt in setting.methods.items()},
        }
        found: dict[str, dict[str, list[Outcome]]] = {}
        for warning in self._warnings():
            warn(warning)
        images = 0
        for condition in setting.conditions:
            for seed in setting.seeds:
                base: CocoEvaluator | None = None
                for name, recipe in recipes.items():
                    path, run = self._predicted(condition, seed, name, recipe)
                    images = run["images"]
                    base = base or self._evaluator(path)
                    outcome = self._compared(path, run, base, None if name == BASELINE else name)
                    found.setdefault(condition, {}).setdefault(name, []).append(outcome)
                    progress(1)
        merged = {c: {name: _merged(each) for name, each in methods.items()} for c, methods in found.items()}
        return Comparison(merged, images, len(setting.seeds))

    def _warnings(self) -> tuple[str, ...]:
        """What makes the numbers worth less than they look."""
        with self.setting.recipe.open(self.plugins) as pipeline:
            return check_notes(pipeline.adapter, self.plugins).warnings

    def _predicted(self, condition: str, seed: int, name: str, recipe: Recipe) -> tuple[Path, dict[str, Any]]:
        """The file of a run, and what is known of it."""
        path = self.out / "predictions" / condition.replace(":", "-") / f"{name}-{seed}.json"
        seeded = _seeded(recipe, seed)
        dataset = self.open(condition, seed)
        images = min(len(dataset), self.setting.max_images or len(dataset))
        with seeded.open(self.plugins) as pipeline:
            stated = identity(Recipe.of(pipeline), dataset, images, pipeline.adapter.version)
            digest = _digest(stated, seeded)
            about = path.with_suffix(".run.json")
            known = known_json(about)
            if path.exists() and known.get("identity") == digest:
                return path, known
            path.parent.mkdir(parents=True, exist_ok=True)
            # Of a run that was killed: one with test-time training begins again, and these are short.
            discard(path)
            summary = export_predictions(pipeline, dataset, path, max_images=images, wrap=True)
        run = {
            "identity": digest,
            "images": images,
            "seconds": summary.wall_s / max(1, images),
            "compared": {},
        }
        write_file(about, json.dumps(run))
        return path, run

    def _evaluator(self, path: Path) -> CocoEvaluator:
        parts = read_shards(
            self.open(), path, max_images=self.setting.max_images, scanner=self.engine.scanner
        )
        return prepare_coco(parts, engine=self.engine)

    def _compared(self, path: Path, run: dict[str, Any], base: CocoEvaluator, name: str | None) -> Outcome:
        if name is None:
            return Outcome(float(base.result().metrics[_METRIC] or 0.0), None, None, None, run["seconds"])
        about = path.with_suffix(".run.json")
        baseline = known_json(path.with_name(f"{BASELINE}-{path.stem.rpartition('-')[2]}.run.json"))
        key = f"{baseline.get('identity')}:{self.setting.resamples}"
        if key not in run["compared"]:
            difference = compare(base, self._evaluator(path), resamples=self.setting.resamples).overall[
                _METRIC
            ]
            run["compared"] = {key: difference.as_dict()}
            write_file(about, json.dumps(run))
        row = run["compared"][key]
        return Outcome(row["b"] or 0.0, row["difference"], row["low"], row["high"], run["seconds"])


def _shown(outcome: Outcome) -> str:
    if outcome.difference is None:
        return ""
    ends = "" if outcome.low is None else f" [{outcome.low:+.3f}, {outcome.high:+.3f}]"
    return f"{outcome.difference:+.3f}{ends}"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _merged(outcomes: Sequence[Outcome]) -> Outcome:
    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in outcomes]
        return None if None in values else float(np.mean(values))

    return Outcome(mean("ap") or 0.0, mean("difference"), mean("low"), mean("high"), mean("seconds") or 0.0)


def _digest(stated: Mapping[str, Any], recipe: Recipe) -> str:
    """Of all that decides what a run predicts, the data that the model was trained on too."""
    source = None if recipe.ttt is None or recipe.ttt.source is None else _fingerprint(recipe.ttt)
    known = {**stated, "source": source}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


def _fingerprint(ttt: TTT) -> str:
    assert ttt.source is not None
    return open_dataset(Path(ttt.source), ttt.source_split).fingerprint()


def _with(recipe: Recipe, ttt: TTT) -> Recipe:
    return replace(recipe, ttt=ttt)


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    if recipe.ttt is None:
        return recipe
    return replace(recipe, ttt=replace(recipe.ttt, settings=replace(recipe.ttt.settings, seed=seed)))


def _conditions(corruptions: Sequence[str], severities: Sequence[int]) -> list[str]:
    return [f"{name}:{severity}" for name in choose_names(corruptions) for severity in severities]


def _corrupted(dataset: str, condition: str, seed: int) -> Path:
    if condition == CLEAN:
        return Path(dataset)
    return Path(f"{PREFIX}{Corruption(*_parts(condition), seed)}:{dataset}")


def _parts(condition: str) -> tuple[str, int]:
    name, _, severity = condition.partition(":")
    return name, int(severity)
