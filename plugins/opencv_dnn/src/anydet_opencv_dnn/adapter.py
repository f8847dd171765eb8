"""The ``opencv_dnn`` adapter: an ONNX file in a network of OpenCV's DNN module."""

from __future__ import annotations

from anydet.errors import OptionError
from anydet.runtime.adapter import RuntimeAdapter
from anydet_opencv_dnn.network import Network


class OpenCvDnnAdapter(RuntimeAdapter):
    """Any ONNX detector of a known family whose operators OpenCV has.

    Args:
        settings: ``checkpoint`` is the ``.onnx`` file; ``device`` is ``cpu``; options are those of
            ``options.schema.json``.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no model that runs here, or not of the family that the preset names.
    """

    registered_name = "opencv_dnn"

    def load(self, path: str) -> Network:
        """A network of OpenCV."""
        device = self.settings.device
        if device != "cpu":
            raise OptionError(
                f"--device {device!r} is not known to the opencv_dnn adapter, which runs on the CPU",
                fix="use --device cpu; GPUs are for --adapter onnxruntime and openvino",
            )
        return Network(path, threads=self.settings.options.get("threads"))
