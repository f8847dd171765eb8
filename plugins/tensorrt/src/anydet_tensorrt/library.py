"""The libraries that build and run engines, TensorRT 10 and 11 and TensorRT-RTX, under one interface."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anydet_tensorrt.errors import LibraryError

if TYPE_CHECKING:
    import tensorrt as trt

MODULES: Mapping[str, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Name of a library -> its module."""
_PLACES = re.compile(
    r"^\w+::\w+: |\[[\w.]+::?[\w: ]*?\d+(: \w+)?\] ?|Error Code \d+: |\(?\.? ?In \S+ at /\S+:\d+\)?"
)
"""Functions, files and lines in messages."""
_EXTRAS = {"tensorrt": "cu13", "tensorrt-rtx": "rtx"}


class Library:
    """TensorRT or TensorRT-RTX: what both have is here under its own name, with the types of TensorRT 10.

    Args:
        name: key of ``MODULES``.
        module: its module.

    Attributes:
        name: key of ``MODULES``.
        version: of the package.
    """

    Builder: type[trt.Builder]
    BuilderFlag: type[trt.BuilderFlag]
    MemoryPoolType: type[trt.MemoryPoolType]
    NetworkDefinitionCreationFlag: type[trt.NetworkDefinitionCreationFlag]
    OnnxParser: type[trt.OnnxParser]
    Runtime: type[trt.Runtime]
    TensorIOMode: type[trt.TensorIOMode]

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.module = module
        self.version = str(module.__version__)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self.module, name)

    def __str__(self) -> str:
        return f"{'TensorRT-RTX' if self.is_rtx else 'TensorRT'} {self.version}"

    @property
    def is_rtx(self) -> bool:
        """Whether engines are compiled for a GPU when they run there, not when they are built."""
        return self.name == "tensorrt-rtx"

    @property
    def has_precision_flags(self) -> bool:
        """Whether the builder may choose precisions: TensorRT 10. Others compute in the types of the file."""
        return hasattr(self.module.BuilderFlag, "FP16")


def find_library(name: str = "auto") -> Library:
    """An installed library; with ``auto`` TensorRT, else TensorRT-RTX.

    Raises ``LibraryError`` where it is not installed, or cannot be imported.
    """
    names = list(MODULES) if name == "auto" else [name]
    for candidate in names:
        module = _module(candidate)
        if module is not None:
            return Library(candidate, module)
    extra = _EXTRAS[names[-1]]
    raise LibraryError(
        f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} not installed",
        fix=f"pip install 'anydet-tensorrt[{extra}]'"
        + (", or 'anydet-tensorrt[cu13]' for TensorRT" if extra == "rtx" else ""),
    )


def _module(name: str) -> Any:
    try:
        module = importlib.import_module(MODULES[name])
    except ModuleNotFoundError:
        return None
    except (ImportError, OSError) as exc:
        raise LibraryError(
            f"{name} is installed, but cannot be imported: {exc}", fix="install it again"
        ) from exc
    # Of tensorrt-stubs alone, which are types, Python makes an empty module.
    return module if hasattr(module, "Builder") else None


class Log:
    """What a library says: its errors for messages, none of it on the terminal.

    Args:
        library: whose builder or runtime it is for.

    Attributes:
        logger: for the library.
        errors: in their order.
        warnings: likewise.
    """

    def __init__(self, library: Library) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.logger = _logger(library, self._take)

    @property
    def reason(self) -> str:
        """The first error: those after it follow from it."""
        found = [plain(error) for error in self.errors]
        telling = [text for text in found if "CUDA driver version" not in text] or found
        return telling[0] if telling else "it does not say why"

    def _take(self, severity: str, text: str) -> None:
        if "ERROR" in severity:
            self.errors.append(text)
        elif severity == "WARNING":
            self.warnings.append(text)


def plain(text: str) -> str:
    """A message of TensorRT without what says where in its source it was written."""
    lines = [_PLACES.sub("", line).strip(" :;") for line in text.splitlines()]
    # What follows from the lack of a GPU says nothing of a model, where there is something else.
    telling = [line for line in lines if line and "CUDA driver version" not in line] or lines
    return " ".join("; ".join(dict.fromkeys(telling[:3])).split())


def _logger(library: Library, take: Any) -> trt.ILogger:
    if TYPE_CHECKING:
        base = trt.ILogger
    else:
        base = library.module.ILogger

    class Logger(base):  # type: ignore[misc, valid-type]
        """Passes messages on."""

        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            """Called by the library, from any thread."""
            take(severity.name, msg)

    return Logger()
