"""``resolve``: flags, config file and defaults become the settings of a run, each with its origin.

Flags go before the config file, that before the adapter's defaults, those before the engine's. Of ``epochs``
and ``max_steps`` the one that ends first counts; where only steps are asked for, an ``epochs`` that is
nobody's wish but a default does not count.

Strict contract mode is on where ``run_contract``, ``run_id`` or ``config_version`` is given. The run then has
a fixed folder ``runs_dir/run_id`` with fixed file names, so ``run_dir``, ``checkpoint_out`` and the like are
refused, and ``config_version`` must be one that is known. Unknown keys fail in every mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from anydet.errors import OptionError, did_you_mean
from anydet.plugins.catalogue import accepted
from anydet.plugins.options import is_finite, nearest, typed
from anydet.training.configfile import ConfigFile, open_config
from anydet.training.consistency import check_settings
from anydet.training.keys import ALIASES, canonical, engine_properties, join_schema, own_properties
from anydet.training.settings import TrainSettings

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

FLAG = "flag"
FILE = "config file"
ADAPTER = "adapter default"
ENGINE = "engine default"
NO_LIMIT = "no limit, as max_steps is given"
MADE = "made at the start"
"""Where values come from, as ``Run.origins`` says it."""

MAY_CHANGE = frozenset(
    (
        *("epochs", "max_steps", "val_every", "save_every", "log_every", "log_with", "project"),
        *("early_stop_patience", "early_stop_min_delta", "restore_best"),
        *("num_workers", "prefetch_factor", "pin_memory", "device"),
        *("on_nonfinite", "max_skips", "max_skip_share", "max_grad_norm", "check_inputs"),
        *("dataset", "val_dataset"),
        *("run_id", "runs_dir", "run_dir", "resume", "run_contract", "config_version"),
    )
)
"""Keys that a resumed run may give anew. Data may have moved; what it says must be the same."""


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
    """Whether somebody asked for the value, rather than a default or a rule."""
    return origin in {FLAG, FILE}


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    origin: str
    place: str


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
    schema = join_schema(adapter_schema)
    file = config if config is None or isinstance(config, ConfigFile) else open_config(config, adapter_schema)
    known = schema["properties"]
    layers = {
        FLAG: _checked(_flags(flags), schema, adapter_name),
        FILE: _checked(_file(file), schema, adapter_name),
        "base": _checked(_file(base), schema, adapter_name),
        "defaults": _checked(_defaults(adapter_schema, adapter_name), schema, adapter_name),
    }
    once_flags = {key: given for key, given in layers["base"].items() if given.origin == FLAG}
    asked = {**layers[FILE], **once_flags, **layers[FLAG]}
    if base is not None:
        _check_unchanged(asked, layers["base"], base.name)
    chosen = {**layers["defaults"], **layers["base"], **asked}
    chosen["adapter"] = replace(chosen["adapter"], value=adapter_name)
    chosen["epochs"] = _epochs(chosen["epochs"], chosen["max_steps"])
    _check_whole({key: given.value for key, given in chosen.items()}, schema, adapter_name)
    engine = {key: chosen[key].value for key in engine_properties()}
    resolved = Resolved(
        _settings(engine),
        {key: chosen[key].value for key in own_properties(adapter_schema) if key in chosen},
        {key: chosen[key].origin for key in known if key in chosen},
        any(chosen[k].value and is_given(chosen[k].origin) for k in ("run_contract", "run_id"))
        or chosen["config_version"].value is not None,
    )
    check_settings(resolved.settings, strict=resolved.strict)
    return resolved


def _flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    return _canonical(
        (key, _Given(_plain(value), FLAG, f"--{key.replace('_', '-')}")) for key, value in flags.items()
    )


def _plain(value: Any) -> Any:
    """What Python says in more ways than JSON: paths are text, tuples are lists."""
    if isinstance(value, PathLike):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _file(file: ConfigFile | None) -> dict[str, _Given]:
    if file is None:
        return {}
    return _canonical(
        (key, _Given(value, file.origins.get(key, FILE), file.place(key)))
        for key, value in file.values.items()
    )


def _defaults(adapter_schema: Mapping[str, Any], adapter: str) -> dict[str, _Given]:
    own = adapter_schema.get("properties", {})
    return {
        **{key: _Given(part["default"], ENGINE, key) for key, part in engine_properties().items()},
        **{
            key: _Given(part["default"], ADAPTER, f"default of adapter {adapter}: {key}")
            for key, part in own.items()
            if "default" in part
        },
    }


def _canonical(pairs: Iterable[tuple[str, _Given]]) -> dict[str, _Given]:
    """Keys without aliases; two names of one key must say the same."""
    found: dict[str, _Given] = {}
    for name, written in pairs:
        key, given = canonical(name), written
        if name.replace("-", "_") == "use_amp":
            said = str(given.value).lower()
            if said == "false":
                continue
            given = replace(given, value="fp16" if said == "true" else given.value)
        if key in found and found[key].value != given.value:
            raise OptionError(
                f"{given.place} and {found[key].place} are one key and say different things",
                fix=f"leave only {key}",
            )
        found[key] = given
    return found


def _checked(layer: Mapping[str, _Given], schema: Mapping[str, Any], adapter: str) -> dict[str, _Given]:
    """The same with text turned into what the schema asks for; raises ``OptionError`` at the first fault."""
    validator = Draft202012Validator(schema)
    checked = {}
    for key, given in layer.items():
        if key not in schema["properties"]:
            raise _unknown(key, given, schema["properties"], adapter)
        part = schema["properties"][key]
        inner = validator.evolve(schema=part)
        value = _as_list(typed(given.value, inner), part, inner)
        if not is_finite(value):
            raise OptionError(f"{given.place}: {given.value} is not finite", fix=_see(adapter))
        for error in inner.iter_errors(value):
            raise OptionError(f"{given.place}: {_fault(error, part)}", fix=_see(adapter))
        checked[key] = replace(given, value=value)
    return checked


def _as_list(value: Any, part: Mapping[str, Any], validator: Validator) -> Any:
    """Text of a key that takes a list or text (``1000,2000``) as that list."""
    kinds = part.get("anyOf", ())
    if not isinstance(value, str) or [kind.get("type") for kind in kinds] != ["array", "string"]:
        return value
    found = typed(value, validator.evolve(schema=kinds[0])) if value.strip() else []
    return found.split(",") if isinstance(found, str) else found  # words that are no items: a fault


def _check_whole(values: Mapping[str, Any], schema: Mapping[str, Any], adapter: str) -> None:
    """What an adapter's schema says of several keys together."""
    for error in Draft202012Validator(schema).iter_errors(values):
        where = ".".join(map(str, error.absolute_path))
        raise OptionError(
            f"training keys of {adapter}: {where + ': ' if where else ''}{error.message}", fix=_see(adapter)
        )


def _fault(error: ValidationError, part: Mapping[str, Any]) -> str:
    """What is wrong with a value, where in it, and what the key takes."""
    where = "".join(f".{step}" for step in error.absolute_path).lstrip(".")
    wrong = f"{error.instance!r} is none of what it takes" if error.context else error.message
    return f"{where + ': ' if where else ''}{wrong}{nearest(error)} (takes {accepted(part)})"


def _unknown(key: str, given: _Given, known: Mapping[str, Any], adapter: str) -> OptionError:
    names = [*known, *ALIASES]
    error = OptionError(
        f"{given.place}: neither the engine nor adapter {adapter!r} knows it{did_you_mean(key, names)}",
        fix=_see(adapter),
    )
    if given.origin == FLAG:
        error.exit_code = 2  # a flag that is none is wrong usage
    return error


def _see(adapter: str) -> str:
    return f"see 'anydet train --help', and 'anydet adapters show {adapter}' for the adapter's own keys"


def _check_unchanged(asked: Mapping[str, _Given], stored: Mapping[str, _Given], name: str) -> None:
    """Raises ``OptionError`` listing what a resumed run must not change."""
    changed = list(_changes(asked, stored))
    if changed:
        raise OptionError(
            f"a run that goes on keeps its settings; {name} has {'; '.join(changed)}",
            fix="leave them out, or begin a new run with another --run-id",
        )


def _changes(asked: Mapping[str, _Given], stored: Mapping[str, _Given]) -> Iterator[str]:
    for key, given in asked.items():
        if key in stored and key not in MAY_CHANGE and given.value != stored[key].value:
            yield f"{key} {stored[key].value!r}, not {given.value!r} ({given.place})"


def _epochs(epochs: _Given, max_steps: _Given) -> _Given:
    """No limit of epochs where only steps were asked for."""
    if max_steps.value is not None and is_given(max_steps.origin) and not is_given(epochs.origin):
        return replace(epochs, value=None, origin=NO_LIMIT)
    return epochs


def _settings(values: Mapping[str, Any]) -> TrainSettings:
    try:
        return msgspec.convert(values, TrainSettings)
    except msgspec.ValidationError as exc:  # 4.0 is an integer to JSON Schema
        raise OptionError(f"training keys: {exc}", fix="write whole numbers without a point") from exc
