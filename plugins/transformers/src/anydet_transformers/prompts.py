"""Zero-shot detectors: texts in place of trained classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoProcessor

from anydet.errors import OptionError, TrainingError
from anydet.text import one_line
from anydet_transformers.inputs import Prepared
from anydet_transformers.predictor import Predictor, sizes_hw
from anydet_transformers.quiet import quiet


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts as a model takes them.

    Attributes:
        processor: the library's, of images and texts.
        prompts: one a class.
        inputs: name -> tensor for one image.
    """

    processor: Any
    prompts: tuple[str, ...]
    inputs: Mapping[str, Tensor]

    def repeated(self, count: int) -> dict[str, Tensor]:
        """The same for a batch of images."""
        return {name: t.repeat(count, *[1] * (t.ndim - 1)) for name, t in self.inputs.items()}


def read_texts(folder: Path, prompts: Sequence[str], *, source: str) -> Texts:
    """Prompts in tokens of the model in a folder.

    Raises:
        OptionError: there are no prompts, or a text cannot be one.
        TrainingError: the folder has no tokenizer.
    """
    if not prompts:
        raise OptionError(
            f"{source}: finds what texts describe, and none are given",
            fix="name things to look for: --option prompts=cat,'traffic light'",
        )
    if dotted := [prompt for prompt in prompts if "." in prompt]:
        raise OptionError(f"option prompts: {dotted[0]!r:.80} has a full stop", fix="leave it out")
    auto: Any = AutoProcessor  # whose methods have no types
    try:
        with quiet():
            processor = auto.from_pretrained(folder, local_files_only=True)
    except Exception as exc:  # whatever files lead the library to
        raise TrainingError(
            f"{source}: its processor cannot be loaded: {one_line(str(exc))}",
            fix="give a folder with the processor's files: processor.save_pretrained(FOLDER)",
        ) from exc
    with quiet():
        made = processor(
            images=torch.zeros(3, 32, 32, dtype=torch.uint8), text=[list(prompts)], return_tensors="pt"
        )
    texts = {name: tensor for name, tensor in made.items() if not name.startswith("pixel")}
    return Texts(processor, tuple(prompts), texts)


@dataclass(frozen=True, eq=False)
class PromptPredictor(Predictor):
    """Boxes of what texts describe; a class is a prompt.

    Attributes:
        texts: of the option ``prompts``.
    """

    texts: Texts | None = None

    def beside(self, batch: list[Prepared]) -> dict[str, Tensor]:
        """The texts, once an image."""
        assert self.texts is not None
        texts = {name: t.to(self.device) for name, t in self.texts.repeated(len(batch)).items()}
        return {**super().beside(batch), **texts}

    def found(self, batch: list[Prepared], outputs: Any) -> list[Mapping[str, Tensor]]:
        """By the library's post-processing; where that gives words, the class is the prompt they are of."""
        assert self.texts is not None
        floor = self.settings.score_floor
        process = self.texts.processor.post_process_grounded_object_detection
        found: list[dict[str, Any]] = process(outputs, threshold=floor, target_sizes=sizes_hw(batch))
        if getattr(outputs, "input_ids", None) is None:
            return list(found)
        labels = self._prompts_of(outputs)
        scores = outputs.logits.sigmoid().amax(-1)
        return [
            {"boxes": one["boxes"], "scores": one["scores"], "labels": labels[image][scores[image] > floor]}
            for image, one in enumerate(found)
        ]

    def _prompts_of(self, outputs: Any) -> Tensor:
        """(B, Q) prompt that has the word with the highest score of each query."""
        assert self.texts is not None
        tokens, tokenizer = outputs.input_ids[0], self.texts.processor.tokenizer
        stop = tokens == tokenizer.convert_tokens_to_ids(".")
        word = ~stop & ~torch.isin(tokens, torch.tensor(tokenizer.all_special_ids, device=tokens.device))
        scores = outputs.logits[..., : len(tokens)].sigmoid().masked_fill(~word, -1)
        prompt = stop.cumsum(0)  # a full stop follows each prompt
        best: Tensor = prompt[scores.argmax(-1)]
        return best
