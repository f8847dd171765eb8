"""``Finding``: one row of ``anydet doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "skipped", "unavailable", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: python, package, device, provider, engine, plugin, adapter or folder.
        name: of the thing.
        state: "missing" is an optional package that is not installed; "skipped" a plugin that
            ``ANYDET_PLUGINS`` leaves out; "unavailable" a device or folder that cannot be used;
            "broken" something installed that does not work.
        detail: version, range, or the reason.
    """

    group: str
    name: str
    state: State
    detail: str = ""
