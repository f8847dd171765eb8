"""What is installed here and what of it is broken: the findings of ``anydet doctor``."""

from __future__ import annotations

from anydet.doctor.finding import Finding, State
from anydet.doctor.survey import diagnose

__all__ = ["Finding", "State", "diagnose"]
