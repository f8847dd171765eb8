"""How mkdocs reads this repository: navigation, pages outside of docs/, their links, and live reports.

Markdown stays as GitHub shows it. What mkdocs wants otherwise is changed here, while the site is built.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
LIVE = re.compile(r"<!-- live: (\S+) (.+?) -->")
"""Where a page links a file that its commands write: its name and the words of the link."""
TITLE = re.compile(r"title=(\S+)")
OUTSIDE = {
    **{f"plugins/{path.parent.name}/README.md": path for path in sorted(ROOT.glob("plugins/*/README.md"))},
    "CHANGELOG.md": ROOT / "CHANGELOG.md",
    **{str(path.relative_to(ROOT)): path for path in sorted(ROOT.glob("core/src/anydet/schemas/**/*.json"))},
}
"""Files of the repository that pages link, though they are not in docs/, by their path from the root."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the navigation from the index of the documentation."""
    config.nav = [{"Home": "README.md"}, *navigation(INDEX.read_text("utf-8"))]
    return config


def navigation(index: str) -> list[dict[str, Any]]:
    """Sections (``##``) and groups (``###``) with the links that begin the items of their lists.

    A section whose only page is one link is that page.

    Raises:
        PluginError: a page is listed twice, or is not in the site.
    """
    tree: list[dict[str, Any]] = []
    items: list[Any] = []
    seen: set[str] = set()
    for line in index.splitlines():
        if heading := re.match(r"(###?) (.+)", line):
            group: list[Any] = []
            (tree if heading[1] == "##" else next(iter(tree[-1].values()))).append({heading[2]: group})
            items = group
        elif link := re.match(r"- \[(.+?)\]\(([^)#]+)\)", line):
            path = site_path(posixpath.normpath(posixpath.join("docs", link[2])))
            if path in seen:
                raise PluginError(f"docs/README.md lists '{path}' twice; a page has one place")
            seen.add(path)
            items.append({link[1]: path})
    return [{title: alone(title, pages) for title, pages in section.items()} for section in tree]


def alone(title: str, pages: list[Any]) -> Any:
    """The path of the only page of a section, or its pages."""
    (path,) = pages[0].values() if len(pages) == 1 else (None,)
    return path if isinstance(path, str) else pages


def site_path(path: str) -> str:
    """Where a file of the repository is in the site's tree, from its path in the repository.

    Raises:
        PluginError: it is not in the site.
    """
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return path
    if path in OUTSIDE:
        return re.sub(r"/README\.md$", ".md", path)
    raise PluginError(f"'{path}' is linked and is not in the site; name it in OUTSIDE of docs/site/hooks.py")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is outside of docs/, and the files that commands of pages write."""
    for path, source in OUTSIDE.items():
        files.append(File.generated(config, site_path(path), abs_src_path=str(source)))
    for page in sorted(DOCS.glob("**/*.md")):
        text = page.read_text("utf-8")
        if wanted := [name for name, _ in LIVE.findall(text)]:
            for name, made in write_live(text, wanted):
                path = posixpath.join(page.parent.relative_to(DOCS).as_posix(), live_path(page.stem, name))
                files.append(File.generated(config, posixpath.normpath(path), content=made))
    return files


def live_path(stem: str, name: str) -> str:
    """Where a file that a page's commands write is, from that page."""
    return f"{stem}/{name}"


def write_live(page: str, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """Run the bash blocks of a page in an empty folder, beside its titled blocks, and give the files wanted.

    Raises:
        PluginError: a command fails, or a file is not written.
    """
    blocks = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        for _, attributes, text in blocks:
            if title := TITLE.search(attributes):
                Path(folder, title[1]).write_text(text, "utf-8")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "".join(text for kind, _, text in blocks if kind == "bash")],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        missing = [name for name in wanted if not Path(folder, name).is_file()]
        if done.returncode or missing:
            raise PluginError(
                f"commands of a page exit with {done.returncode}; missing: {missing}\n{done.stdout}"
            )
        for name in wanted:
            yield name, Path(folder, name).read_bytes()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write links and the attributes of code blocks as mkdocs reads them."""
    here = repository_path(page.file)
    markdown = re.sub(r"^```(\w+) (.+)$", _fence, markdown, flags=re.MULTILINE)
    markdown = re.sub(r"\]\((?!#|\w+:)([^)\s#]+)", lambda link: f"]({_relative(link[1], here)}", markdown)
    stem = Path(page.file.src_uri).stem
    return LIVE.sub(lambda live: f"[{live[2]}]({live_path(stem, live[1])}){{ .md-button }}", markdown)


def repository_path(file: File) -> str:
    """Where a file of the site is in the repository."""
    source = file.abs_src_path
    return Path(source).relative_to(ROOT).as_posix() if source else f"docs/{file.src_uri}"


def _relative(link: str, here: str) -> str:
    """A link of a page of the repository, as it is in the site's tree."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
    return posixpath.relpath(site_path(target), posixpath.dirname(site_path(here)) or ".")


def _fence(fence: re.Match[str]) -> str:
    """The first line of a code block: a title as mkdocs has it, and nothing of what tests alone read."""
    title = TITLE.search(fence[2])
    return f"```{fence[1]}" + (f' title="{title[1]}"' if title else "")
