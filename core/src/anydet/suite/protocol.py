"""``Protocol``: the conditions that predictions of several models have in common, and what is counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.errors import OptionError, did_you_mean
from anydet.evaluation.protocol import CocoSettings
from anydet.plugins.options import check_options, load_schema
from anydet.text import quoted, shortened
from anydet.training.config.config_file import open_setting

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEMA = "anydet.suite:protocol.schema.json"
PACKAGED = "anydet.suite:protocols"
CONDITIONS = (
    "image_size",
    "score_threshold",
    "nms_iou",
    "max_detections",
    "preprocess",
    "tta",
    "ttt",
    "fingerprint",
)
"""Keys of a protocol that the meta of a file is held against."""
_HELP = "see docs/how-to/compare-many-models.md for the keys of a protocol"
_UNSTATED = object()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A condition that a file does not meet.

    Attributes:
        condition: key of the protocol.
        wanted: what the protocol says.
        stated: what the file says, as text; ``not stated`` where it does not.
        allowed: whether the protocol or a flag lets it pass.
    """

    condition: str
    wanted: Any
    stated: str
    allowed: bool

    def __str__(self) -> str:
        return f"{self.condition} is {self.stated}, the protocol's is {_shown(self.wanted)}"

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "condition": self.condition,
            "wanted": self.wanted,
            "stated": self.stated,
            "allowed": self.allowed,
        }


@dataclass(frozen=True, slots=True)
class Protocol:
    """What all files have to keep, and how they are evaluated.

    Attributes:
        name: for the report.
        conditions: those of ``CONDITIONS`` that the protocol states, with their values.
        counting: what is counted.
        rank_by: metric that files are ranked by, or ``None`` for the first one.
        max_images: evaluated, or ``None`` for all.
        resamples: of the bootstrap.
        level: confidence level of intervals.
        seed: of the resamples.
        allow: conditions that need not be met: ``KEY`` by any file, ``PATTERN:KEY`` by files of such names.
    """

    name: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    counting: CocoSettings = field(default_factory=CocoSettings)
    rank_by: str | None = None
    max_images: int | None = None
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    allow: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str, allow: tuple[str, ...] = ()) -> Self:
        """The protocol of a YAML or JSON file.

        Args:
            path: the file, or name of a protocol that anydet brings.
            allow: further conditions that need not be met.

        Raises:
            OptionError: the file cannot be read, or a key is unknown or has a wrong value; names it, and what
                was probably meant.
        """
        file = open_setting(path, PACKAGED, "protocol")
        try:
            values = check_options(file.values, load_schema(SCHEMA), owner=file.name)
        except OptionError as exc:
            raise OptionError(exc.problem.replace(" option ", " key ", 1), fix=_HELP) from exc
        conditions = {key: values[key] for key in CONDITIONS if key in values}
        if not conditions:
            raise OptionError(
                f"{file.name}: states no condition that predictions are to keep",
                fix=f"add one or more of {', '.join(CONDITIONS)}",
            )
        allowed = (*values["allow"], *allow)
        for one in allowed:
            _check_allowed(one, conditions)
        names = ("rank_by", "max_images", "resamples", "level", "seed")
        return cls(
            values["name"] or Path(path).stem,
            conditions,
            _counting(values["counting"], file.name),
            allow=allowed,
            **{name: values[name] for name in names},
        )

    @property
    def digest(self) -> str:
        """``sha256:...`` of all that decides the numbers: conditions and what is counted, not the name."""
        text = json.dumps(self._decisive(), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def mismatches(self, path: Path, meta: Mapping[str, Any]) -> tuple[Mismatch, ...]:
        """Conditions that the meta of a file does not meet, those that are allowed too."""
        return tuple(
            Mismatch(where, wanted, _shown(stated), self._allows(path, key))
            for key, condition in self.conditions.items()
            for where, wanted, stated in _differences(key, condition, _stated(meta, key))
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON, with its digest."""
        return {"name": self.name, "digest": self.digest, **self._decisive(), "allow": list(self.allow)}

    def _decisive(self) -> dict[str, Any]:
        counting = {name: getattr(self.counting, name) for name in CocoSettings.__slots__}
        return {
            "conditions": dict(self.conditions),
            "counting": {name: value for name, value in counting.items() if value is not None},
            "rank_by": self.rank_by,
            "max_images": self.max_images,
            "resamples": self.resamples,
            "level": self.level,
            "seed": self.seed,
        }

    def _allows(self, path: Path, condition: str) -> bool:
        return any(
            key == condition and (not pattern or fnmatchcase(path.name, pattern))
            for pattern, _, key in (one.rpartition(":") for one in self.allow)
        )


def _counting(values: Mapping[str, Any], file: str) -> CocoSettings:
    tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if "area_ranges_px" in tuples:
        tuples["area_ranges_px"] = {key: tuple(ends) for key, ends in tuples["area_ranges_px"].items()}
    try:
        return CocoSettings(**tuples)
    except OptionError as exc:
        raise OptionError(f"{file}: counting: {exc.problem}", fix=_HELP) from exc


def _check_allowed(one: str, conditions: Mapping[str, Any]) -> None:
    key = one.rpartition(":")[2]
    if key not in conditions:
        raise OptionError(
            f"allow {quoted(one)}: the protocol has no condition {quoted(key)} (it has "
            f"{', '.join(conditions)}){did_you_mean(key, list(conditions))}",
            fix="write KEY, or FILE:KEY for files of one name",
        )


def _stated(meta: Mapping[str, Any], key: str) -> Any:
    """What a meta says of a condition; ``_UNSTATED`` where it says nothing."""
    if key in {"tta", "ttt"}:
        block = meta.get(key)
        if not isinstance(block, dict):
            return _UNSTATED
        return bool(block.get("enabled")) if key == "tta" else block.get("method", "none")
    block = meta.get("dataset" if key == "fingerprint" else "export_settings")
    if not isinstance(block, dict) or key not in block:
        return _UNSTATED
    # Without a value: no suppression, for the one key where that is a choice; nobody knows, for the others.
    return _UNSTATED if block[key] is None and key != "nms_iou" else block[key]


def _differences(key: str, wanted: Any, stated: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, wanted and stated value of what differs; of ``preprocess`` each part by itself."""
    if key == "preprocess" and isinstance(stated, dict):
        for part, value in wanted.items():
            found = stated.get(part, _UNSTATED)
            if found is _UNSTATED or not _equal(value, found):
                yield f"preprocess.{part}", value, found
    elif stated is _UNSTATED or not _equal(_size(key, wanted), _size(key, stated)):
        yield key, wanted, stated


def _size(key: str, value: Any) -> Any:
    """One side stands for a square."""
    return [value, value] if key == "image_size" and isinstance(value, int) else value


def _equal(wanted: Any, stated: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(stated, bool):
        return wanted is stated
    if isinstance(wanted, list) and isinstance(stated, list):
        return len(wanted) == len(stated) and all(map(_equal, wanted, stated))
    return bool(wanted == stated)


def _shown(value: Any) -> str:
    if value is _UNSTATED:
        return "not stated"
    return "none" if value is None else shortened(json.dumps(value))
