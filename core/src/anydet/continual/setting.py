"""``Setting``: which tasks are learned one after the other, and by which methods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.errors import OptionError, UnsupportedError, did_you_mean
from anydet.plugins.manager import Plugins
from anydet.plugins.options import check_options, load_schema
from anydet.text import quoted
from anydet.training.config.config_file import open_setting, settings_of
from anydet.training.config.keys import canonical
from anydet.training.config.resolve import resolve

if TYPE_CHECKING:
    from importlib.abc import Traversable

    from typing_extensions import Self

SCHEMA = "anydet.continual:setting.schema.json"
PACKAGED = "anydet.continual:settings"
PREVIOUS = "{previous}"
"""Stands for the checkpoint of the task before, in values of keys below ``later``."""
_PLACEHOLDER = re.compile(r"\{[A-Za-z_]*\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HELP = "see 'anydet continual --help'"
_NO_ADAPTER = "add --adapter NAME, or adapter: to the setting; see 'anydet adapters list'"
_OF_THE_SETTING = {
    **dict.fromkeys(
        ("adapter", "dataset", "split", "val_dataset", "val_split", "max_images"), "of the setting"
    ),
    **dict.fromkeys(("checkpoint", "device"), "of the setting"),
    "seed": "'seeds' of the setting",
    **dict.fromkeys(("run_id", "runs_dir", "run_dir", "resume", "run_contract", "config_version"), "--out"),
    **dict.fromkeys(("checkpoint_out", "metrics_jsonl", "metrics_csv", "parity_policy"), "--out"),
}
"""Training keys that no method sets, and what does."""


@dataclass(frozen=True, slots=True)
class Method:
    """How tasks are learned.

    Attributes:
        name: of rows and folders.
        keys: training keys of all tasks, beside those of the setting.
        later: further keys from the second task on; ``{previous}`` in a value is the checkpoint before.
        replay: images of earlier tasks that are kept in all, and trained on again.
        replay_repeat: how often each of them is seen in an epoch.
        joint: all tasks are learned at once, which is the ceiling.
    """

    name: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    later: Mapping[str, Any] = field(default_factory=dict)
    replay: int = 0
    replay_repeat: int = 1
    joint: bool = False

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> Self:
        """A method of ``{replay, replay_repeat, joint, later, ...training keys}``; raises ``OptionError``."""
        keys = {canonical(key): value for key, value in given.items()}
        ours = ("later", "replay", "replay_repeat", "joint")
        own: dict[str, Any] = {key: keys.pop(key) for key in ours if key in keys}
        later = own.pop("later", None) or {}
        if not isinstance(later, dict):
            raise OptionError("later: expected training keys", fix="write later: {key: value}")
        for key, least in (("replay", 0), ("replay_repeat", 1)):
            value = own.get(key, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise OptionError(f"{key}: {value!r} is not a whole number from {least} on", fix=_HELP)
        if not isinstance(own.get("joint", False), bool):
            raise OptionError(f"joint: {own['joint']!r} is neither true nor false", fix=_HELP)
        if "replay_repeat" in own and not own.get("replay"):
            raise OptionError(
                "replay_repeat is a setting of replay, which is off", fix="add replay: N, or leave it out"
            )
        method = cls(name, keys, {canonical(key): value for key, value in later.items()}, **own)
        if method.joint and (method.later or method.replay):
            raise OptionError("joint training has no earlier task", fix="leave out later and replay")
        if PREVIOUS in _placeholders(list(keys.values())):
            raise OptionError(
                f"{PREVIOUS} stands for the checkpoint of the task before, which the first one does not have",
                fix="write the key below later:, which is for all tasks but the first",
            )
        for named in _placeholders([keys, method.later]):
            if named != PREVIOUS:
                raise OptionError(
                    f"{named} stands for nothing{did_you_mean(named, [PREVIOUS])}",
                    fix=f"{PREVIOUS}, below later:, is the checkpoint of the task before",
                )
        return method

    def keys_of(self, task: int, previous: Path | None) -> dict[str, Any]:
        """Training keys of a task.

        Args:
            task: its number, from 0 on.
            previous: checkpoint of the task before; ``None`` leaves ``{previous}`` as it is.
        """
        keys = {**self.keys, **(self.later if task else {})}
        if previous is None:
            return keys
        return {key: _filled(value, str(previous)) for key, value in keys.items()}


@dataclass(frozen=True, slots=True)
class TaskSource:
    """Where the images of a task are.

    Attributes:
        name: of the task.
        dataset: path of the training images; corruptions are in it.
        split: of them.
        val_dataset: path of the images to evaluate on, or ``None`` for the same data set.
        val_split: of these.
        classes: names of those that are labeled in this task, or ``None`` for all.
    """

    name: str
    dataset: str
    split: str | None
    val_dataset: str | None
    val_split: str | None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What is learned, in which order and how.

    Attributes:
        adapter: registered name.
        config: config file of training keys, or ``None``.
        checkpoint: weights that the first task begins with, or ``None`` for those of the adapter.
        device: of trainings and predictions.
        tasks: in order; with ``class_groups`` the one whose classes are divided.
        class_groups: sizes of groups of classes, in the order of the data set; () where tasks are named.
        training: training keys of all methods.
        methods: in the order of the tables; the first one that is not joint is what others are compared with.
        max_images: training images of each data set, at most, or ``None``.
        val_images: images to evaluate on, at most, or ``None``.
        seeds: of trainings.
        resamples: of the bootstrap.
    """

    adapter: str
    config: str | None
    checkpoint: str | None
    device: str
    tasks: tuple[TaskSource, ...]
    class_groups: tuple[int, ...]
    training: Mapping[str, Any]
    methods: tuple[Method, ...]
    max_images: int | None
    val_images: int | None
    seeds: tuple[int, ...]
    resamples: int

    @classmethod
    def read(
        cls,
        setting: Path | str,
        plugins: Plugins,
        given: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
    ) -> Self:
        """The setting of a file, or of one that anydet brings.

        Args:
            setting: YAML or JSON file, or name of a packaged setting.
            plugins: where adapters come from; all training keys are checked against theirs.
            given: keys that go before those of the file.
            training: training keys that go before those of the file.

        Raises:
            OptionError: a key is unknown or has a wrong value; names it, and what was probably meant.
            PluginError, UnsupportedError: there is no such adapter, or it cannot be trained.
        """
        file = open_setting(setting, PACKAGED, "setting")
        stated = {**file.values, **(given or {})}
        if stated.get("adapter") is None:
            raise OptionError(f"{file.name} names no adapter, and none is given", fix=_NO_ADAPTER)
        try:
            values = check_options(stated, load_schema(SCHEMA), owner=file.name)
        except OptionError as exc:
            # Without its own hint: a file is no adapter that can be shown.
            raise OptionError(exc.problem, fix=_HELP) from exc
        read = cls(
            values["adapter"],
            values["config"],
            values["checkpoint"],
            values["device"],
            _tasks(values, file.name),
            tuple(values["class_groups"]),
            {canonical(key): value for key, value in {**values["training"], **(training or {})}.items()},
            tuple(_method(name, keys or {}) for name, keys in values["methods"].items()),
            values["max_images"],
            values["val_images"],
            tuple(dict.fromkeys(values["seeds"])),
            values["resamples"],
        )
        read._check(file.name, plugins)
        return read

    @property
    def baseline(self) -> Method | None:
        """What other methods are compared with."""
        return next((method for method in self.methods if not method.joint), None)

    def _check(self, name: str, plugins: Plugins) -> None:
        """Look at all training keys before the first training."""
        if not self.methods:
            raise OptionError(f"{name}: there is no method", fix="add methods: {none: {}}")
        spec = plugins.spec("adapters", self.adapter)
        if "train" not in spec.capabilities:
            others = [n for n, s in plugins.specs("adapters").items() if "train" in s.capabilities]
            raise UnsupportedError(self.adapter, "training", others=others)
        schema = load_schema(spec.training_schema)
        for method in self.methods:
            for task in range(2):
                keys = {**self.training, **method.keys_of(task, Path(PREVIOUS))}
                _refuse_set(keys)
                flags = {**keys, **dict.fromkeys(("run_contract", "resume"), False), "config_version": None}
                with _of_method(method.name):
                    resolve({**flags, "run_dir": "."}, self.config, schema, adapter_name=self.adapter)


@contextmanager
def _of_method(name: str) -> Iterator[None]:
    """Around the reading of a method: what is wrong names it."""
    try:
        yield
    except OptionError as exc:
        raise OptionError(f"method {quoted(name)}: {as_keys(exc.problem)}", fix=as_keys(exc.fix)) from exc


def as_keys(text: str) -> str:
    """What is said of flags of a training, of keys: ``--clip-grad-norm`` is ``clip_grad_norm``."""
    return re.sub(r"(?<![\w-])--(?!help\b)([a-z][a-z0-9-]*)", lambda found: found[1].replace("-", "_"), text)


def packaged_settings() -> dict[str, Traversable]:
    """Name -> file of the settings that anydet brings."""
    return settings_of(PACKAGED)


def _method(name: str, keys: Mapping[str, Any]) -> Method:
    _require_name("method", name)
    with _of_method(name):
        return Method.read(name, keys)


def _tasks(values: Mapping[str, Any], file: str) -> tuple[TaskSource, ...]:
    if values["tasks"] and values["class_groups"]:
        raise OptionError(
            f"{file}: has both tasks and class_groups, and each says alone what the tasks are",
            fix="leave class_groups out, and give tasks their classes: {first: {classes: [car, person]}}; or "
            "leave tasks out",
        )
    if not values["tasks"] and not values["class_groups"]:
        raise OptionError(
            f"{file}: has neither tasks nor class_groups",
            fix="write tasks: {first: {dataset: DIR}, second: {dataset: DIR}}, or class_groups: [40, 40]",
        )
    named = values["tasks"] or {"all": {}}
    return tuple(_task(name, keys or {}, values, file) for name, keys in named.items())


def _task(name: str, keys: Mapping[str, Any], values: Mapping[str, Any], file: str) -> TaskSource:
    _require_name("task", name)
    dataset = keys.get("dataset", values["dataset"])
    if dataset is None:
        raise OptionError(
            f"{file}: task {quoted(name)} has no data set",
            fix="add --dataset DIR, or dataset: to the setting",
        )
    corruption = keys.get("corruption")
    before = "" if corruption is None else f"corruption:{corruption}:"
    held_out = keys.get("val_dataset", None if "dataset" in keys else values["val_dataset"])
    return TaskSource(
        name,
        f"{before}{dataset}",
        keys.get("split", values["split"]),
        None if held_out is None else f"{before}{held_out}",
        keys.get("val_split", values["val_split"]),
        tuple(keys["classes"]) if "classes" in keys else None,
    )


def _require_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"{kind} {name!r}: names are up to 64 letters, digits and _ . -, a letter or digit first",
            fix="give it such a name",
        )


def _refuse_set(keys: Mapping[str, Any]) -> None:
    for key in keys:
        if key in _OF_THE_SETTING:
            where = _OF_THE_SETTING[key]
            name = f"the key {quoted(key)} {where}" if where == "of the setting" else where
            raise OptionError(
                f"training key {quoted(key)} is not one of methods: {name} sets it", fix="leave it out"
            )


def _placeholders(value: object) -> list[str]:
    """What looks like ``{previous}`` in text, wherever it is within lists and mappings."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [found for one in inner for found in _placeholders(one)]
    return _PLACEHOLDER.findall(value) if isinstance(value, str) else []


def _filled(value: Any, previous: str) -> Any:
    """The value with the checkpoint before in place of ``{previous}``, within lists and mappings, too."""
    if isinstance(value, dict):
        return {key: _filled(one, previous) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, previous) for one in value]
    return value.replace(PREVIOUS, previous) if isinstance(value, str) else value
