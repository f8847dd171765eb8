"""The documentation site: built with warnings as errors, and read from a folder without any network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_site_hooks", ROOT / "docs/site/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs-site` builds it; a dead link, a dead anchor and a page in no list are errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANYDET_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_navigation_is_the_index_with_its_sections_and_groups(hooks):
    index = (
        "# T\n\n## How-to\n\n### Data\n\n- [A](how-to/a.md): words\n\n## Gallery\n\n- [Pictures](g.md) too\n"
    )
    assert hooks.navigation(index) == [{"How-to": [{"Data": [{"A": "how-to/a.md"}]}]}, {"Gallery": "g.md"}]


def test_a_page_that_the_index_lists_twice_is_refused(hooks):
    with pytest.raises(hooks.PluginError, match=r"how-to/a\.md"):
        hooks.navigation("## X\n\n- [A](how-to/a.md)\n- [B](how-to/b.md)\n\n## Y\n\n- [C](how-to/a.md)\n")


def test_a_link_to_a_file_that_is_not_in_the_site_is_refused(hooks):
    assert hooks.site_path("plugins/toy/README.md") == "plugins/toy.md"
    assert hooks.site_path("docs/how-to/a.md") == "how-to/a.md"
    with pytest.raises(hooks.PluginError, match=r"core/pyproject\.toml"):
        hooks.site_path("core/pyproject.toml")


def test_a_command_of_a_live_page_that_fails_ends_the_build(hooks):
    assert list(hooks.write_live("```bash\necho a > b.html\n```\n", ["b.html"])) == [("b.html", b"a\n")]
    with pytest.raises(hooks.PluginError, match="exit with 1"):
        list(hooks.write_live("```bash\ntouch b.html\nfalse\n```\n", ["b.html"]))
    with pytest.raises(hooks.PluginError, match=r"missing: \['b\.html'\]"):
        list(hooks.write_live("```bash\ntrue\n```\n", ["b.html"]))


class Loads(HTMLParser):
    """What a page makes the browser load, links that a reader follows left out."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note addresses of scripts, styles, pictures and frames."""
        self.found += [v for k, v in attrs if k == "src" or (k == "href" and tag == "link")]


@pytest.mark.slow
def test_no_page_loads_anything_of_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        outside = [
            address for address in Loads(page.read_text("utf-8")).found if re.match(r"(\w+:)?//", address)
        ]
        assert not outside, f"{page.relative_to(site)}: {outside}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(\w+:)?//", style.read_text("utf-8")), style


@pytest.mark.slow
def test_the_site_opens_from_a_folder_and_its_search_finds_pages(site, browser):
    complaints = []
    with browser.new_context(offline=True) as context:
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith("file:") or complaints.append(sent.url))
        page.goto((site / "index.html").as_uri())
        page.locator(".md-search__input").press_sequentially("TIDE")
        found = page.locator("a.md-search-result__link[href*='find-what-a-model-gets-wrong']").first
        found.click()
        page.wait_for_url("**/find-what-a-model-gets-wrong.html*")
        assert page.locator("h1").inner_text().startswith("Find what a model gets wrong")
    assert not complaints
