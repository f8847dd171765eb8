"""The ``onnxruntime`` adapter: an ONNX file in a session of ONNX Runtime."""

from __future__ import annotations

from anydet.runtime.adapter import RuntimeAdapter
from anydet_onnxruntime.session import Session


class OnnxRuntimeAdapter(RuntimeAdapter):
    """Any ONNX detector of a known family.

    Args:
        settings: ``checkpoint`` is the ``.onnx`` file; ``device`` is ``cpu``, ``cuda``, ``cuda:N``,
            ``tensorrt`` or ``tensorrt:N``; options are those of ``options.schema.json``.

    Raises:
        OptionError: an option, or the lack of one, makes no sense for this model.
        ModelError: the file is no model that runs here, or not of the family that the preset names.
    """

    registered_name = "onnxruntime"

    def load(self, path: str) -> Session:
        """A session on the device of the settings."""
        return Session(path, device=self.settings.device, threads=self.settings.options.get("threads"))
