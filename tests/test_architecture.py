"""Rules about the repository itself. They need no GPU, no torch and no network."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.splitlines()
HEAVY = {"torch", "torchvision", "cv2", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "tensorflow"}


def top_level_imports(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_folder_distribution_import_and_adapter_have_one_name(plugin):
    text = (plugin / "pyproject.toml").read_text("utf-8")
    assert f'name = "anydet-{plugin.name.replace("_", "-")}"' in text
    assert (plugin / "src" / f"anydet_{plugin.name}" / "__init__.py").exists()
    assert f'{plugin.name} = "anydet_{plugin.name}"' in text


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_a_plugin_registers_without_importing_anything_heavy(plugin):
    code = f"import sys, anydet_{plugin.name}; print(sorted(set(sys.modules) & {HEAVY | {'numpy'}!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_the_command_line_starts_without_numpy_rich_packaging_or_torch():
    light = HEAVY | {"numpy", "rich", "PIL", "packaging"}
    code = f"import sys, anydet.cli; print(sorted(set(sys.modules) & {light!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "core/src/anydet/commands").glob("*.py")), ids=lambda p: p.stem
)
def test_command_modules_import_heavy_things_only_in_their_bodies(path):
    assert not top_level_imports(path) & {"numpy", "rich", "torch", "PIL", "msgspec", "pycocotools"}


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.json")), ids=lambda p: p.name)
def test_the_shipped_schema_is_the_one_in_schemas(path):
    shipped = files("anydet") / "schemas" / path.name
    assert shipped.read_text("utf-8") == path.read_text("utf-8")


PUBLISHED = [ROOT / "core", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_package_builds_and_reads_well_without_the_rest_of_the_repository(folder):
    """Not every system has symbolic links, and a package index shows a README without its neighbors."""
    inside = subprocess.run(
        ["git", "ls-files", "-s", "."], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert "120000 " not in inside, "a symbolic link"
    readme = (folder / "README.md").read_text("utf-8")
    assert not re.findall(r"\]\((?!https?://|#)[^)]*\)", readme), "a link that leads nowhere on an index"
    assert len(readme.splitlines()) > 10
    stated = (folder / "pyproject.toml").read_text("utf-8")
    for key in ("description", "readme", "license", "requires-python", "keywords", "classifiers"):
        assert re.search(rf"^{key} = ", stated, re.MULTILINE), key


LONGER_TOOLS = {"run_yolo26_smoke_rtdetr_pose.py"}
"""Scripts that are no names of commands but run several of them."""


TOOLS = [path for path in sorted((ROOT / "tools").glob("*.py")) if path.name not in LONGER_TOOLS]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_tools_are_names_for_commands(path):
    assert len(path.read_text("utf-8").splitlines()) <= 15


def test_ci_runs_what_people_run():
    assert "make test" in (ROOT / ".ci/run").read_text("utf-8")


@pytest.mark.parametrize(
    ("installer", "said"),
    [("exit 1", "no Chromium"), ("works", ""), ("", "")],
    ids=["fails", "works", "is absent"],
)
def test_ci_goes_on_whether_or_not_a_browser_can_be_installed(installer, said, tmp_path):
    commands = {
        "id": "echo 0",
        "make": 'echo "made $1"',
        "timeout": 'shift; "$@"',
        "dirname": 'echo "${1%/*}"',
    }
    if installer:
        commands["apt-get"] = installer.replace("works", 'echo "$1" >> installed')
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\ncd {tmp_path}\n{line}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [shutil.which("bash"), str(ROOT / ".ci/run")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "made test\n"
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)
    tried = tmp_path / "installed"
    assert (tried.read_text().split() if tried.exists() else []) == (
        ["update", "install"] if installer == "works" else []
    )


def test_no_lock_file_with_index_addresses_is_committed():
    assert not [p for p in TRACKED if p.endswith(("uv.lock", "poetry.lock", "Pipfile.lock"))]
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_nothing_committed_names_a_folder_of_somebodys_machine():
    here = re.compile(r"/(?:home|root|work)/\w")
    for name in TRACKED:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".yaml", ""} and path.is_file():
            assert not here.search(path.read_text("utf-8", "ignore").replace(here.pattern, "")), name


def test_every_relative_link_in_the_docs_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_workspace_lists_every_package():
    assert 'members = ["core", "plugins/*"]' in (ROOT / "pyproject.toml").read_text("utf-8")
    makefile, settings = ((ROOT / name).read_text("utf-8") for name in ("Makefile", "pyproject.toml"))
    for plugin in PLUGINS:
        assert f"-e plugins/{plugin.name}" in makefile
        assert settings.count(f'"anydet_{plugin.name}"') >= 3, f"the import rules do not name {plugin.name}"


def module_graph() -> dict[str, set[str]]:
    """Which module of ours imports which; imports for types alone and those in bodies count too."""
    import grimp

    packages = [
        path.name for plugin in PLUGINS for path in (plugin / "src").glob("anydet_*") if path.is_dir()
    ]
    graph = grimp.build_graph("anydet", *packages, include_external_packages=False, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other: Tarjan's strongly connected components of more than one."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_ones: list[str] = []
    found = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        open_ones.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in open_ones:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            at = open_ones.index(name)
            group = sorted(open_ones[at:])
            del open_ones[at:]
            if len(group) > 1:
                found.append(group)

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


@pytest.mark.slow
def test_no_modules_import_each_other_in_a_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    graph = module_graph()
    assert len(graph) > 200
    assert circles(graph) == []


CROSS_CUTTING = {
    "core/tests/evaluation/test_left_out_results.py": "reading and evaluation of left-out results",
    "core/tests/commands/test_prediction_shards.py": "commands read the same folders of files",
    "core/tests/contract/reading/test_result_names.py": "readers and repair join results by the same names",
    "core/tests/contract/test_box_format_given.py": "all commands take the same format of boxes",
    "core/tests/continual/test_rehearsal.py": "settings, data, methods and adapters can be what cannot begin",
    "core/tests/data/test_formats_page.py": "runs each row of the page on formats",
    "core/tests/data/test_odd_exports.py": "all formats meet the same broken files",
    "core/tests/data/test_other_machines.py": "formats meet names that other machines wrote",
    "core/tests/evaluation/test_protocols.py": "VOC, Open Images and oLRP meet the same random problems",
    "core/tests/evaluation/test_whole_images.py": "classes and semantic masks of images have the same rules",
    "core/tests/training/continual/test_together.py": "each method meets each feature of the engine",
    "plugins/rtdetr_pose/tests/test_examples.py": "holds the scripts in examples/",
}
"""Files of tests of no single module, each with its reason."""


def test_tests_are_where_the_modules_are_that_they_test():
    """``test_X.py`` or ``test_X_ASPECT.py`` mirrors module or package ``X``; each plugin runs the kit."""
    rooms = {Path("core/tests"): Path("core/src/anydet")} | {
        Path("plugins", plugin.name, "tests"): Path("plugins", plugin.name, "src", f"anydet_{plugin.name}")
        for plugin in PLUGINS
    }
    found = [Path(name) for name in TRACKED if re.fullmatch(r"(core|plugins/\w+)/tests/.*test_\w+\.py", name)]
    lost = set()
    for path in found:
        room = next(room for room in rooms if room in path.parents)
        folder = ROOT / rooms[room] / path.parent.relative_to(room)
        words = path.stem.split("_")[1:]
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        mirrored = any((folder / name).is_dir() or (folder / f"{name}.py").exists() for name in names)
        if not mirrored and path != room / "test_conformance.py":
            lost.add(path.as_posix())
    assert lost == CROSS_CUTTING.keys()
    assert len(found) > 150


@pytest.mark.slow
def test_text_that_is_not_utf_8_is_met_wherever_malformed_json_of_a_data_set_is():
    """The decoder raises an error of its own kind for it."""
    handlers = {}
    for name in TRACKED:
        if re.fullmatch(r"(core/src/anydet/(data|contract)|plugins/\w+/src)/.*\.py", name):
            for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8"))):
                if (
                    isinstance(node, ast.ExceptHandler)
                    and node.type
                    and "msgspec.DecodeError" in ast.unparse(node.type)
                ):
                    handlers[name, node.lineno] = ast.unparse(node.type)
    assert len(handlers) > 10
    assert [place for place, kinds in handlers.items() if "Unicode" not in kinds] == []


IN_A_NEW_FOLDER = "fills a folder of outputs.new_folder or new_parts"
WRITERS = {
    "anydet_transformers.about": "a temporary file that the library chooses an image processor by",
    "anydet.outputs": "the writer itself",
    "anydet.inputs": "a temporary file of what came through a pipe",
    "anydet.cli": "opens standard streams that were closed",
    "anydet.prediction.spool": "appends chunks, which --resume goes on with",
    "anydet_onnxruntime.quantization.measurements": "appends measurements, which --resume goes on with",
    "anydet.training.runlog.metrics_file": "appends lines",
    "anydet.plugins.folder_cache": "a cache: whoever cannot write it goes without",
    "anydet.testing.checks.adapters.training": "writes into a temporary folder",
    "anydet.testing.checks.datasets": "files that are no data sets, to be tried on",
    "anydet.testing.checks.engines": "small files, to be scanned",
    "anydet.testing.images": "writes into a temporary folder",
    "anydet.data.writing.class_masks": IN_A_NEW_FOLDER,
    "anydet.data.writing.coco": IN_A_NEW_FOLDER,
    "anydet.data.writing.prepare": IN_A_NEW_FOLDER,
    "anydet.data.writing.repair_yolo": IN_A_NEW_FOLDER,
    "anydet.data.writing.voc": IN_A_NEW_FOLDER,
    "anydet.data.writing.yolo": IN_A_NEW_FOLDER,
    "anydet.contract.conversion.tools": IN_A_NEW_FOLDER,
    "anydet.plugins.scaffold": IN_A_NEW_FOLDER,
    "anydet_bop.model_writing": IN_A_NEW_FOLDER,
    "anydet_bop.ply": IN_A_NEW_FOLDER,
    "anydet_bop.posed_yolo": IN_A_NEW_FOLDER,
    "anydet_bop.writing": IN_A_NEW_FOLDER,
}
"""Modules that write files by their path, without ``outputs.new_file``; each with its reason."""


def writes(call):
    """Whether a call writes a file by its path."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = (*call.args, *(keyword.value for keyword in call.keywords))
    modes = [str(one.value) for one in given if isinstance(one, ast.Constant)]
    opens = name == "open" and any(re.fullmatch("[wax]b?|r?b?[+]b?", mode) for mode in modes)
    return opens or name in {"write_text", "write_bytes"}


@pytest.mark.slow
def test_files_are_written_by_one_writer():
    assert writes(ast.parse("path.open('xb')").body[0].value)
    assert not writes(ast.parse("path.open('rb')").body[0].value)
    found = set()
    for name in TRACKED:
        source = re.fullmatch(r"(?:core|plugins/\w+)/src/(anydet\w*/.+)\.py", name)
        tree = ast.parse((ROOT / name).read_text("utf-8")) if source else ast.Module([], [])
        if any(isinstance(node, ast.Call) and writes(node) for node in ast.walk(tree)):
            found.add(source[1].replace("/", "."))
    assert found == WRITERS.keys()
