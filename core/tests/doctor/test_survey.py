"""``anydet doctor``: what it looks at, and when it says that something is broken."""

from __future__ import annotations

import signal
from importlib.metadata import EntryPoint, version

import pytest

from anydet.doctor import survey
from anydet.doctor.survey import folder_finding, package_finding
from anydet.doctor.trial import Trial, run_trial, run_trials
from anydet.plugins.manager import Plugins


def test_what_is_missing_is_broken_where_it_is_required_and_missing_where_it_is_optional(dependency):
    required, optional = (
        package_finding(dependency(f"a-package-nobody-has>=1{marker}"), {})
        for marker in ("", "; extra == 'plot'")
    )
    assert (required.state, optional.state) == ("broken", "missing")


def test_an_installed_package_outside_its_range_is_broken(dependency):
    finding = package_finding(dependency("numpy>=99"), {})
    assert finding.state == "broken"
    assert finding.detail == f"{version('numpy')} is not >=99 (required)"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("print('hello')\nraise OSError('no such library')", "OSError: no such library"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            f"its process died ({signal.strsignal(signal.SIGSEGV)})",
        ),
        (
            "import os, sys\nsys.stderr.write('oh no\\n')\nos._exit(3)",
            "its process died (exit code 3): oh no",
        ),
        ("import sys\nsys.exit('not today')", "SystemExit: not today"),
    ],
)
def test_an_installed_package_whose_import_fails_is_broken_even_where_it_crashes(
    sad, code, detail, dependency
):
    sad.write_text(code)
    trial = Trial("sad_package")
    finding = package_finding(dependency("sad-package>=1"), {trial: run_trial(trial)})
    assert (finding.state, finding.detail) == ("broken", detail)


def test_a_sound_package_is_found_with_its_version_whatever_it_prints(sad, dependency):
    sad.write_text("import os\nprint('hello')\nos.write(1, b'no line end')")
    verdicts = run_trials([Trial("sad_package"), Trial("sad_package")])
    finding = package_finding(dependency("sad-package>=1"), verdicts)
    assert (finding.state, finding.detail) == ("ok", "1.0")


def test_without_a_trial_files_that_are_gone_are_found(sad, dependency):
    wanted = dependency("sad-package>=1")
    assert package_finding(wanted, {}).detail == "1 of its files are missing, such as sad_package.py"
    sad.touch()
    assert package_finding(wanted, {}).state == "ok", "compiled files come and go"


@pytest.mark.slow
def test_every_dependency_of_core_is_found_once_and_works(monkeypatch):
    lines = [line for line in survey.requires("anydet") if "extra" not in line]
    repeated = [*lines, *lines, "anydet[plot]; extra == 'all'"]
    monkeypatch.setattr(survey, "requires", lambda _name: repeated)
    listed = [finding for finding in survey.diagnose(Plugins([])) if finding.group == "package"]
    findings = {finding.name.lower(): finding for finding in listed}
    assert len(listed) == len(findings) == len(lines) + 1
    assert findings["numpy"].detail == version("numpy")
    assert {"anydet", "pillow", "pyyaml"} <= findings.keys()
    assert {finding.state for finding in listed} == {"ok"}


def test_a_folder_that_cannot_be_written_to_says_why(tmp_path):
    assert folder_finding("current", tmp_path).state == "ok"
    finding = folder_finding("current", tmp_path / "absent")
    assert finding.state == "unavailable"
    assert "No such file or directory" in finding.detail


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin with an engine whose factory raises, and an adapter without a module."""
    (tmp_path / "half_engine.py").write_text(
        "from anydet.plugins import AdapterSpec, EngineSpec, hookimpl\nPLUGIN_API = 2\n"
        "@hookimpl\ndef register_engines(register):\n"
        "    register(EngineSpec('half', 'half_engine:build', 'half an engine', priority=9))\n"
        "@hookimpl\ndef register_adapters(register):\n"
        "    register(AdapterSpec('half', 'half_engine.adapter:Half'))\n"
        "def build():\n    raise OSError('no such library')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Plugins([EntryPoint("half", "half_engine", "anydet")])


@pytest.mark.slow
@pytest.mark.usefixtures("few_packages")
def test_an_engine_that_cannot_be_built_is_broken(plugin):
    findings = {(f.group, f.name): f for f in survey.diagnose(plugin)}
    assert findings["engine", "half"].state == "broken"
    assert findings["engine", "half"].detail == "OSError: no such library"
    assert findings["engine", "pycocotools"].state == "ok"


@pytest.mark.usefixtures("few_packages")
def test_quick_finds_modules_that_are_not_there_and_imports_nothing(plugin, monkeypatch):
    monkeypatch.setattr(survey, "run_trials", lambda *_: pytest.fail("it imports"))
    findings = {(f.group, f.name): f for f in survey.diagnose(plugin, quick=True)}
    assert findings["adapter", "half"].state == "broken"
    assert findings["adapter", "precomputed"].state == "ok"
    assert findings["engine", "half"].detail == "default, half an engine"
    assert ("device", "cuda") not in findings
