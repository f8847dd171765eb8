from __future__ import annotations

import numpy as np
import pytest

from anydet.data.object_models import join_models
from anydet.errors import DatasetError
from anydet.types import ClassTable, ObjectModel


def model(name):
    return ObjectModel(name, np.eye(3), 0.1, np.eye(4)[None])


def test_each_class_gets_its_model():
    models = {1: model("mug"), 2: model("obj_000002"), 3: model("obj_000003")}
    assert join_models(models, ClassTable(("hand", "mug"))) == {1: models[1]}
    assert join_models(models, ClassTable(("obj_000003", "2", "obj_9"))) == {0: models[3], 1: models[2]}
    assert join_models(models, ClassTable(("a", "b"), (2, 3))) == {0: models[2], 1: models[3]}
    assert join_models(models, ClassTable(("a", "b", "c"), (1, 2, 3))) == dict(enumerate(models.values()))
    with pytest.raises(DatasetError, match="classes a, b and objects 1, 2, 3 cannot be matched by name"):
        join_models(models, ClassTable(("a", "b")))
