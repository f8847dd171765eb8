"""Images and columns: one function each way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from anydet.contract.load import scan_entry
from anydet.contract.raw import RawPredictions, size_of
from anydet.contract.source import open_source
from anydet.errors import ContractError
from anydet.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from anydet.types import DetectionColumns, ImagePredictions, concatenate
