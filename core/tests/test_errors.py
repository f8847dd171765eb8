from __future__ import annotations

import pytest

from anydet.errors import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_only_one_thing_is_singular(number, text):
    assert counted(number, "image") == text
