"""The compiled COCO engine of anydet. Importing this imports nothing heavy."""

from __future__ import annotations
