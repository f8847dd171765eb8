"""The parts of bicycles and their states, as DelftBikes spells them."""

from __future__ import annotations

from anydet.types import ClassTable

PARTS = (
    *("back_hand_break", "back_handle", "back_light", "back_mudguard", "back_pedal", "back_reflector"),
    *("back_wheel", "bell", "chain", "dress_guard", "dynamo", "front_handbreak", "front_handle"),
    *("front_light", "front_mudguard", "front_pedal", "front_wheel", "gear_case", "kickstand", "lock"),
    *("saddle", "steer"),
)
"""The 22 parts in alphabetical order, which is that of their ids."""
STATES = ("intact", "damaged", "absent", "occluded")
"""Names of the states 0, 1, 2, 3."""
CLASSES = ClassTable(PARTS, tuple(range(1, len(PARTS) + 1)))
"""Class ids 0..21; category ids 1..22 as COCO files of the data set have them."""
