"""What a runtime asks of a model file before it opens it, and what it says of operators that it lacks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from anydet.plugins.checkpoints import find_weights
from anydet.plugins.weights_file import ONNX, UNKNOWN, identify
from anydet.runtime.errors import ModelError
from anydet.runtime.external_data import check_external_data
from anydet.runtime.opset import check_opset
from anydet.text import listed

_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}
"""Domains of ONNX's own operators."""


def require_model_file(path: Path, *, others: Collection[str] = (), option: str = "--checkpoint") -> None:
    """Raise ``ModelError`` for what no runtime should open.

    That is what is known to be no ONNX model, has data outside of its folder, or is quantized in a way that
    its opset does not have. A file of an unknown kind is left to the runtime, which knows more of it.

    Args:
        path: that was given as checkpoint.
        others: kinds that the runtime reads beside ONNX, as ``weights_file.identify`` calls them.
        option: that it was given by, for hints.
    """
    file = find_weights(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file", fix=f"give {option} an .onnx file")
    try:
        found = identify(file or path)
    except OSError as exc:
        raise ModelError(
            f"{path}: cannot be read: {exc.strerror or exc}", fix="change its permissions, or copy it again"
        ) from exc
    if found.what in others:
        return
    if found.what in {ONNX, UNKNOWN}:
        check_external_data(path, option=option)
        check_opset(path)
        return
    predicts = found.adapter and option == "--checkpoint"
    to_predict = f"use --adapter {found.adapter}" if predicts else ""
    raise ModelError(
        f"{path}: {found.what}, no ONNX model",
        fix=found.fix or to_predict or f"give {option} an .onnx file",
    )


def lacking_operators(path: str, runtime: str, operators: Sequence[str], *, instead: str) -> ModelError:
    """The error of a model with operators that a runtime does not have.

    Args:
        path: of the model.
        runtime: its name and version, for people.
        operators: their names, each behind its domain and a dot where it is not ONNX's own.
        instead: adapters that have all operators of ONNX, for the hint.
    """
    names = list(dict.fromkeys(operators))
    custom = [name for name in names if name.rpartition(".")[0] not in _STANDARD]
    plural = "s" * (len(names) != 1)
    problem = f"{path}: {runtime} does not have its operator{plural} {listed(names)}"
    if custom:
        domain = custom[0].rpartition(".")[0]
        return ModelError(
            f"{problem}; {domain} is a domain of custom operators, which only what defines them runs",
            fix="export the model with operators of ONNX alone",
        )
    return ModelError(problem, fix=instead)
