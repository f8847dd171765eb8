"""Whatever happens to the cache or to the folders, the entry points are those that a fresh look finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from binascii import crc32

import pytest

from anydet.plugins import discovery
from anydet.plugins.discovery import find_points
from anydet.plugins.folder_cache import FolderCache

HOUR_NS = 3600 * 10**9


class Site:
    """A folder of installed packages, and a cache."""

    def __init__(self, root):
        self.root, self.file = root / "site", root / "cache" / "anydet" / "folders.json"
        self.root.mkdir()
        self.clock = time.time_ns() - 1000 * HOUR_NS
        self.install("toy-1.0.dist-info")

    def install(self, record, name="toy", folder=None):
        """A package of one entry point; time goes on by an hour."""
        record = (folder or self.root) / record
        record.mkdir(parents=True, exist_ok=True)
        (record / "entry_points.txt").write_text(f"[anydet]\n{name} = {name}_package\n")
        self.settle(record / "entry_points.txt", record.parent)

    def settle(self, *paths):
        """All of them were changed now, an hour after the last change."""
        self.clock += HOUR_NS
        for path in paths:
            os.utime(path, ns=(self.clock, self.clock))

    def find(self, *folders):
        """Names and versions, by a process of its own as far as the cache can tell."""
        path = [str(folder) for folder in folders or (self.root,)]
        found = find_points("anydet", path, FolderCache(self.file))
        assert found == find_points("anydet", path), "a fresh look finds the same"
        return [(point.name, point.version) for point in found]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_folders_are_read_once(site, monkeypatch):
    assert site.find() == [("toy", "1.0")]
    known = find_points("anydet", [str(site.root)])
    monkeypatch.setattr(discovery, "_packages", lambda *_: pytest.fail("looks again"))
    assert find_points("anydet", [str(site.root)], FolderCache(site.file)) == known


def test_a_package_that_is_installed_upgraded_or_removed_is_seen_at_once(site):
    assert site.find() == [("toy", "1.0")]
    site.install("new-0.1.dist-info", "new")
    assert site.find() == [("new", "0.1"), ("toy", "1.0")]
    shutil.move(site.root / "toy-1.0.dist-info", site.root / "toy-1.1.dist-info")
    site.settle(site.root)
    assert site.find() == [("new", "0.1"), ("toy", "1.1")]
    shutil.rmtree(site.root / "new-0.1.dist-info")
    site.settle(site.root)
    assert site.find() == [("toy", "1.1")]
    shutil.rmtree(site.root)
    assert site.find() == []


def test_entry_points_written_over_beside_their_sources_are_seen(site):
    (site.root / "mine.egg-info").mkdir()
    site.settle(site.root)
    assert site.find() == [("toy", "1.0")]
    before = site.root.stat().st_mtime_ns
    (site.root / "mine.egg-info" / "entry_points.txt").write_text("[anydet]\nmine = mine\n")
    assert site.root.stat().st_mtime_ns == before, "the folder itself did not change"
    assert site.find() == [("mine", "?"), ("toy", "1.0")]


def test_another_order_of_folders_is_seen(site):
    other = site.root.parent / "other"
    site.install("toy-2.0.dist-info", folder=other)
    assert site.find(site.root, other) == [("toy", "1.0")]
    assert site.find(other, site.root) == [("toy", "2.0")]


def test_a_folder_that_changed_just_now_is_not_remembered(site):
    now = time.time_ns()
    os.utime(site.root, ns=(now, now))
    assert site.find() == [("toy", "1.0")]
    # A second change within one step of the file system's clock
    shutil.rmtree(site.root / "toy-1.0.dist-info")
    os.utime(site.root, ns=(now, now))
    assert site.find() == []


def sealed(content):
    return b"%08x %b" % (crc32(content), content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"garbage",
        lambda text: text[:-20],
        lambda text: text.replace(b"1.0", b"6.6"),
        lambda text: sealed(b"not JSON"),
        lambda text: sealed(json.dumps([0, json.loads(text[9:])[1]]).encode()),
    ],
    ids=["empty", "garbage", "cut off", "changed", "no JSON", "of another layout"],
)
def test_a_damaged_cache_is_written_again(site, damage):
    site.find()
    whole = site.file.read_bytes()
    site.file.write_bytes(damage(whole))
    assert site.find() == [("toy", "1.0")]
    assert site.file.read_bytes() == whole


def test_a_cache_of_another_user_is_not_read(site, monkeypatch):
    site.find()
    content = json.loads(site.file.read_bytes()[9:])
    content[1][str(site.root)][2]["toy"][0][1] = "elsewhere"
    site.file.write_bytes(sealed(json.dumps(content).encode()))
    monkeypatch.setattr(os, "geteuid", lambda: site.file.stat().st_uid + 1)
    assert [point.value for point in find_points("anydet", [str(site.root)], FolderCache(site.file))] == [
        "toy_package"
    ]


@pytest.mark.parametrize("blocked", ["cache", "cache/anydet", "cache/anydet/folders.json"])
def test_a_cache_that_cannot_be_written_costs_only_time(site, blocked):
    path = site.root.parent / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    if path == site.file:
        path.mkdir()  # a folder in the way of the file
    else:
        path.write_text("a file in the way of a folder")
    assert site.find() == [("toy", "1.0")]
    assert site.find() == [("toy", "1.0")]
    assert not list(site.root.parent.rglob("folders.[0-9]*")), "no draft is left"


def test_the_oldest_folders_are_forgotten(site):
    folders = [site.root.parent / str(number) for number in range(120)]
    for folder in folders:
        folder.mkdir()
        site.settle(folder)
    site.find(*folders)
    kept = json.loads(site.file.read_bytes()[9:])[1]
    assert list(kept) == [str(folder) for folder in folders[-100:]]


def test_where_the_cache_is(monkeypatch, tmp_path):
    def file():
        return FolderCache.of_user()._file

    monkeypatch.setenv("ANYDET_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert file() == tmp_path / "anydet" / "folders.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert file() is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert file() == tmp_path / ".cache" / "anydet" / "folders.json"
    monkeypatch.setenv("ANYDET_CACHE", "0")
    assert file() is None


RUN = """
import sys
from anydet.plugins.manager import Plugins
for _ in range(int(sys.argv[1])):
    print(sorted(row.name for row in Plugins().status if row.name.startswith("other")))
"""


def start(site, *folders, times=1, **environment):
    path = os.pathsep.join(map(str, folders))
    environment = {**os.environ, "ANYDET_CACHE": "1", "XDG_CACHE_HOME": str(site.root.parent / "cache")} | {
        "PYTHONPATH": path,
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(times)], env=environment, stdout=subprocess.PIPE, text=True
    )


def lines(process):
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return text.splitlines()


@pytest.mark.slow
def test_processes_that_write_at_a_time_all_find_theirs(site):
    folders = [site.root.parent / f"path{number}" for number in range(4)]
    for number, folder in enumerate(folders):
        site.install(f"other{number}-1.0.dist-info", f"other{number}", folder)
    running = [start(site, folder, times=20) for folder in folders]
    for number, process in enumerate(running):
        assert lines(process) == [f"['other{number}']"] * 20
    assert FolderCache(site.file)._entries, "the file is whole"


@pytest.mark.slow
def test_a_changed_pythonpath_is_seen(site):
    folder = site.root.parent / "extra"
    site.install("other-1.0.dist-info", "other", folder)
    assert [lines(start(site, *path)) for path in ((folder,), (), (folder,))] == [
        ["['other']"],
        ["[]"],
        ["['other']"],
    ]


def test_the_cache_can_be_switched_off(site):
    assert lines(start(site, ANYDET_CACHE="0")) == ["[]"]
    assert not site.file.exists()
    assert lines(start(site)) == ["[]"]
    assert site.file.exists()


HOOKS = """
from anydet.plugins import CommandSpec, EngineSpec, hookimpl
print("imported {name}")
PLUGIN_API = 2

@hookimpl
def register_{kind}s(register):
    register({spec}("{registered}", "{name}:it"))
"""


@pytest.fixture
def packages(site):
    """Two plugins of one hook each, an hour old, on a path of their own."""
    folder = site.root.parent / "packages"

    def write(name, kind, registered=None):
        spec = {"engine": "EngineSpec", "command": "CommandSpec"}[kind]
        (folder / name).mkdir(parents=True, exist_ok=True)
        text = HOOKS.format(name=name, kind=kind, spec=spec, registered=registered or name)
        (folder / name / "__init__.py").write_text(text)
        site.install(f"{name}-1.0.dist-info", name, folder)
        (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(f"[anydet]\n{name} = {name}\n")
        site.settle(folder / name / "__init__.py", *folder.glob("*.dist-info/entry_points.txt"), folder)

    write("other_engine", "engine")
    write("other_command", "command")
    write.folder = folder
    return write


ASK = """
import sys
from anydet.plugins.manager import Plugins
plugins = Plugins()
for kind in sys.argv[1:]:
    print(kind, sorted(n for n in plugins.specs(kind) if n.startswith(("other", "same"))))
"""


def ask(site, packages, *kinds):
    """What is registered, and which of the two plugins were imported for it."""
    environment = {
        **os.environ,
        "ANYDET_CACHE": "1",
        "XDG_CACHE_HOME": str(site.root.parent / "cache"),
        "PYTHONPATH": str(packages.folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, *kinds], env=environment, capture_output=True, text=True, check=True
    )
    imported = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("imported other")]
    return done.stdout.splitlines(), imported


@pytest.mark.slow
def test_only_plugins_whose_hook_is_asked_for_are_imported(site, packages):
    assert ask(site, packages, "engines") == (["engines ['other_engine']"], ["other_command", "other_engine"])
    assert ask(site, packages, "engines") == (["engines ['other_engine']"], ["other_engine"])
    assert ask(site, packages, "commands") == (["commands ['other_command']"], ["other_command"])
    assert ask(site, packages, "views") == (["views []"], [])


@pytest.mark.slow
def test_a_plugin_that_implements_another_hook_than_before_is_seen(site, packages):
    ask(site, packages, "engines")
    packages("other_command", "engine")
    assert ask(site, packages, "engines")[0] == ["engines ['other_command', 'other_engine']"]
    assert ask(site, packages, "commands")[0] == ["commands []"]


@pytest.mark.slow
def test_a_plugin_whose_hooks_moved_to_another_module_of_it_is_seen(site, packages):
    hooks = packages.folder / "other_command" / "hooks.py"
    init = packages.folder / "other_command" / "__init__.py"
    hooks.write_text(init.read_text())
    init.write_text("from other_command.hooks import *\nPLUGIN_API = 2\n")
    site.settle(hooks, init)
    assert ask(site, packages, "views")[0] == ["views []"]
    assert ask(site, packages, "views")[1] == []
    hooks.write_text(
        hooks.read_text()
        .replace("CommandSpec(", "EngineSpec(")
        .replace("register_commands", "register_engines")
    )
    assert ask(site, packages, "engines")[0] == ["engines ['other_command', 'other_engine']"]


@pytest.mark.slow
def test_two_plugins_of_one_name_are_found_whatever_is_asked_for_first(site, packages):
    packages("other_command", "engine", registered="same")
    ask(site, packages, "views")
    packages("other_engine", "engine", registered="same")
    # Nothing is known of the second any more, so that the first is loaded before it.
    for kinds in (["views"], ["commands", "engines"]):
        lines, imported = ask(site, packages, *kinds)
        assert imported == ["other_command", "other_engine"]
    assert lines == ["commands []", "engines ['other-command:same', 'other-engine:same']"]
