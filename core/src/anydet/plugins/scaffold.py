"""A new plugin package: the files of ``template`` filled with its name."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from anydet.errors import OptionError
from anydet.outputs import new_folder
from anydet.plugins.hookspecs import PROJECT
from anydet.plugins.manager import Plugins

FILES: dict[str, dict[str, str]] = {
    "numpy": {
        "pyproject.toml": "pyproject.toml.tmpl",
        "README.md": "README.md.tmpl",
        ".gitignore": "gitignore.tmpl",
        "src/$package/__init__.py": "init.py.tmpl",
        "src/$package/adapter.py": "adapter.py.tmpl",
        "src/$package/options.schema.json": "options.schema.json.tmpl",
        "tests/test_conformance.py": "test_conformance.py.tmpl",
    },
    "torch": {
        "pyproject.toml": "torch/pyproject.toml.tmpl",
        "README.md": "torch/README.md.tmpl",
        ".gitignore": "gitignore.tmpl",
        "src/$package/__init__.py": "torch/init.py.tmpl",
        "src/$package/adapter.py": "torch/adapter.py.tmpl",
        "src/$package/model.py": "torch/model.py.tmpl",
        "src/$package/predictor.py": "torch/predictor.py.tmpl",
        "src/$package/task.py": "torch/task.py.tmpl",
        "src/$package/options.schema.json": "torch/options.schema.json.tmpl",
        "src/$package/training.schema.json": "torch/training.schema.json.tmpl",
        "tests/test_conformance.py": "torch/test_conformance.py.tmpl",
    },
}
"""Kind of package -> path in it -> file of ``template``."""


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A package that was written.

    Attributes:
        name: of the adapter and of the entry point.
        distribution: what pip calls the package.
        package: what Python imports.
        folder: where it is.
        files: its files, relative to ``folder``.
        kind: key of ``FILES``.
    """

    name: str
    distribution: str
    package: str
    folder: Path
    files: tuple[str, ...]
    kind: str = "numpy"

    @property
    def model_file(self) -> Path:
        """Where one's own model goes."""
        name = "model.py" if self.kind == "torch" else "adapter.py"
        return self.folder / "src" / self.package / name


def write_plugin(
    name: str,
    folder: Path | str | None = None,
    *,
    kind: str = "numpy",
    plugins: Plugins | None = None,
) -> NewPlugin:
    """Write a plugin package whose adapter works, to put one's own model into.

    Args:
        name: of the adapter; the distribution and the import name follow from it.
        folder: where the package goes, new or empty; ``./NAME`` by default.
        kind: ``numpy``, which finds things by their color, or ``torch``, a network that is trained.
        plugins: those whose names are taken; the installed ones by default.

    Raises:
        OptionError: the name is not lower-case words joined by underscores, is a word of Python or is
            taken, or the folder is there and not empty. Nothing is written then.
    """
    check_name(name, plugins or Plugins.from_env())
    folder = Path(folder or name)
    words = {
        "name": name,
        "distribution": f"anydet-{name.replace('_', '-')}",
        "package": f"anydet_{name}",
        "class_name": "".join(map(str.capitalize, name.split("_"))) + "Adapter",
        "anydet_range": _compatible(version(PROJECT)),
    }
    written = []
    # Written aside and renamed, so that an error leaves no half package.
    with new_folder(folder) as aside:
        for path, text in _fill(words, FILES[kind]):
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_text(text, "utf-8")
            written.append(path)
    return NewPlugin(name, words["distribution"], words["package"], folder, tuple(written), kind)


def check_name(name: str, plugins: Plugins) -> None:
    """Refuse a name that no adapter can have, or that one has; raises ``OptionError`` with a better one."""
    proper = _proper(name)
    if name != proper:
        raise OptionError(
            f"{name!r} is not a valid adapter name: use lower-case letters, digits and single "
            "underscores, a letter first",
            fix=f"anydet adapters new {proper}",
        )
    if keyword.iskeyword(name):
        raise OptionError(f"{name!r} is a word of Python", fix=f"anydet adapters new {name}_detector")
    owner = _owner(name, plugins)
    if owner:
        raise OptionError(f"{name!r} is taken by {owner}", fix=f"anydet adapters new my_{name}")


def _proper(text: str) -> str:
    """``my_det`` of ``My-Det``."""
    words = "_".join(re.findall(r"[a-z0-9]+", text.lower()))
    return f"detector_{words}" if words[:1].isdigit() else words or "my_detector"


def _owner(name: str, plugins: Plugins) -> str:
    """Whose adapter or plugin has a name already; an empty string where it is free."""
    adapters = plugins.specs("adapters")
    installed = {row.name: row for row in plugins.status if row.version != "?"}
    row = plugins.owner("adapters", name) or installed.get(name)
    if row:
        return f"the installed package {row.distribution}"
    return "anydet itself" if name in {PROJECT, *adapters} else ""


def _compatible(text: str) -> str:
    """``>=0.1,<0.2`` of ``0.1.3`` and ``>=2.4,<3`` of ``2.4.0``: up to the next version that may break."""
    major, minor = map(int, re.findall(r"\d+", text)[:2])
    return f">={major}.{minor},<{major + 1}" if major else f">=0.{minor},<0.{minor + 1}"


def _fill(words: dict[str, str], sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path, text) of each file."""
    template = files(__package__) / "template"
    for path, source in sources.items():
        text = (template / source).read_text("utf-8")
        yield Template(path).substitute(words), Template(text).substitute(words)
