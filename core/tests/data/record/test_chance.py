from __future__ import annotations

import numpy as np

from anydet.data.record.chance import record_generator


def draws(seed, key):
    return record_generator(seed, key).random(8)


def test_choices_are_those_of_the_seed_and_the_key():
    np.testing.assert_array_equal(draws(3, "a/1.jpg"), draws(3, "a/1.jpg"))
    assert (draws(3, "a/1.jpg") != draws(4, "a/1.jpg")).all()
    assert (draws(3, "a/1.jpg") != draws(3, "a/2.jpg")).all()
