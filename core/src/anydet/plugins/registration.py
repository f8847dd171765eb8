"""What a spec must be before it is registered: types and forms of all its fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from anydet.errors import PluginError
from anydet.plugins.specs import CAPABILITIES, TTT_SETTINGS, SceneSpec, Spec
from anydet.text import quoted

_VALUE = 80
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_OBJECT = re.compile(r"[\w.]+:\w+")
_FILE = re.compile(r"[\w.]+:[^:\x00]+")


def check_spec(hook: str, spec_type: type[Spec], spec: Any) -> None:
    """Refuse a spec of another type, or with a field that is not what it says.

    Raises:
        PluginError: names the hook, what was registered, the field and its value.
    """
    if not isinstance(spec, spec_type):
        raise _refused(f"{hook} takes {spec_type.__name__}, got {type(spec).__name__}")
    if not _is(spec.name, _NAME):
        raise _refused(
            f"{hook} got the name {quoted(spec.name, _VALUE)}; names are letters, digits and _ . + -, "
            "a letter or digit first"
        )
    for field, (fits, form) in _FORMS.items():
        value = getattr(spec, field, None)
        if hasattr(spec, field) and not fits(value):
            raise _refused(f"{field} of {spec.name!r} is {quoted(value, _VALUE)}; it must be {form}")
    if isinstance(spec, SceneSpec) and not spec.writers:
        raise _refused(f"scenes {spec.name!r} have no writers")
    _check_known(spec, "capabilities", tuple(CAPABILITIES))
    _check_known(spec, "settings", TTT_SETTINGS)


def _refused(problem: str) -> PluginError:
    return PluginError(problem, fix="correct what the plugin registers")


def _check_known(spec: Spec, field: str, known: tuple[str, ...]) -> None:
    unknown = sorted(set(getattr(spec, field, ())) - set(known))
    if unknown:
        raise _refused(
            f"{spec.name!r} declares unknown {field} {', '.join(unknown)} (known: {', '.join(known)})"
        )


def _is(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_words(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(word, str) for word in value)


def _is_schema(value: Any) -> bool:
    return value is None or _is(value, _FILE)


def _is_writers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and _is(path, _OBJECT) for name, path in value.items()
    )


def _is_presets(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(preset, Mapping) and all(isinstance(key, str) for key in preset)
        for name, preset in value.items()
    )


def _of(kind: type) -> Callable[[Any], bool]:
    # bool is an int to Python, and a priority of True is a mistake.
    return lambda value: type(value) is kind


_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "factory": (lambda value: _is(value, _OBJECT), "'package.module:attribute'"),
    "summary": (_of(str), "text"),
    "options_schema": (_is_schema, "'package:file', or None"),
    "training_schema": (_is_schema, "'package:file', or None"),
    "tasks": (_is_words, "a tuple of names"),
    "capabilities": (_is_words, "a tuple of names"),
    "presets": (_is_presets, "a mapping of names to settings"),
    "settings": (_is_words, "a tuple of names"),
    "writers": (_is_writers, "a mapping of formats to 'package.module:function'"),
    "next_step": (_of(str), "text"),
    "takes_objects": (_of(bool), "True or False"),
    "default": (_of(bool), "True or False"),
    "priority": (_of(int), "a whole number"),
}
"""Field of a spec -> whether a value fits, and what fits, in words."""
