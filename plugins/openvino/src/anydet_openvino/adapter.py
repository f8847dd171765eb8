"""The ``openvino`` adapter: an ONNX file, or one of OpenVINO's own, compiled by OpenVINO."""

from __future__ import annotations

from anydet.runtime.adapter import RuntimeAdapter
from anydet_openvino.compiled import Compiled


class OpenVinoAdapter(RuntimeAdapter):
    """Any detector of a known family that OpenVINO reads.

    Args:
        settings: ``checkpoint`` is an ``.onnx`` or ``.tflite`` file, or the ``.xml`` of an IR that has its
            ``.bin`` beside it; ``device`` is ``cpu``, ``gpu``, ``gpu:N`` or ``npu``; options are those
            of its schema.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no model that runs here, or not of the family that the preset names.
    """

    registered_name = "openvino"

    def load(self, path: str) -> Compiled:
        """The model, compiled for the device of the settings."""
        options = self.settings.options
        return Compiled(
            path,
            device=self.settings.device,
            precision=options.get("precision", "f32"),
            threads=options.get("threads"),
            quantized=options.get("quantized"),
        )
