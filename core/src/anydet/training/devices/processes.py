"""``Processes``: the device, and the other processes of a run that ``torchrun`` started."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object, send_to_device
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from anydet.errors import InterruptedTraining, TrainingError
from anydet.training.config.settings import TrainSettings
from anydet.training.lora.quantized import is_quantized

T = TypeVar("T")


@dataclass(slots=True)
class StopRequest:
    """Whether a signal has arrived that stops the run.

    Attributes:
        signal: its number, or 0.
    """

    signal: int = 0

    @contextmanager
    def listen(self) -> Iterator[StopRequest]:
        """SIGTERM and SIGINT are requests within the block; a second SIGINT ends the run where it is."""
        # Python refuses signal handlers outside the main thread.
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in before:
            signal.signal(number, self._ask)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@dataclass(frozen=True, slots=True, eq=False)
class Processes:
    """This process among those of the run; a run of one process has rank 0 of 1.

    Attributes:
        accelerator: places, wraps and scales.
        stop: whether a signal has requested the end of the run.
    """

    accelerator: Accelerator
    stop: StopRequest = field(default_factory=StopRequest)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = self.accelerator.device
        return torch.device("cpu") if device.type == "cpu" else device  # "cpu:1" is no place on a disk

    @property
    def rank(self) -> int:
        """0 to ``world`` - 1."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process prints and writes."""
        return bool(self.accelerator.is_main_process)

    def wrap(self, module: nn.Module, *, find_unused_parameters: bool) -> nn.Module:
        """A module on the device, in the run's precision, whose gradients are averaged over processes."""
        handler = DistributedDataParallelKwargs(find_unused_parameters=find_unused_parameters)
        self.accelerator.ddp_handler = handler
        # They are the same in all processes from the start, and cannot be sent.
        fixed = [name for name, parameter in module.named_parameters() if is_quantized(parameter)]
        if fixed:
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
                module, fixed
            )
        wrapped: nn.Module = self.accelerator.prepare_model(module)
        return wrapped

    def mean(self, values: Tensor) -> Tensor:
        """(N,) the mean over processes, the same in all of them."""
        return values if self.world == 1 else self.accelerator.reduce(values, reduction="mean")

    def total(self, values: Tensor) -> Tensor:
        """(N,) the sum over processes, the same in all of them."""
        return values if self.world == 1 else self.accelerator.reduce(values, reduction="sum")

    def gather(self, items: list[T]) -> list[T]:
        """The items of all processes, by rank."""
        return items if self.world == 1 else list(gather_object(items))

    def broadcast(self, value: T) -> T:
        """What the main process has."""
        if self.world == 1:
            return value
        values: list[Any] = [value]
        broadcast_object_list(values)
        return values[0]  # type: ignore[no-any-return]

    def to_device(self, batch: Any) -> Any:
        """A batch on the model's device; page-locked memory is copied while the device works."""
        return send_to_device(batch, self.device, non_blocking=self.device.type == "cuda")

    def stop_requested(self) -> bool:
        """Whether a signal reached any of the processes."""
        if self.world == 1:
            return bool(self.stop.signal)
        signals = torch.tensor([self.stop.signal, bool(self.stop.signal)], device=self.device)
        numbers, ranks = self.total(signals).tolist()
        self.stop.signal = numbers // ranks if ranks else 0  # all of them got the same one, or none
        return bool(self.stop.signal)

    def raise_stopped(self, step: int) -> NoReturn:
        """Raise ``InterruptedTraining``; everything is saved."""
        number = self.stop.signal
        raise InterruptedTraining(
            f"stopped by {signal.Signals(number).name} after step {step}; a checkpoint of that step is saved",
            fix="go on with the same command and --resume",
            exit_code=128 + number,
        )


@contextmanager
def open_processes(settings: TrainSettings) -> Iterator[Processes]:
    """The device and the processes of a run, as the settings and ``torchrun`` say.

    Raises ``TrainingError`` where the device or the precision is not to be had.
    """
    device = chosen_device(settings)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # accelerate takes a device from the environment only.
    if device.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    AcceleratorState._reset_state(reset_partial_state=True)  # a run before this one may have been another
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=chosen_precision(settings, device),
        step_scheduler_with_optimizer=False,
    )
    processes = Processes(accelerator)
    try:
        with _determinism(settings.deterministic), processes.stop.listen():
            yield processes
    finally:
        os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
        accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)


def chosen_device(settings: TrainSettings) -> torch.device:
    """The device that is meant; raises ``TrainingError`` where it cannot be had."""
    name = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise TrainingError(
            f"device {name!r} is not a device of torch", fix="use cpu, cuda or cuda:0"
        ) from exc
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            f"device {name!r}: torch {torch.__version__} finds no CUDA device here",
            fix="use --device cpu, or see 'anydet doctor'",
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices", fix="use --device cuda:0"
        )
    if settings.amp == "fp16" and device.type != "cuda":
        raise TrainingError(f"fp16 needs a CUDA device, not {name!r}", fix="use --amp bf16 or --amp none")
    if "LOCAL_RANK" in os.environ and device.index is not None:
        raise TrainingError(
            f"device {name!r}: torchrun gives each process its own device", fix="use --device cuda or cpu"
        )
    return device


def chosen_precision(settings: TrainSettings, device: torch.device) -> str:
    """``amp`` as accelerate calls it: "no", "fp16" or "bf16"."""
    if settings.amp == "auto":
        return "fp16" if device.type == "cuda" else "no"
    return "no" if settings.amp == "none" else settings.amp


def describe_device(device: torch.device) -> str:
    """``cpu, 2 threads`` or the GPU's name with CUDA's version."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda})"
    return f"{device} ({torch.get_num_threads()} threads)"


def memory_mb(device: torch.device) -> float:
    """Most memory used so far: the GPU's, else this process's, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return float("nan")
    import resource

    # macOS gives bytes, Linux kilobytes.
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextmanager
def _determinism(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    # cuBLAS is deterministic with a fixed workspace only, and torch raises without this variable.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
