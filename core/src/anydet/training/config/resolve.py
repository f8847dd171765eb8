"""``resolve``: flags, config file and defaults become the settings of a run, each with its origin.

Flags go before the config file, that before the adapter's defaults, those before the engine's. A flag with
points, as ``--model.backbone.name``, changes one entry of a key that is a table. Of ``epochs``
and ``max_steps`` the one that ends first counts; where only ``max_steps`` is set, an ``epochs`` that is
only a default does not count.

Strict contract mode is on where ``run_contract``, ``run_id`` or ``config_version`` is given. The run then has
a fixed folder ``runs_dir/run_id`` with fixed file names, so ``run_dir``, ``checkpoint_out`` and the like are
refused, and ``config_version`` must be one that is known. Unknown keys fail in every mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from anydet.errors import OptionError
from anydet.plugins.options import from_text
from anydet.text import quoted
from anydet.training.config.config_file import ConfigFile, open_config
from anydet.training.config.consistency import check_settings
from anydet.training.config.keys import canonical, engine_properties, join_schema, own_properties
from anydet.training.config.settings import TrainSettings
from anydet.training.config.values import FLAG, Given, check_values, check_whole

FILE = "config file"
ADAPTER = "adapter default"
ENGINE = "engine default"
NO_LIMIT = "no limit, as max_steps is given"
MADE = "made at the start"
"""Where values come from, as in ``Run.origins``."""

MAY_CHANGE = frozenset(
    (
        *(
            "epochs",
            "max_steps",
            "max_minutes",
            "val_every",
            "save_every",
            "log_every",
            "log_with",
            "project",
        ),
        *("early_stop_patience", "early_stop_min_delta", "restore_best", "merge_lora"),
        *("num_workers", "prefetch_factor", "pin_memory", "device"),
        *("on_nonfinite", "max_skips", "max_skip_share", "max_grad_norm", "check_inputs"),
        *("dataset", "val_dataset"),
        *("run_id", "runs_dir", "run_dir", "resume", "run_contract", "config_version", "parity_policy"),
    )
)
"""Keys that a resumed run may give anew. Data may have moved; its content must be the same."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a run is made with.

    Attributes:
        settings: the engine's keys.
        options: the adapter's own training keys.
        origins: key -> ``FLAG``, ``FILE``, ``ADAPTER``, ``ENGINE``, ``NO_LIMIT`` or ``MADE``.
        strict: whether strict contract mode is on.
    """

    settings: TrainSettings
    options: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    strict: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """All keys as plain data; ``resume`` is a wish of one start and no part of it."""
        return {**msgspec.to_builtins(self.settings), "resume": False, **self.options}


def is_given(origin: str) -> bool:
    """Whether the value is the user's, rather than a default or a rule."""
    return origin in {FLAG, FILE}


def resolve(
    flags: Mapping[str, Any],
    config: ConfigFile | Path | str | None,
    adapter_schema: Mapping[str, Any],
    *,
    adapter_name: str,
    base: ConfigFile | None = None,
) -> Resolved:
    """Settings of a run, every key checked.

    Args:
        flags: key -> value, text or typed; only what was given.
        config: config file, its path, or its name within the adapter's package.
        adapter_schema: JSON Schema of the adapter's training keys. A key of the engine may stand there with
            a ``default`` only.
        adapter_name: registered name.
        base: the resolved config of a run that is to go on. What was a flag then goes before ``config``.

    Raises:
        OptionError: a key is unknown, has a wrong value, contradicts another one, or must not change.
    """
    check = partial(check_values, schema=join_schema(adapter_schema), adapter=adapter_name)
    file = config if config is None or isinstance(config, ConfigFile) else open_config(config, adapter_schema)
    written, stored = check(_file(file)), check(_file(base))
    whole = check({key: given for key, given in _flags(flags).items() if "." not in key})
    entries = {key: given for key, given in _flags(flags).items() if "." in key}
    defaults = check(_defaults(adapter_schema, adapter_name))
    tables = {**defaults, **stored, **written, **whole}
    typed = {**whole, **check(_change_entries(entries, tables, join_schema(adapter_schema)))}
    typed_then = {key: given for key, given in stored.items() if given.origin == FLAG}
    requested = {**written, **typed_then, **typed}
    if base is not None:
        _check_unchanged(requested, stored, base.name)
    chosen = {**defaults, **stored, **requested}
    chosen["adapter"] = replace(chosen["adapter"], value=adapter_name)
    chosen["epochs"] = _epochs(chosen["epochs"], chosen["max_steps"])
    resolved = _resolved(chosen, adapter_schema)
    check_settings(resolved.settings, strict=resolved.strict)
    return resolved


def _resolved(chosen: Mapping[str, Given], adapter_schema: Mapping[str, Any]) -> Resolved:
    schema = join_schema(adapter_schema)
    values = {key: given.value for key, given in chosen.items()}
    check_whole(values, schema, values["adapter"])
    strict = any(values[key] and is_given(chosen[key].origin) for key in ("run_contract", "run_id"))
    return Resolved(
        _settings({key: values[key] for key in engine_properties()}),
        {key: values[key] for key in own_properties(adapter_schema) if key in values},
        {key: chosen[key].origin for key in schema["properties"] if key in chosen},
        strict or values["config_version"] is not None,
    )


def _flags(flags: Mapping[str, Any]) -> dict[str, Given]:
    return _canonical(
        (key, Given(_plain(value), FLAG, f"--{key.replace('_', '-')}")) for key, value in flags.items()
    )


def _change_entries(
    flags: Mapping[str, Given], tables: Mapping[str, Given], schema: Mapping[str, Any]
) -> dict[str, Given]:
    """Tables with the entries that flags with points state; other flags as they are.

    Args:
        flags: from the command line.
        tables: checked values from flags and files, by key.
        schema: of all keys.
    """
    found: dict[str, Given] = {}
    for flag, given in flags.items():
        key, *way = flag.split(".")
        if not all(way) or schema["properties"].get(key, {}).get("type") != "object":
            found[flag] = given  # a flag without points, or one that is unknown and will be said to be
            continue
        table = deepcopy(found.get(key, tables.get(key, Given({}, FLAG, ""))).value)
        inner = table
        for part in way[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise OptionError(
                    f"{given.place}: {key} has no table {part!r}, but {quoted(inner)}", fix="leave one out"
                )
        inner[way[-1]] = from_text(given.value) if isinstance(given.value, str) else given.value
        found[key] = replace(given, value=table)
    return found


def _plain(value: Any) -> Any:
    """Plain JSON types: paths become text, tuples become lists."""
    if isinstance(value, PathLike):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _file(file: ConfigFile | None) -> dict[str, Given]:
    if file is None:
        return {}
    return _canonical(
        (key, Given(value, file.origins.get(key, FILE), file.place(key)))
        for key, value in file.values.items()
    )


def _defaults(adapter_schema: Mapping[str, Any], adapter: str) -> dict[str, Given]:
    own = adapter_schema.get("properties", {})
    return {
        **{key: Given(part["default"], ENGINE, key) for key, part in engine_properties().items()},
        **{
            key: Given(part["default"], ADAPTER, f"default of adapter {adapter}: {key}")
            for key, part in own.items()
            if "default" in part
        },
    }


def _canonical(pairs: Iterable[tuple[str, Given]]) -> dict[str, Given]:
    """Keys without aliases; two names of one key must have the same value."""
    found: dict[str, Given] = {}
    for name, written in pairs:
        key, given = canonical(name), written
        if name.replace("-", "_") == "use_amp":
            text = str(given.value).lower()
            if text == "false":
                continue
            given = replace(given, value="fp16" if text == "true" else given.value)
        if key in found and found[key].value != given.value:
            raise OptionError(
                f"{given.place} and {found[key].place} set the same key to different values",
                fix=f"leave only {key}",
            )
        found[key] = given
    return found


def _check_unchanged(requested: Mapping[str, Given], stored: Mapping[str, Given], name: str) -> None:
    """Raises ``OptionError`` listing what a resumed run must not change."""
    changed = list(_changes(requested, stored))
    if changed:
        raise OptionError(
            f"a resumed run keeps its settings; {name} has {'; '.join(changed)}",
            fix="leave them out, or begin a new run with another --run-id",
        )


def _changes(requested: Mapping[str, Given], stored: Mapping[str, Given]) -> Iterator[str]:
    for key, given in requested.items():
        if key in stored and key not in MAY_CHANGE and given.value != stored[key].value:
            yield f"{key} {stored[key].value!r}, not {given.value!r} ({given.place})"


def _epochs(epochs: Given, max_steps: Given) -> Given:
    """No limit of epochs where only steps were given."""
    if max_steps.value is not None and is_given(max_steps.origin) and not is_given(epochs.origin):
        return replace(epochs, value=None, origin=NO_LIMIT)
    return epochs


def _settings(values: Mapping[str, Any]) -> TrainSettings:
    try:
        return msgspec.convert(values, TrainSettings)
    except msgspec.ValidationError as exc:  # 4.0 is an integer to JSON Schema
        raise OptionError(f"training keys: {exc}", fix="write whole numbers without a point") from exc
