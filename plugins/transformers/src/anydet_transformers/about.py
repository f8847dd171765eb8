"""``About``: a model without its weights, as plain data: what its checkpoints say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoImageProcessor, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from anydet.errors import TrainingError
from anydet.text import one_line
from anydet.training.checkpoints.description import broken_description, read_description
from anydet_transformers.catalog import Kind, model_class
from anydet_transformers.quiet import quiet

NAME = "transformers"


@dataclass(frozen=True, slots=True)
class About:
    """A model without its weights.

    Attributes:
        config: content of ``config.json``.
        processor: content of ``preprocessor_config.json``, with the name of the image processor's class.
    """

    config: Mapping[str, Any]
    processor: Mapping[str, Any]

    @classmethod
    def of(cls, config: PreTrainedConfig, processor: Any) -> About:
        """Of objects of the library."""
        return cls(json.loads(config.to_json_string(use_diff=False)), json.loads(processor.to_json_string()))

    @classmethod
    def from_description(cls, description: Any, *, source: str) -> About:
        """What ``description`` gave; raises ``TrainingError`` where it is something else."""
        about = read_description(description, cls, source=source, adapter=NAME)
        try:
            model_class(about.library_config(), source=source)
            about.image_processor()
        except TrainingError as exc:
            raise broken_description(exc.problem, source=source, adapter=NAME) from exc
        except Exception as exc:  # whatever values of a file lead the library to
            raise broken_description(one_line(str(exc)), source=source, adapter=NAME) from exc
        return about

    def description(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return {"config": dict(self.config), "processor": dict(self.processor)}

    def library_config(self) -> PreTrainedConfig:
        """The configuration as an object of the library; a new one each time."""
        config: PreTrainedConfig = CONFIG_MAPPING[self.config["model_type"]].from_dict(dict(self.config))
        return config

    def image_processor(self) -> Any:
        """The library's image processor."""
        return _image_processor(json.dumps(self.processor, sort_keys=True))

    @property
    def kind(self) -> Kind:
        """How the model is run."""
        return model_class(self.library_config(), source=NAME)[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the rows; those that have none, or another's (``N/A`` of COCO's gaps), are numbered."""
        labels = {int(key): str(name) for key, name in (self.config.get("id2label") or {}).items()}
        names: list[str] = []
        for row in range(max(labels, default=-1) + 1):
            name = labels.get(row, "class")
            names.append(name if name in labels.values() and name not in names else f"{name} {row}")
        return tuple(names)

    def with_classes(self, names: Sequence[str]) -> About:
        """The same model for other classes."""
        labels = {str(row): name for row, name in enumerate(names)}
        ids = {name: row for row, name in enumerate(names)}
        kept = {key: value for key, value in self.config.items() if key != "num_labels"}
        return replace(self, config={**kept, "id2label": labels, "label2id": ids})

    def with_image_size(self, size: int | Sequence[int] | None) -> About:
        """The same model for inputs of another size.

        Args:
            size: side in pixels, or width and height; of a model whose inputs keep the aspect ratio, the
                shortest and longest side. ``None`` changes nothing.
        """
        if size is None:
            return self
        first, second = (size, size) if isinstance(size, int) else size
        own = self.processor.get("size") or {}
        if "shortest_edge" in own:
            changed = {"shortest_edge": min(first, second), "longest_edge": max(first, second)}
        else:
            changed = {"height": second, "width": first}
        return replace(self, processor={**self.processor, "size": changed})


@lru_cache(maxsize=8)
def _image_processor(text: str) -> Any:
    # The library chooses the class by the file's content, as of any folder.
    auto: Any = AutoImageProcessor  # whose methods have no types
    with TemporaryDirectory() as folder, quiet():
        (Path(folder) / "preprocessor_config.json").write_text(text, "utf-8")
        return auto.from_pretrained(folder, local_files_only=True)
