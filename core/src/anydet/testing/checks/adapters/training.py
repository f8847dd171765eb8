"""Training: what it saves is what predicts."""

from __future__ import annotations

from pathlib import Path

from anydet.errors import AnydetError
from anydet.plugins.adapter import TrainResult
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.comparison import first_difference
from anydet.testing.kit import NotApplicable


def predict_loads_what_train_saved(subject: AdapterSubject) -> None:
    """``AdapterSettings.checkpoint`` takes what ``train`` saved, whatever the seed, and refuses noise."""
    subject.require("train")
    if subject.train is None:
        raise NotApplicable(
            "no tiny training run was given; override the fixture 'train' of AdapterConformance"
        )
    with subject.adapter() as adapter:
        result = subject.train(adapter, subject.folder)
    assert isinstance(result, TrainResult), f"train gave {type(result).__name__}; give a TrainResult"
    assert Path(result.checkpoint).exists(), f"{result.checkpoint} does not exist; save it, then name it"
    seed = subject.settings.seed
    first, second = (
        subject.predict(subject.records(), checkpoint=result.checkpoint, seed=s) for s in (seed, seed + 1)
    )
    difference = first_difference(first, second, subject.tolerance, floor=subject.settings.score_floor)
    assert not difference, f"two adapters of one checkpoint: {difference}; load all weights from it"
    _assert_noise_is_refused(subject, subject.folder / f"noise{Path(result.checkpoint).suffix}")


def _assert_noise_is_refused(subject: AdapterSubject, noise: Path) -> None:
    """An adapter that takes any file as its weights does not load them."""
    noise.write_bytes(b"these are no weights")
    try:
        subject.predict(subject.records(), checkpoint=str(noise))
    except AnydetError:
        return
    raise AssertionError(f"{noise.name} holds no weights and was taken; load settings.checkpoint")


CHECKS = (predict_loads_what_train_saved,)
