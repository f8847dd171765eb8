"""Errors of calls into plugins: kind, name, package, and how to find out more."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from anydet.errors import OptionError, PluginError
from anydet.plugins.calls import PluginCalls
from anydet.plugins.discovery import InstalledPoint
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import AdapterSpec, ViewSpec


@pytest.fixture
def points(monkeypatch):
    module = ModuleType("foo_plugin")
    module.PLUGIN_API = 2

    def register_adapters(register):
        register(AdapterSpec("foo", "nowhere:Foo"))

    def register_views(register):
        register(ViewSpec("bar", "nowhere:Bar"))

    module.register_adapters, module.register_views = hookimpl(register_adapters), hookimpl(register_views)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return [InstalledPoint("foo", "foo_plugin", "anydet-foo", "1.2")]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "adapters",
            "foo",
            "adapter 'foo' of the package anydet-foo 1.2 failed in predict on image 'a.png': ",
        ),
        ("views", "bar", "view 'bar' of the package anydet-foo 1.2 failed in predict on image 'a.png': "),
        ("views", "hflip", "view 'hflip' failed in predict on image 'a.png': "),
    ],
)
def test_an_error_names_the_package_that_brings_it(kind, name, said, points):
    calls = PluginCalls(kind, name, Plugins(points))
    with pytest.raises(PluginError) as caught, calls.to("predict", "a.png"):
        raise ZeroDivisionError("division by zero")
    assert caught.value.problem == said + "ZeroDivisionError: division by zero"
    assert "ANYDET_STRICT=1" in caught.value.fix


def test_what_is_registered_nowhere_has_no_package(points):
    for plugins in (None, Plugins(points)):
        assert PluginCalls("adapters", "mine", plugins).error("is wrong").problem == "adapter 'mine' is wrong"


def test_errors_of_anydet_pass_and_strict_plugins_raise_what_was_raised(points):
    with pytest.raises(OptionError, match="as it is"), PluginCalls("adapters", "foo").to("predict"):
        raise OptionError("as it is")
    strict = PluginCalls("adapters", "foo", Plugins(points, strict=True))
    with pytest.raises(ZeroDivisionError), strict.to("predict"):
        raise ZeroDivisionError
