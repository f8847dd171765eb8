"""``Scenario``: a name for changes of images, a selection of objects, and what the numbers must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from anydet.data.corruptions.corruption import Corruption, choose_names
from anydet.data.corruptions.dataset import corrupted
from anydet.data.dataset.fingerprint import Fingerprint
from anydet.data.dataset.protocols import Dataset
from anydet.errors import OptionError
from anydet.plugins.options import check_options, load_schema
from anydet.scenarios.changed import ChangedDataset
from anydet.scenarios.changes import Change, HandheldJitter, LowLight, Occlusion, Rotation, Scale
from anydet.scenarios.selections import (
    Crowded,
    ExtremeDepth,
    Selection,
    SmallObjects,
    Symmetric,
    Truncated,
)
from anydet.scenarios.thresholds import Threshold, read_thresholds
from anydet.text import quoted

SCHEMA = "anydet.scenarios:scenario.schema.json"
Step: TypeAlias = Change | Corruption
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HELP = "see 'anydet test --help'"
_OF_ALL = ("thresholds", "optional")
"""Keys of an entry that say nothing of its images."""
_SEEDED: dict[str, Callable[..., Change]] = {
    "low_light": LowLight,
    "occlusion": Occlusion,
    "handheld_jitter": HandheldJitter,
}
_CHANGES: dict[str, Callable[..., Change]] = {**_SEEDED, "scale": Scale, "rotation": Rotation}
_SELECTIONS: dict[str, Callable[..., Selection]] = {
    "small_objects": SmallObjects,
    "truncated": Truncated,
    "crowded": Crowded,
    "symmetric": Symmetric,
    "extreme_depth": ExtremeDepth,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A declared transformation of a data set.

    Attributes:
        name: of rows and files.
        changes: of images, in their order.
        selections: of objects and images, all of which apply.
        thresholds: of its numbers.
        least_visible: fraction of an object that must be left in a changed image for it to count.
        optional: whether its thresholds may be left out where it cannot be measured. Otherwise they are
            missed then: what nobody could look at has not been found good.
    """

    name: str
    changes: tuple[Step, ...] = ()
    selections: tuple[Selection, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    least_visible: float = 0.3
    optional: bool = False

    def open(self, dataset: Dataset) -> Dataset:
        """The data set with changed images; raises ``DatasetError`` where they are corrupted twice."""
        for change in self.changes:
            if isinstance(change, Corruption):
                dataset = corrupted(dataset, change)
            else:
                dataset = ChangedDataset(dataset, change, self.least_visible)
        return dataset

    def fingerprint(self, dataset: Dataset) -> str:
        """``sha256:...`` of the changed data set and what is selected of it.

        Args:
            dataset: that ``open`` gave.
        """
        found = Fingerprint()
        found.add(dataset.fingerprint())
        for selection in self.selections:
            found.add(repr(selection))
        return str(found)

    @property
    def description(self) -> str:
        """What is done, as it is printed."""
        steps = [f"corruption {one}" if isinstance(one, Corruption) else repr(one) for one in self.changes]
        return ", ".join([*steps, *map(repr, self.selections)]) or "as it is"


def read_scenarios(
    name: str,
    given: Mapping[str, Any],
    *,
    seed: int,
    least_visible: float,
    thresholds: tuple[Threshold, ...],
    evaluators: tuple[str, ...],
) -> Iterator[Scenario]:
    """The scenarios of an entry of a setting: one, or one for each corruption and severity.

    Args:
        name: of the entry.
        given: kind -> options; and thresholds.
        seed: of random choices.
        least_visible: as in ``Scenario``.
        thresholds: of all scenarios; the entry's own of the same number replace them.
        evaluators: whose metrics thresholds may name.

    Raises:
        OptionError: a kind or an option is unknown or has a wrong value.
    """
    owner = f"scenario {quoted(name)}"
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"{owner}: names are up to 64 letters, digits and _ . -, a letter or digit first",
            fix="give it such a name",
        )
    schema = load_schema(SCHEMA)
    # Kinds first and each kind's options below, so that both have their own did-you-mean.
    kinds = {
        key: {part: value for part, value in about.items() if part in ("type", "default")}
        for key, about in schema["properties"].items()
    }
    entry = _checked(given, {**schema, "properties": kinds}, owner)
    own = read_thresholds(entry.pop("thresholds", None) or {}, evaluators, owner)
    replaced = {one.number for one in own}
    all_thresholds = (*(one for one in thresholds if one.number not in replaced), *own)
    steps: list[list[Step]] = []
    selections: list[Selection] = []
    for kind in given:  # in the order of the setting
        if kind in _OF_ALL:
            continue
        options = _checked(entry[kind] or {}, schema["properties"][kind], f"{owner}: {kind}")
        if kind in _SELECTIONS:
            selections.append(_SELECTIONS[kind](**options))
        elif kind == "corruption":
            names = choose_names(options["names"])
            steps.append([Corruption(n, s, seed) for n in names for s in options["severities"]])
        else:
            steps.append([_CHANGES[kind](**options, **({"seed": seed} if kind in _SEEDED else {}))])
    several = any(len(some) > 1 for some in steps)
    for changes in product(*steps):
        parts = [
            part for one in changes if isinstance(one, Corruption) for part in (one.name, str(one.severity))
        ]
        yield Scenario(
            "-".join(dict.fromkeys([name, *parts])) if several else name,
            changes,
            tuple(selections),
            all_thresholds,
            least_visible,
            entry["optional"],
        )


def _checked(given: object, schema: Mapping[str, Any], owner: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise OptionError(f"{owner}: expected keys and values, got {quoted(given)}", fix=_HELP)
    try:
        checked = check_options(given, schema, owner=owner)
    except OptionError as exc:
        # Without its own hint: a scenario is no adapter that can be shown.
        raise OptionError(exc.problem, fix=_HELP) from exc
    # 2 and 2.0 are one number, and one scenario.
    numbers = {key for key, about in schema["properties"].items() if about.get("type") == "number"}
    return {key: float(value) if key in numbers else value for key, value in checked.items()}
