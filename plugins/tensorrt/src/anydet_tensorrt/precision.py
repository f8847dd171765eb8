"""How an engine comes to compute in a precision: by flags of the builder, or a cast of the graph."""

from __future__ import annotations

from anydet.dataclass import dataclass
from anydet.errors import OptionError
from anydet_tensorrt.graph import QUANTIZED, Graph, Precision
from anydet_tensorrt.library import Library


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done for a precision.

    Attributes:
        precision: of the engine; ``best`` where the builder chooses.
        flags: of the builder, by their names in ``BuilderFlag``.
        cast: whether the graph is converted to the precision first.
        strongly_typed: whether numbers are of the types in the graph.
        calibrated: whether ranges of activations are measured.
    """

    precision: Precision
    flags: tuple[str, ...] = ()
    cast: bool = False
    strongly_typed: bool = False
    calibrated: bool = False


def settle_precision(graph: Graph, wanted: Precision, library: Library, *, calibrate: bool) -> Plan:
    """What a library does for a precision.

    TensorRT 10 has flags by which the builder chooses among types, and calibration. TensorRT 11 and
    TensorRT-RTX compute in the types of the graph: half precision is cast, int8 is quantized, beforehand.

    Args:
        graph: the model.
        wanted: precision that was asked for.
        library: that builds.
        calibrate: whether there are images to measure ranges on.

    Raises:
        OptionError: the model or the library does not have it, with what does.
        BuildError: the file is quantized in a way that TensorRT does not have.
    """
    if calibrate:
        _require_calibration(graph, wanted, library)
    if graph.precision == "int8":
        graph.require_symmetric()
    if wanted == "best":
        return _best(graph, library, calibrate=calibrate)
    if wanted == "int8":
        return _int8(graph, library, calibrate=calibrate)
    if wanted == graph.precision:
        return Plan(wanted, strongly_typed=wanted != "fp32" or not library.has_precision_flags)
    if graph.precision != "fp32":
        raise OptionError(
            f"--precision {wanted}: {graph.path} computes in {graph.precision} already",
            fix=f"use --precision {graph.precision}, or a model in float32",
        )
    if library.has_precision_flags:
        return Plan(wanted, flags=(wanted.upper(),))
    return Plan(wanted, cast=True, strongly_typed=True)


def _best(graph: Graph, library: Library, *, calibrate: bool) -> Plan:
    if library.has_precision_flags:
        quantized = calibrate or graph.precision == "int8"
        return Plan("best", flags=("FP16", "BF16", *(["INT8"] if quantized else ())), calibrated=calibrate)
    if graph.precision != "fp32":
        return Plan(_known(graph.precision), strongly_typed=True)
    return Plan("fp16", cast=True, strongly_typed=True)


def _int8(graph: Graph, library: Library, *, calibrate: bool) -> Plan:
    flags = ("INT8",) if library.has_precision_flags else ()
    if graph.precision == "int8":
        return Plan("int8", flags=flags, strongly_typed=not flags)
    if calibrate:
        return Plan("int8", flags=flags, calibrated=True)
    quantize = f"quantize the model first, {QUANTIZED}"
    raise OptionError(
        f"--precision int8: {graph.path} is not quantized",
        fix=f"add --calibration-dataset DATA, or {quantize}" if flags else quantize,
    )


def _require_calibration(graph: Graph, wanted: Precision, library: Library) -> None:
    if wanted not in {"int8", "best"}:
        raise OptionError(
            f"--calibration-dataset is for int8, and the precision is {wanted}",
            fix="add --precision int8, or leave --calibration-dataset out",
        )
    if not library.has_precision_flags:
        raise OptionError(
            f"{library} does not calibrate: it builds int8 of quantized models alone",
            fix=f"leave --calibration-dataset out, and give --onnx a quantized model, {QUANTIZED}",
        )
    if graph.precision == "int8":
        raise OptionError(
            f"{graph.path} is quantized already, with ranges of its own",
            fix="leave --calibration-dataset out",
        )


def _known(precision: str) -> Precision:
    found: dict[str, Precision] = {"fp16": "fp16", "bf16": "bf16", "int8": "int8"}
    return found[precision]
