"""The documentation site, built as `make docs` builds it, read as a stranger reads it."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from documents import ROOT, documents

import boltzformer

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
pytestmark = pytest.mark.slow

MOST_MB = 15


class Page(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: list[str] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "a" and told.get("href"):
            self.links.add(str(told["href"]).split("#")[0])
        if tag in ("script", "img", "iframe", "source", "video", "audio") and told.get("src"):
            self.loaded.append(str(told["src"]))
        if tag == "link" and told.get("href") and told.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(str(told["href"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
    ]
    done = subprocess.run(
        [*command, "--site-dir", str(place)],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_it_is_small_and_loads_nothing_from_elsewhere(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < MOST_MB * 1e6
    for file in site.rglob("*.html"):
        page = Page(file)
        assert [place for place in page.loaded if re.match(r"(https?:)?//", place)] == [], file.name
    for file in site.rglob("*.css"):
        assert re.findall(r"url\(\s*['\"]?(?:https?:)?//", file.read_text("utf-8")) == [], file.name


def test_its_search_works_in_a_folder(site: Path) -> None:
    """Where a browser gives no worker and reads no JSON beside a page."""
    assert (site / "search" / "search_index.js").read_text("utf-8").startswith("var __index = ")
    assert "assets/iframe-worker.js" in Page(site / "index.html").loaded


def test_every_page_is_two_clicks_away_and_every_link_leads_somewhere(site: Path) -> None:
    near, seen = {site / "index.html"}, {site / "index.html"}
    for _ in range(2):
        near = {
            (page.parent / link).resolve()
            for page in near
            for link in Page(page).links
            if link.endswith(".html") and "://" not in link
        } - seen
        assert all(page.is_file() for page in near), [page for page in near if not page.is_file()]
        seen |= near
    pages = {file for file in site.rglob("*.html") if file.name != "404.html"}
    assert pages - seen == set()
    assert len(pages) > 25


def test_every_document_is_a_page_and_what_is_made_from_the_program_is_full(site: Path) -> None:
    for document in documents():
        if document.is_relative_to(ROOT / "docs"):
            assert (site / document.relative_to(ROOT / "docs")).with_suffix(".html").is_file()
    commands = (site / "reference/commands.html").read_text("utf-8")
    for name in ("--lesson-slices", "boltzformer dataset export", "boltzformer mcp", "--token-file"):
        assert name in commands
    api = (site / "reference/api.html").read_text("utf-8")
    public = set(boltzformer.__all__) - {"__version__", "io"}
    assert [name for name in sorted(public) if not re.search(rf'id="boltzformer\.(errors\.)?{name}"', api)] == []
    assert 'id="boltzformer.Session.connect"' in api
    http = (site / "reference/http.html").read_text("utf-8")
    assert "POST /v1/jobs/segment" in http
    assert "SegmentRequest" in http
    assert (site / "reference/openapi.json").is_file()
