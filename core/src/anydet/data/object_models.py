"""Which class of a data set an object model belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from anydet.errors import DatasetError
from anydet.types import ClassTable, ObjectModel

_NUMBERED = re.compile(r"(?:obj_?)?0*(\d+)")


def join_models(models: Mapping[int, ObjectModel], classes: ClassTable) -> dict[int, ObjectModel]:
    """Models by class id: by name, by a class name like ``obj_000005`` or ``5``, or by the source's own ids.

    The last is done only where these ids say something: categories that a file numbers itself, or ids that
    are those of the objects one for one. A class without a model is left out.

    Raises:
        DatasetError: there is no telling which model belongs to which class.
    """
    by_name = {model.name: model for model in models.values()}
    joined: dict[int, ObjectModel] = {}
    for class_id, name in enumerate(classes.names):
        number = _NUMBERED.fullmatch(name)
        found = by_name.get(name) or (models.get(int(number[1])) if number else None)
        if found is not None:
            joined[class_id] = found
    own = classes.source_ids != tuple(range(len(classes))) or set(classes.source_ids) == set(models)
    if not joined and own:
        joined = {i: models[key] for i, key in enumerate(classes.source_ids) if key in models}
    if joined:
        return joined
    raise DatasetError(
        f"classes {', '.join(classes.names[:5])}{', ...' * (len(classes) > 5)} and objects "
        f"{', '.join(map(str, [*models][:5]))}{', ...' * (len(models) > 5)} cannot be matched by name",
        fix='write the class into models_info.json ("1": {"name": "mug"}), or call classes obj_000001, ...',
    )
