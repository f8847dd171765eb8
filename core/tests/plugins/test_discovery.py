from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distributions, entry_points

import pytest

from anydet.plugins.discovery import find_points


def install(folder, record, text):
    (folder / record).mkdir(parents=True)
    (folder / record / "entry_points.txt").write_text(text)


@pytest.mark.parametrize("group", ["anydet", "console_scripts", "pytest11"])
def test_the_points_of_this_environment_are_those_of_importlib_metadata(group):
    # Without extras, which packaging tools ignore, too.
    expected = {(p.name, p.value.partition("[")[0].replace(" ", "")) for p in entry_points(group=group)}
    assert {(p.name, p.value.replace(" ", "")) for p in find_points(group)} == expected
    assert expected


def test_distributions_and_versions_are_those_of_importlib_metadata():
    versions = {d.metadata["Name"]: d.version for d in distributions()}
    for point in find_points("anydet"):
        assert versions[point.distribution] == point.version


def test_the_first_package_of_a_name_on_the_path_wins(tmp_path):
    install(tmp_path / "a", "an_adapter-2.0.dist-info", "[anydet]\nnew = an_adapter\n")
    install(tmp_path / "b", "An.Adapter-1.0.egg-info", "[anydet]\nold = an_adapter\n")
    install(
        tmp_path / "b",
        "other-1.0-py3.11.egg-info",
        "[x]\nno = y\n[anydet]\n# a = b\nit = mod : thing.part [extra]\n",
    )
    found = find_points("anydet", [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "absent")])
    assert [tuple(point) for point in found] == [
        ("new", "an_adapter", "an-adapter", "2.0"),
        ("it", "mod:thing.part", "other", "1.0"),
    ]


def test_a_point_loads_what_it_names(tmp_path):
    install(tmp_path, "x-1.dist-info", "[g]\na = os\nb = os.path:join\n")
    assert [point.load() for point in find_points("g", [str(tmp_path)])] == [os, os.path.join]


def test_packages_in_zip_files_are_found_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr(
            "packed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n"
        )
        archive.writestr("packed-1.0.dist-info/entry_points.txt", "[anydet]\npacked = packed_plugin\n")
    code = "from anydet.plugins.discovery import find_points; print([p.name for p in find_points('anydet')])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packed.zip")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "'packed'" in done.stdout


def test_finding_plugins_imports_no_e_mail_parser():
    code = (
        "import sys; from anydet.plugins.manager import Plugins; Plugins.from_env().specs('engines'); "
        "print('email' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
