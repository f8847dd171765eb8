"""Options with which 'anydet plugins check' builds an adapter: true ones, and what is typed wins."""

from __future__ import annotations

import pytest
from tests.hints import OURS

from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.testing import AdapterSubject

PLUGINS = Plugins(only=OURS)
QUICK = {
    name: quick
    for name, spec in PLUGINS.specs("adapters").items()
    if (quick := load_schema(spec.options_schema).get("x-check"))
}


def test_the_large_models_have_such_options():
    assert {"fasterrcnn_multitask", "rtdetr_pose"} <= set(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_they_are_options_of_the_adapter_and_what_is_typed_wins(name, tmp_path):
    options = AdapterSubject.installed(PLUGINS, name, tmp_path).settings.options
    assert QUICK[name].items() <= options.items()
    assert not QUICK[name].items() <= PLUGINS.settings(name).options.items()
    key, quick = next(iter(QUICK[name].items()))
    other = "another" if isinstance(quick, str) else 96
    typed = AdapterSubject.installed(PLUGINS, name, tmp_path, {key: str(other)}).settings.options
    assert typed == {**options, key: other}
