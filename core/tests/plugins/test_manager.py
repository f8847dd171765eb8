"""Finding, guarding and reporting plugins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from anydet.data.opening import open_dataset
from anydet.errors import PluginError, UnsupportedError
from anydet.plugins import AdapterSpec, CommandSpec, EngineSpec, SceneSpec, ViewSpec, hookimpl
from anydet.plugins.adapter import Adapter
from anydet.plugins.api import API_VERSION
from anydet.plugins.manager import Plugins
from anydet.plugins.scenes import build_scenes, write_scenes
from anydet.types import AdapterSettings


class Silent(Adapter):
    """Finds nothing; the adapter of the plugins below."""

    def predict(self, records):
        return iter(())


@pytest.fixture
def plugin(monkeypatch):
    """Make a plugin module of functions, importable under its name; gives its entry point."""

    def make(name: str, *, point: str | None = None, api: object = API_VERSION, **hooks) -> EntryPoint:
        module = types.ModuleType(f"plugin_{name}")
        module.Silent = Silent
        module.PLUGIN_API = api
        for hook, function in hooks.items():
            setattr(module, hook, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(point or name, module.__name__, "anydet")

    return make


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Write a plugin module as text; gives its entry point."""

    def make(name: str, text: str) -> EntryPoint:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return EntryPoint(name, name, "anydet")

    return make


def registers(*specs, kind: str = "adapters"):
    """A hook that registers specs."""

    def hook(register):
        for spec in specs:
            register(spec)

    return {f"register_{kind}": hookimpl(hook)}


def adapter_spec(name: str, **changes) -> AdapterSpec:
    return AdapterSpec(name, "plugin_good:Silent", **changes)


def only_row(*points, **options):
    (row,) = Plugins(points, **options).status
    return row


def test_a_broken_plugin_is_reported_and_the_rest_still_load(plugin):
    broken = EntryPoint("broken", "a_library_that_is_not_here", "anydet")
    plugins = Plugins([broken, plugin("good", **registers(adapter_spec("good")))])
    assert [(row.name, row.state) for row in plugins.status] == [("broken", "failed"), ("good", "ok")]
    assert plugins.status[0].reason == "ModuleNotFoundError: No module named 'a_library_that_is_not_here'"
    assert plugins.status[1].provides == ("adapter good",)
    assert isinstance(plugins.adapter("good", AdapterSettings()), Silent)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit('no license')", "SystemExit: no license"),
        ("raise GeneratorExit", "GeneratorExit:"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_whatever_an_import_raises_becomes_a_reason_of_one_line(source, text, reason):
    row = only_row(source("raises_on_import", text))
    sys.modules.pop("raises_on_import", None)
    assert row.state == "failed"
    assert row.reason.startswith(reason)
    assert "\n" not in row.reason


def test_ctrl_c_during_an_import_is_not_a_plugins_failure(source):
    with pytest.raises(KeyboardInterrupt):
        _ = Plugins([source("interrupted", "raise KeyboardInterrupt")]).status


def test_what_a_plugin_prints_at_import_does_not_reach_stdout(source, capsys):
    point = source("chatty", "print('hello')\nfrom anydet.plugins import hookimpl\nPLUGIN_API = 2\n"
                   "@hookimpl\ndef on_train_end(): ...")  # fmt: skip
    assert only_row(point).state == "ok"
    sys.modules.pop("chatty")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_strict_mode_raises_what_the_plugin_raised(source):
    with pytest.raises(ZeroDivisionError):
        _ = Plugins([source("divides", "1 / 0")], strict=True).status


def test_a_misspelled_hook_is_an_error_that_says_what_was_meant(plugin):
    typo = plugin("typo", register_adaptors=hookimpl(lambda register: None))
    row = only_row(typo)
    assert row.state == "failed"
    assert row.reason == "unknown hook 'register_adaptors'; did you mean 'register_adapters'?"


def test_an_unknown_hook_marked_optional_is_for_another_version_and_fine(plugin):
    later = plugin(
        "later",
        **registers(adapter_spec("later")),
        on_something_new=hookimpl(lambda run: None, optionalhook=True),
    )
    assert only_row(later).state == "ok"


def test_a_hook_with_an_argument_that_does_not_exist_is_an_error(plugin):
    row = only_row(plugin("args", register_adapters=hookimpl(lambda registry: None)))
    assert row.state == "failed"
    assert "registry" in row.reason
    assert "register_adapters" in row.reason


def test_a_module_that_forgot_to_mark_its_hooks_is_an_error(plugin):
    row = only_row(plugin("unmarked", register_adapters=lambda register: None))
    assert row.state == "failed"
    assert "@anydet.plugins.hookimpl" in row.reason


def generator(register):
    register(adapter_spec("never"))
    yield 1


async def coroutine(register):
    register(adapter_spec("never"))


@pytest.mark.parametrize("hook", [generator, coroutine])
def test_a_hook_whose_body_would_never_run_is_refused(plugin, hook):
    row = only_row(plugin("deferred", register_adapters=hookimpl(hook)))
    assert row.state == "failed"
    assert row.reason.startswith(
        f"its hook register_adapters is a {hook.__name__}, whose body would never run"
    )


def test_a_wrapper_of_a_hook_is_a_generator_and_fine(plugin):
    def wrapper(run, state):
        return (yield)

    assert only_row(plugin("wraps", on_train_end=hookimpl(wrapper, wrapper=True))).state == "ok"


def test_what_an_observer_prints_does_not_reach_stdout_and_its_error_names_all_others(plugin, capsys):
    def observe(run, state):
        print("seen")  # noqa: T201 - what is tested
        raise ValueError("odd")

    bad = plugin("bad", on_train_end=hookimpl(observe))
    others = [plugin(name, **registers(adapter_spec(name))) for name in ("calm", "quiet")]
    with pytest.raises(
        PluginError, match="plugin 'bad' failed in its on_train_end hook: ValueError: odd"
    ) as e:
        Plugins([bad, *others]).notify("on_train_end", run=1, state=None)
    assert "ANYDET_PLUGINS=calm,quiet;" in e.value.fix
    assert capsys.readouterr() == ("", "seen\n")


def test_a_plugin_that_changes_the_folder_leaves_relative_paths_true(plugin, tmp_path, monkeypatch):
    def observe(run, state):
        os.chdir(tmp_path)
        tmp_path.rmdir()  # nor does it matter that it is gone

    folder = Path.cwd()
    monkeypatch.chdir(folder)  # whatever happens
    Plugins([plugin("wanders", on_train_end=hookimpl(observe))]).notify("on_train_end", run=1, state=None)
    assert Path.cwd() == folder


def test_what_anydet_plugins_leaves_out_is_not_to_be_installed(plugin):
    points = [plugin(n, **registers(adapter_spec(n))) for n in ("left", "slow")]
    with pytest.raises(
        PluginError, match="adapter 'left' is of the plugin 'left', which ANYDET_PLUGINS"
    ) as e:
        Plugins(points, only=["slow"]).spec("adapters", "left")
    assert e.value.fix == "ANYDET_PLUGINS=slow,left"


def test_an_adapter_without_its_settings_is_refused_by_name(plugin):
    class Bare(Silent):
        def __init__(self, settings):
            super().__init__(settings)
            self.settings = None

    point = plugin("bare", Bare=Bare, **registers(AdapterSpec("bare", "plugin_bare:Bare")))
    with pytest.raises(PluginError, match="adapter 'bare' has no settings"):
        Plugins([point]).adapter("bare", AdapterSettings())


def test_a_failed_plugin_leaves_nothing_behind(plugin):
    def half(register):
        register(adapter_spec("half"))
        raise RuntimeError("in the middle")

    fired = []
    bad = plugin(
        "bad", register_adapters=hookimpl(half), on_train_end=hookimpl(lambda run: fired.append("bad"))
    )
    good = plugin("good", on_train_end=hookimpl(lambda run: fired.append("good")))
    plugins = Plugins([bad, good])
    plugins.notify("on_train_end", run=None, state=None)
    assert fired == ["good"]
    assert list(plugins.specs("adapters")) == ["precomputed"]
    assert not plugins.manager.has_plugin("bad")


PORT = (
    "port it, see 'Plugin API 2: what changed' in the reference of anydet's documentation; then state "
    "PLUGIN_API = 2"
)


def test_a_plugin_of_api_1_is_refused_with_the_page_that_says_how_to_port_it_and_the_rest_still_load(
    plugin, source
):
    # As API 1 had it: no PLUGIN_API, and an argument of an event that is gone.
    old = source(
        "old",
        "from anydet.plugins import AdapterSpec, hookimpl\n"
        "@hookimpl\ndef register_adapters(register):\n    register(AdapterSpec('old', 'old:Old', api=1))\n"
        "@hookimpl\ndef on_train_step(run, loss): ...\n",
    )
    plugins = Plugins([old, plugin("good", **registers(adapter_spec("good")))])
    sys.modules.pop("old", None)
    assert [(row.name, row.state) for row in plugins.status] == [("good", "ok"), ("old", "failed")]
    assert plugins.status[1].reason == "it is written for plugin API 1, and this anydet has plugin API 2"
    assert plugins.status[1].fix == PORT
    with pytest.raises(PluginError, match=r"no adapter called 'old'.*failed to load: old: it is written for"):
        plugins.load("adapters", "old")


@pytest.mark.parametrize("stated", [1, 0])
def test_a_plugin_that_states_an_older_api_is_refused(plugin, stated):
    row = only_row(plugin("odd", api=stated, **registers(adapter_spec("odd"))))
    assert row.reason == f"it is written for plugin API {stated}, and this anydet has plugin API 2"
    assert row.fix == PORT


@pytest.mark.parametrize("stated", ["2", None, 2.0, True])
def test_a_plugin_api_that_is_no_whole_number_is_refused(plugin, stated):
    row = only_row(plugin("odd", api=stated, **registers(adapter_spec("odd"))))
    assert (row.reason, row.fix) == (
        f"PLUGIN_API is {stated!r}, not a whole number",
        "state PLUGIN_API = 2",
    )


def test_a_plugin_of_a_later_api_is_refused_with_what_to_install(plugin):
    later = plugin("later", api=API_VERSION + 1, **registers(adapter_spec("later")))
    assert only_row(later).reason == "it is written for plugin API 3, and this anydet has plugin API 2"
    assert only_row(later).fix == "pip install --upgrade anydet"
    with pytest.raises(PluginError) as error:
        _ = Plugins([later], strict=True).status
    assert error.value.fix == "pip install --upgrade anydet"


def test_a_name_of_two_packages_is_refused_and_the_package_chooses(plugin):
    one = plugin("b", **registers(adapter_spec("same"), adapter_spec("other")))
    plugins = Plugins([one, plugin("a", **registers(adapter_spec("same")))])
    assert [(row.name, row.state) for row in plugins.status] == [("a", "ok"), ("b", "ok")]
    assert [row.reason for row in plugins.status] == [
        "adapter 'same' is also one of b: choose a:same",
        "adapter 'same' is also one of a: choose b:same",
    ]
    with pytest.raises(PluginError, match="several packages register the adapter 'same': a, b") as caught:
        plugins.spec("adapters", "same")
    assert caught.value.fix == "choose one: a:same or b:same"
    assert not plugins.has("adapters", "same")
    assert list(plugins.specs("adapters")) == ["precomputed", "a:same", "b:same", "other"]
    for name in ("a", "b"):
        assert plugins.spec("adapters", f"{name}:same").name == "same"
        assert plugins.owner("adapters", f"{name}:same").name == name
    assert plugins.spec("adapters", "b:other") is plugins.spec("adapters", "other")


def test_a_name_registered_twice_by_one_plugin_is_refused(plugin):
    row = only_row(plugin("twice", **registers(adapter_spec("same"), adapter_spec("same"))))
    assert row.reason == "adapter 'same' is registered twice by twice"


def test_one_name_may_stand_for_things_of_two_kinds(plugin):
    both = plugin(
        "both",
        **registers(adapter_spec("tent")),
        **registers(ViewSpec("tent", "plugin_both:Silent"), kind="views"),
    )
    assert only_row(both).provides == ("adapter tent", "view tent")


def test_two_entry_points_of_one_name_do_not_hide_each_other(plugin):
    first = plugin("first", point="same", **registers(adapter_spec("first")))
    second = plugin("second", point="same", **registers(adapter_spec("second")))
    plugins = Plugins([second, first])
    assert [(row.name, row.state) for row in plugins.status] == [("same", "ok"), ("same", "ok")]
    assert list(plugins.specs("adapters")) == ["precomputed", "first", "second"]
    assert [plugins.owner("adapters", name).provides for name in ("first", "second")] == [
        ("adapter first",),
        ("adapter second",),
    ]


def test_the_name_of_core_itself_cannot_be_taken(plugin):
    row = only_row(plugin("impostor", point="anydet", **registers(adapter_spec("impostor"))))
    assert row.state == "failed"


def test_names_of_core_cannot_be_taken(plugin):
    row = only_row(plugin("rival", **registers(EngineSpec("pycocotools", "rival:Engine"), kind="engines")))
    assert row.reason == "engine 'pycocotools' is one of anydet itself; it needs another name"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ViewSpec("flip", "a.b:C"), "register_adapters takes AdapterSpec, got ViewSpec"),
        (AdapterSpec("wild", "a.b:C", capabilities=("fly",)), "unknown capabilities"),
        (AdapterSpec("wild", "a.b.C"), "factory of 'wild' is 'a.b.C'; it must be 'package.module:attribute'"),
        (AdapterSpec("wild", None), "factory of 'wild' is None"),
        (AdapterSpec("wild", "a.b:C", summary=5), "summary of 'wild' is 5; it must be text"),
        (AdapterSpec("wild", "a.b:C", tasks=5), "tasks of 'wild' is 5; it must be a tuple of names"),
        (AdapterSpec("wild", "a.b:C", tasks="detect"), "tasks of 'wild' is 'detect'"),
        (AdapterSpec("wild", "a.b:C", options_schema="x"), "it must be 'package:file', or None"),
        (AdapterSpec("wild", "a.b:C", training_schema=3), "training_schema of 'wild' is 3"),
        (AdapterSpec(5, "a.b:C"), "got the name 5; names are letters"),
        (AdapterSpec("", "a.b:C"), "got the name ''"),
        (AdapterSpec("a b", "a.b:C"), "got the name 'a b'"),
        (AdapterSpec("a:b", "a.b:C"), "got the name 'a:b'"),
        (AdapterSpec("\x1b[31mred", "a.b:C"), r"got the name '\x1b[31mred'"),
        (AdapterSpec("x" * 1000 + " ", "a.b:C"), "x (1001 characters)'; names are"),
        (None, "register_adapters takes AdapterSpec, got NoneType"),
    ],
)
def test_a_malformed_spec_is_refused(plugin, spec, reason):
    row = only_row(plugin("odd", **registers(spec)))
    assert row.state == "failed"
    assert reason in row.reason


def test_anydet_plugins_loads_only_those_and_names_what_is_absent(plugin, monkeypatch):
    points = [plugin(n, **registers(adapter_spec(n))) for n in ("toy", "slow")]
    plugins = Plugins(points, only=["toy", "tyo"])
    assert [(r.name, r.state) for r in plugins.status] == [
        ("slow", "skipped"),
        ("toy", "ok"),
        ("tyo", "failed"),
    ]
    assert plugins.status[0].reason == "not in ANYDET_PLUGINS"
    assert plugins.status[2].reason == "named in ANYDET_PLUGINS but not installed; did you mean 'toy'?"
    with pytest.raises(PluginError, match="did you mean 'toy'"):
        _ = Plugins(points, only=["tyo"], strict=True).status


def test_the_environment_sets_the_same_switches(monkeypatch):
    monkeypatch.setenv("ANYDET_PLUGINS", " ,nothing_of_this_name")
    (row,) = [r for r in Plugins.from_env().status if r.state != "skipped"]
    assert (row.name, row.state) == ("nothing_of_this_name", "failed")
    monkeypatch.setenv("ANYDET_STRICT", "1")
    with pytest.raises(PluginError):
        _ = Plugins.from_env().status
    monkeypatch.setenv("ANYDET_STRICT", "0")
    monkeypatch.setenv("ANYDET_PLUGINS", "")
    assert {r.state for r in Plugins.from_env().status} <= {"skipped"}


def test_trace_prints_every_hook_call_to_stderr(plugin, capsys):
    quiet = Plugins([plugin("good", **registers(adapter_spec("good")))])
    quiet.notify("on_train_end", run="the run", state=None)
    assert capsys.readouterr().err == ""
    loud = Plugins([plugin("good", **registers(adapter_spec("good")))], trace=True)
    loud.notify("on_train_end", run="the run", state=None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "register_adapters [hook]" in captured.err
    assert re.search(r"on_train_end \[hook\]\n +run: '?the run", captured.err)
    assert "finish on_train_end" in captured.err


def test_anydet_trace_switches_tracing_on(monkeypatch, capsys):
    monkeypatch.setenv("ANYDET_TRACE", "1")
    monkeypatch.setenv("ANYDET_PLUGINS", "")
    Plugins.from_env().notify("on_train_end", run=1, state=None)
    assert "on_train_end [hook]" in capsys.readouterr().err


def test_an_unknown_adapter_names_the_known_ones_and_the_plugins_that_failed(plugin):
    broken = EntryPoint("broken", "a_library_that_is_not_here", "anydet")
    plugins = Plugins([plugin("good", **registers(adapter_spec("toy"), adapter_spec("ball"))), broken])
    with pytest.raises(PluginError) as caught:
        plugins.adapter("tyo", AdapterSettings())
    assert caught.value.problem == (
        "no adapter called 'tyo' (known: ball, precomputed, toy); did you mean 'toy'?; failed to load: "
        "broken: ModuleNotFoundError: No module named 'a_library_that_is_not_here'"
    )
    assert caught.value.fix == "run 'anydet adapters list' to see what is installed"


def test_core_comes_first_in_its_own_order(plugin):
    plugins = Plugins([plugin("aaa", **registers(EngineSpec("aaa", "a:B"), kind="engines"))])
    assert list(plugins.specs("engines")) == ["pycocotools", "aaa"]
    assert plugins.owner("engines", "pycocotools") is None
    assert plugins.owner("engines", "aaa").name == "aaa"


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("not_installed_anywhere.adapter:X", "ModuleNotFoundError"),
        ("plugin_lazy:Missing", "AttributeError"),
        ("exits_on_import:X", "SystemExit: 3"),
    ],
)
def test_an_adapter_module_that_cannot_be_imported_is_an_error_with_its_reason(
    plugin, source, factory, reason
):
    source("exits_on_import", "raise SystemExit(3)")
    lazy = plugin("lazy", **registers(AdapterSpec("lazy", factory)))
    with pytest.raises(PluginError, match=f"'lazy' cannot be imported from {factory}: {reason}") as caught:
        Plugins([lazy]).adapter("lazy", AdapterSettings())
    # Only where a module is missing does installing anything help.
    assert ("install" in caught.value.fix) == (reason == "ModuleNotFoundError")
    with pytest.raises((ImportError, AttributeError, SystemExit)):
        Plugins([lazy], strict=True).adapter("lazy", AdapterSettings())


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("fails", "adapter 'odd' cannot be set up: RuntimeError: out of memory"),
        ("number", "returned int, not an Adapter"),
        ("refuses", "^the weights are missing$"),
    ],
)
def test_a_factory_that_fails_is_an_error_and_anydets_own_errors_pass(plugin, attribute, message):
    def fails(settings):
        raise RuntimeError("out of memory")

    def refuses(settings):
        raise PluginError("the weights are missing")

    point = plugin(
        "odd",
        fails=fails,
        refuses=refuses,
        number=lambda settings: 3,
        **registers(AdapterSpec("odd", f"plugin_odd:{attribute}")),
    )
    with pytest.raises(PluginError, match=message):
        Plugins([point]).adapter("odd", AdapterSettings())


def test_what_an_adapter_lacks_is_an_error_that_names_adapters_that_have_it(plugin):
    can = adapter_spec("teacher", capabilities=("predict", "train", "ttt"))
    plugins = Plugins([plugin("good", **registers(adapter_spec("pupil"), can))])
    adapter = plugins.adapter("pupil", AdapterSettings())
    assert adapter.name == "pupil"
    with pytest.raises(UnsupportedError, match=r"'pupil' does not support test-time .*: teacher\)"):
        adapter.class_logits(None)
    with pytest.raises(UnsupportedError, match=r"does not support training \(.*: teacher\)"):
        adapter.train(None)
    with pytest.raises(UnsupportedError, match="no installed adapter does"):
        adapter.export_spec()


def test_a_command_is_found_and_loaded_by_name(plugin):
    point = plugin("good", **registers(CommandSpec("shout", "plugin_good:Silent"), kind="commands"))
    assert Plugins([point]).load("commands", "shout") is Silent


def test_a_command_of_core_needs_no_plugin_unless_all_must_load(plugin, monkeypatch):
    def fail():
        raise RuntimeError("loads")

    bad = plugin("bad", register_commands=lambda register: fail())
    monkeypatch.setattr(bad.__class__, "load", lambda _: fail())
    assert Plugins([bad]).load("commands", "convert").name == "convert"
    with pytest.raises(RuntimeError, match="loads"):
        Plugins([bad], strict=True).load("commands", "convert")


def test_finding_plugins_imports_nothing_heavy():
    code = (
        "import sys, anydet.plugins, anydet.plugins.manager as m; _ = m.Plugins().status;"
        "print(sorted({'numpy', 'torch', 'PIL', 'jsonschema', 'yaml', 'rich', 'click'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def scene_spec(name="rain", **changes):
    return SceneSpec(name, "plugin_wet:Silent", **{"writers": {"yolo": "plugin_wet:Silent"}, **changes})


def test_scenes_are_registered_beside_those_of_core(plugin):
    plugins = Plugins([plugin("wet", **registers(scene_spec(), kind="scenes"))])
    assert list(plugins.specs("scenes")) == ["shapes", "segmentation", "rain"]
    assert plugins.status[0].provides == ("scene rain",)
    assert plugins.import_object(plugins.spec("scenes", "rain").writers["yolo"], "rain") is Silent


WRITERS = (
    "writers of 'rain' is {'yolo': 'write'}; it must be a mapping of formats to 'package.module:function'"
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"writers": 5}, WRITERS.replace("{'yolo': 'write'}", "5")),
        ({"next_step": None}, "next_step of 'rain' is None; it must be text"),
        ({"writers": {}}, "scenes 'rain' have no writers"),
        ({"writers": {"yolo": "write"}}, WRITERS),
    ],
)
def test_scenes_without_a_writer_that_can_be_imported_are_refused(plugin, changes, reason):
    row = only_row(plugin("wet", **registers(scene_spec(**changes), kind="scenes")))
    assert (row.state, row.reason) == ("failed", reason)


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("scenes", "bikes", "anydet-delftbikes"),
        ("scenes", "pose", "anydet-bop"),
        ("evaluators", "delftbikes", "anydet-delftbikes"),
        ("evaluators", "presence", "anydet-delftbikes"),
        ("datasets", "bop", "anydet-bop"),
        ("adapters", "rtdetr_pose", "anydet-rtdetr-pose"),
        ("adapters", "transformers", "anydet-transformers"),
        ("adapters", "torchvision", "anydet-torchvision"),
    ],
)
def test_what_is_not_installed_names_its_package(kind, name, package):
    with pytest.raises(PluginError) as caught:
        Plugins(()).spec(kind, name)
    assert caught.value.fix == f"pip install {package}"


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("scenes", "bike", "bikes"),
        ("evaluators", "presense", "presence"),
        ("evaluators", "pascal", "voc"),
        ("evaluators", "Pascal-VOC", "voc"),
        ("evaluators", "bbox", "coco"),
    ],
)
def test_a_typing_error_names_what_was_meant_and_no_package_of_a_guessed_name(kind, typed, meant):
    with pytest.raises(PluginError, match=f"did you mean '{meant}'") as caught:
        Plugins(()).spec(kind, typed)
    assert caught.value.fix == "run 'anydet plugins list' to see what is installed"


def test_every_scene_of_core_is_built_and_written_in_each_of_its_formats(tmp_path):
    plugins = Plugins(())
    for name, spec in plugins.specs("scenes").items():
        for layout in spec.writers:
            out = tmp_path / name / layout
            scenes = build_scenes(plugins, name, count=2, seed=1, image_wh=(48, 32), split="train")
            written = []
            write_scenes(plugins, name, scenes, out, layout=layout, report=written.append)
            assert len(open_dataset(out, "train")) == sum(written) == 2, (name, layout)
