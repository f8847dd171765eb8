"""Every compiled entry point takes any argument: a result or an exception, never a crash.

The sieges build the modules with the sanitizers for addresses and undefined behavior and the assertions of
the C++ library, and once more with that for threads, each into a folder of its own, and put them in place of
the installed ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = Path(__file__).parents[1]
FUZZ, CORPUS = PLUGIN / "fuzz/arguments.py", PLUGIN / "fuzz/corpus"
CASES, SIEGE = 2_000, 50_000
RACED = 5_000
ADDRESS = (
    "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all"
)
THREAD = "-O1 -g -fno-omit-frame-pointer -fsanitize=thread"
FINDER = """
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

class Sanitized:
    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, module = name.rpartition(".")
        found = list(Path({build!r}).glob(module + ".*so")) if package == "anydet_fasteval" else []
        return spec_from_file_location(name, found[0]) if found else None

sys.meta_path.insert(0, Sanitized)
"""


def run(*args: str | Path, **env: str) -> str:
    """Both outputs of this Python; it must end well."""
    command = [sys.executable, *map(str, args)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **env},
        cwd=ROOT,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def assert_all_entry_points_took_and_refused(report: str) -> None:
    rows = [line.split() for line in report.splitlines()]
    assert len(rows) >= 15
    for name, _, taken, _, refused in rows:
        assert int(taken) > 0, name
        assert int(refused) > 0, name


@pytest.mark.slow
def test_any_arguments_give_a_result_or_an_exception() -> None:
    assert_all_entry_points_took_and_refused(run(FUZZ, CASES, "1", CORPUS))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the modules with the first two sanitizers."""
    environment = build(tmp_path_factory, f"{ADDRESS} -D_GLIBCXX_ASSERTIONS", "libasan.so")
    # Python leaves memory behind on purpose; an absurd size is a MemoryError as it is without sanitizers.
    environment["ASAN_OPTIONS"] = "detect_leaks=0:allocator_may_return_null=1"
    environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return environment


@pytest.fixture(scope="module")
def threads_watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the modules with the sanitizer of threads."""
    environment = build(tmp_path_factory, THREAD, "libtsan.so")
    # Into a file, as pytest keeps what a test prints, which is lost where the sanitizer ends the process.
    report = tmp_path_factory.mktemp("report") / "tsan"
    environment["TSAN_OPTIONS"] = f"halt_on_error=1:allocator_may_return_null=1:log_path={report}"
    return environment


def reports(threads_watched: dict[str, str]) -> str:
    """What the sanitizer of threads has said so far."""
    report = Path(threads_watched["TSAN_OPTIONS"].rpartition("log_path=")[2])
    return "\n".join(path.read_text(errors="replace") for path in sorted(report.parent.iterdir()))


def build(tmp_path_factory: pytest.TempPathFactory, flags: str, runtime: str) -> dict[str, str]:
    """The modules, compiled with a sanitizer, and the environment in which they are imported."""
    for program in ("cmake", "c++", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if find_spec("nanobind") is None:
        pytest.skip("nanobind is not installed")
    build, start = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("start")
    configure = [
        "cmake",
        "-S",
        PLUGIN,
        "-B",
        build,
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DSKBUILD_PROJECT_VERSION=0",
    ]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_CXX_FLAGS={flags}"]
    for command in (configure, ["cmake", "--build", build, "-j", "2"]):
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (start / "sitecustomize.py").write_text(FINDER.format(build=str(build)))
    # The runtime of the sanitizers must be there first, and find the C++ library's exceptions.
    paths = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in (runtime, "libstdc++.so")
    ]
    if not Path(paths[0]).is_file():
        pytest.skip(f"{runtime} is not installed")
    return {"PYTHONPATH": str(start), "LD_PRELOAD": ":".join(paths), "OMP_NUM_THREADS": "1"}


@pytest.mark.soak
def test_the_sanitizers_find_nothing_in_any_arguments(sanitized: dict[str, str]) -> None:
    assert_all_entry_points_took_and_refused(run(FUZZ, SIEGE, "2", CORPUS, **sanitized))


@pytest.mark.soak
def test_the_sanitizers_find_nothing_in_the_tests_of_the_engine_and_the_scanner(
    sanitized: dict[str, str],
) -> None:
    assert " passed" in run_tests_of_the_modules(**sanitized)


def run_tests_of_the_modules(**env: str) -> str:
    here = Path(__file__).parent
    others = sorted(path for path in here.glob("test_*.py") if path.name != Path(__file__).name)
    users = [ROOT / "core/tests/evaluation/test_engines.py", ROOT / "core/tests/evaluation/test_coco_lvis.py"]
    return run("-m", "pytest", "-q", "-m", "not soak", "-p", "no:xdist", *others, *users, **env)


@pytest.mark.soak
def test_threads_of_the_modules_race_for_nothing(threads_watched: dict[str, str]) -> None:
    try:
        # A call is made again with three threads.
        assert_all_entry_points_took_and_refused(run(FUZZ, RACED, "4", CORPUS, "0", **threads_watched))
        assert " passed" in run_tests_of_the_modules(**threads_watched)
    finally:
        print(reports(threads_watched))  # noqa: T201 - shown where the test fails


@pytest.mark.soak
def test_a_race_would_be_found(threads_watched: dict[str, str]) -> None:
    # Arrays that a caller changes during a call are a race indeed, which the modules only survive.
    command = [sys.executable, FUZZ, "200", "5", CORPUS, "1"]
    environment = {**os.environ, **threads_watched}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", env=environment, cwd=ROOT
    )
    assert done.returncode != 0
    assert "ThreadSanitizer: data race" in reports(threads_watched)


@pytest.mark.soak
def test_the_development_mode_of_python_finds_nothing() -> None:
    run("-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", FUZZ, CASES, "3", CORPUS)
