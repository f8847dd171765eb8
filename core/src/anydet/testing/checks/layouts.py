"""What layouts of model files are held to: they say what they are, and bind only outputs that fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.plugins.manager import Plugins
from anydet.testing.kit import Subject, checks_of

if TYPE_CHECKING:
    from typing_extensions import Self

_INPUT_WH = (64, 64)


@dataclass(frozen=True)
class LayoutSubject(Subject):
    """A layout under test.

    Attributes:
        build: gives the layout.
    """

    build: Callable[[], Any]

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed layout called ``name``, which has no options."""
        del options
        return cls(plugins.load("layouts", name), folder=folder)

    def set_up(self) -> None:
        """Build it once."""
        self.build()


def it_is_a_layout_file(subject: LayoutSubject) -> None:
    """The factory gives a ``LayoutFile``, with a summary and an IoU of suppression in 0..1 or none."""
    from anydet.runtime.layouts.layout_file import LayoutFile

    found = subject.build()
    kind = type(found).__name__
    assert isinstance(found, LayoutFile), f"the factory gives {kind}; return packaged_layout(PACKAGE, FILE)"
    assert found.summary, "there is no summary; say in a line which models it is for"
    iou = found.nms_iou
    assert iou is None or 0 < iou <= 1, f"nms_iou is {iou}; give an IoU of 0..1, or leave it out"


def building_it_again_gives_the_same(subject: LayoutSubject) -> None:
    """The factory gives equal layouts each time."""
    assert subject.build() == subject.build(), "the second one differs; read it from a file of the package"


def outputs_that_do_not_fit_are_left_to_others(subject: LayoutSubject) -> None:
    """A single number, or no output at all, is bound to no decoder."""
    from anydet.runtime.layouts.shapes import Signature

    declaration = subject.build().declaration
    for outputs in (Signature((), (), ()), Signature(((1,),), ("output",), (False,))):
        bound = declaration.bind(outputs, _INPUT_WH)
        assert bound is None, f"outputs of shapes {outputs.shapes} are bound; state the shapes of the outputs"


CHECKS = checks_of(
    it_is_a_layout_file,
    building_it_again_gives_the_same,
    outputs_that_do_not_fit_are_left_to_others,
)
"""Name -> check, in the order in which they are run."""
