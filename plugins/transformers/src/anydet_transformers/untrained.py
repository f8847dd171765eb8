"""Models without weights: of an architecture's usual configuration, of a tiny one, or of a file's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

from anydet.errors import AnydetError, OptionError, did_you_mean
from anydet.text import listed, one_line
from anydet_transformers.about import About
from anydet_transformers.catalog import model_types
from anydet_transformers.quiet import quiet

TINY = "tiny:"
"""Before the type of a model: its smallest one, which learns and finds little, in a moment."""
_PROCESSORS = {
    "d_fine": "RTDetrImageProcessor",
    "dab-detr": "ConditionalDetrImageProcessor",
    "rt_detr_v2": "RTDetrImageProcessor",
}
"""Image processors of types that the library's own table lacks; their published models name these."""


def describe(model: str | Mapping[str, Any]) -> About:
    """The model of the option ``model``.

    Args:
        model: a type of the library (``rt_detr``), ``tiny:`` and a type, a file or folder with a
            ``config.json``, or the content of such a file.

    Raises ``OptionError`` where it is none of these.
    """
    if isinstance(model, Mapping):
        return _of_values(model, "model")
    if model.startswith(TINY):
        return _tiny(model.removeprefix(TINY))
    path = Path(model)
    file = path / "config.json" if path.is_dir() else path
    if file.is_file():
        return _of_values(_read(file), str(file))
    if model not in CONFIG_MAPPING or model not in model_types():
        known = sorted(model_types())
        raise OptionError(
            f"option model: no type of detector and no file {model!r:.80}{did_you_mean(model, known)}",
            fix=f"choose one of {listed(known, 40, quotes=False)}, or give a config.json",
        )
    return _of_values({"model_type": model}, model)


@cache
def tiny_values() -> Mapping[str, Mapping[str, Any]]:
    """Type -> the configuration of its smallest model (``config``), and of the images (``image``)."""
    values: dict[str, Mapping[str, Any]] = json.loads(
        files("anydet_transformers").joinpath("tiny.json").read_text("utf-8")
    )
    return values


def _tiny(model_type: str) -> About:
    if model_type not in tiny_values():
        known = list(tiny_values())
        raise OptionError(
            f"option model: no tiny model of type {model_type!r:.80}{did_you_mean(model_type, known)}",
            fix=f"choose one of {listed(known, 40, quotes=False)}",
        )
    values = tiny_values()[model_type]
    return _of_values({"model_type": model_type, **values["config"]}, model_type, values["image"])


def _of_values(values: Mapping[str, Any], source: str, image: Mapping[str, Any] | None = None) -> About:
    model_type = values.get("model_type")
    if model_type not in model_types():
        raise OptionError(
            f"{source}: 'model_type' is {model_type!r:.80}, which is no detector that this adapter runs",
            fix=f"choose one of {listed(sorted(model_types()), 40, quotes=False)}",
        )
    if model_types()[model_type] == "prompts":
        raise OptionError(
            f"{source}: models of type {model_type!r:.80} need the tokenizer that they were trained with",
            fix="give a folder or the id of a model on the hub: --checkpoint OWNER/MODEL",
        )
    try:
        with quiet():
            config = CONFIG_MAPPING[model_type].from_dict(dict(values))
            return About.of(config, _usual_processor(config)(**(image or {})))
    except AnydetError:
        raise
    except Exception as exc:  # whatever values lead the library to
        raise OptionError(
            f"{source}: no configuration of {model_type!r:.80}: {one_line(str(exc))}",
            fix="see the library's documentation of this model",
        ) from exc


def _usual_processor(config: Any) -> Any:
    if type(config) in IMAGE_PROCESSOR_MAPPING:
        found: Any = IMAGE_PROCESSOR_MAPPING[type(config)]
        name = found.get("torchvision") if isinstance(found, Mapping) else found
    else:
        name = _PROCESSORS.get(config.model_type)
    return getattr(transformers, name) if isinstance(name, str) else name


def _read(file: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise OptionError(f"{file}: cannot be read: {one_line(str(exc))}", fix="give a config.json") from exc
    if not isinstance(values, dict):
        raise OptionError(f"{file}: holds no object", fix="give a config.json, as save_pretrained writes it")
    return values
