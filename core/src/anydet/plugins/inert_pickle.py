"""Pickles as data: what a file of ``torch.save`` says of its content, with nothing that it names imported."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """An archive of ``torch.save``, without its tensors.

    Attributes:
        content: what was saved; every object of a class is an ``Inert``.
        objects: ``module.name`` of each class and function that loading it would call, in their order.
        storages: name of a record -> class of its storage, number of elements, and bytes in the file.
    """

    content: Any
    objects: tuple[str, ...]
    storages: Mapping[str, tuple[str, int, int]]


class Inert:
    """Stands for an object of any class; it takes what pickles give to objects, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """What pickles call for lists."""

    def extend(self, _: Any) -> None:
        """What pickles call for lists."""

    def add(self, _: Any) -> None:
        """What pickles call for sets."""

    def __call__(self, *_: Any, **__: Any) -> Inert:
        """Itself, as what a function gives."""
        return self


class InertUnpickler(pickle.Unpickler):
    """Reads data; whatever is no plain data is an ``Inert``, so that no code of the file is run."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.objects: dict[str, None] = {}
        self.storages: list[Any] = []

    def find_class(self, module: str, name: str) -> Any:
        """A class of inert objects in place of whatever is named."""
        # Everything that a pickle can call comes through here.
        self.objects[f"{module}.{name}"] = None
        return type(name if name.isidentifier() else "Inert", (Inert,), {"stands_for": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """What stands for a storage of tensors."""
        self.storages.append(pid)
        return Inert()


def described(pickled: bytes, sizes: Mapping[str, int]) -> Archive:
    """What the pickle of an archive says; raises ``ValueError`` where it is none.

    Args:
        pickled: the record ``data.pkl``.
        sizes: name of each record of tensors -> bytes.
    """
    unpickler = InertUnpickler(BytesIO(pickled))
    try:
        content = unpickler.load()
        stored = {str(key): (kind, int(count)) for _, kind, key, _, count in unpickler.storages}
    except Exception as exc:  # whatever bytes lead to
        raise ValueError("no pickle of torch.save") from exc
    storages = {
        key: (str(getattr(kind, "stands_for", "")), count, sizes.get(key, 0))
        for key, (kind, count) in stored.items()
    }
    return Archive(content, tuple(unpickler.objects), storages)
