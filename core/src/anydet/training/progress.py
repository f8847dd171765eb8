"""``Progress``: how far a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """How far a run is; ``--resume`` goes on from there.

    Attributes:
        epoch: epochs that are complete, validation included.
        batch: batches of the current epoch that are done, in each process.
        step: optimizer steps taken.
        skipped: steps skipped.
        overflows: steps that fp16 could not take.
        skipped_in_row: since the last step that was taken.
        epoch_steps: taken in the current epoch, or in the last one where none has begun since.
        epoch_skipped: skipped there.
        epoch_still: taken there with a gradient of 0.
        loss_sum: over its steps.
        validated_step: step of the last validation, -1 before the first.
        stopped_early: whether patience ran out.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    skipped: int = 0
    overflows: int = 0
    skipped_in_row: int = 0
    epoch_steps: int = 0
    epoch_skipped: int = 0
    epoch_still: int = 0
    loss_sum: float = 0.0
    validated_step: int = -1
    stopped_early: bool = False
