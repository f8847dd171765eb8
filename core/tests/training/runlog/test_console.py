from __future__ import annotations

import io
import json
import time

import pytest

pytest.importorskip("torch")

from rich.console import Console

from anydet.training.runlog.console import TrainingDisplay


def display_of(*, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    return TrainingDisplay(console), console.file


def line(step, epoch, **more):
    return {
        "step": step,
        "epoch": epoch,
        "train_loss": 1 / step,
        "train_loss_box": 0.25,
        "learning_rate": 1e-4,
        "grad_norm": 3.0,
        "images_per_s": 45.67,
        "data_s": 0.002,
        "step_s": 0.1,
        "memory_mb": 1234.5,
        **more,
    }


NUMBERS = "box 0.25  lr 0.0001  45.7 images/s  data 2 ms  step 100 ms  1234 MB"


def run(display, *, validated):
    display.start(4)
    for step in range(1, 5):
        epoch = (step - 1) // 2
        display.step(line(step, epoch))
        if step % 2 == 0 and validated:
            display.validation(
                {
                    "step": step,
                    "epoch": epoch,
                    "avg_train_loss": 0.5,
                    "avg_val_loss": 1 / step,
                    "val_loss_box": 9.0,
                    "AP": 0.5 / step,
                    "learning_rate": 1e-4,
                }
            )
    display.close()


def test_without_a_terminal_there_is_one_line_an_epoch():
    display, file = display_of(terminal=False)
    run(display, validated=False)
    assert file.getvalue().splitlines() == [
        f"epoch 0  step 2  loss 0.5  {NUMBERS}",
        f"epoch 1  step 4  loss 0.25  {NUMBERS}",
    ]


def test_a_validation_is_the_line_of_its_epoch_and_shows_the_best_where_it_is_not_the_last():
    display, file = display_of(terminal=False)
    run(display, validated=True)
    assert file.getvalue().splitlines() == [
        "epoch 0  step 2  train_loss 0.5  avg_val_loss 0.5  AP 0.25",
        "epoch 1  step 4  train_loss 0.5  avg_val_loss 0.25  AP 0.125 (best 0.25)",
    ]


def test_on_a_terminal_there_is_a_bar_with_the_numbers_of_the_last_step():
    display, file = display_of(terminal=True)
    run(display, validated=True)
    last = file.getvalue().rsplit("\x1b[", maxsplit=1)[0]
    assert "4/4" in last
    assert f"epoch 1  loss 0.25  {NUMBERS}" in last
    assert "epoch 1  step 4  train_loss 0.5" in file.getvalue()


def test_a_resumed_run_starts_where_it_was():
    display, file = display_of(terminal=True)
    display.start(1000, 900)
    display.close()
    assert "900/1000" in file.getvalue()


def test_messages_stay_as_they_are_written():
    display, file = display_of(terminal=False)
    display.message("step 3 skipped: loss is nan (images [a].png)")
    assert file.getvalue() == "step 3 skipped: loss is nan (images [a].png)\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_costs_little_beside_writing_its_line(terminal):
    display, _ = display_of(terminal=terminal)
    display.start(2000)
    # CPU time beside CPU time of the same process: how fast or busy the machine is does not matter
    start = time.process_time()
    for step in range(1, 2001):
        json.dumps(line(step, 0))
    written = time.process_time()
    for step in range(1, 2001):
        display.step(line(step, 0))
    shown = time.process_time()
    display.close()
    assert shown - written < 50 * (written - start)
