"""Buttons to the repository and to Binder: with an address they lead there, without one there are none."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/example/ebmlearn"


@pytest.fixture
def build(tmp_path):
    """Build a book of one chapter with the book's own settings, and return the page."""

    def page(url: str) -> str:
        config = (ROOT / "_config.yml").read_text(encoding="utf-8")
        assert config.count('url: ""') == 1  # the one place
        (tmp_path / "_config.yml").write_text(config.replace('url: ""', f'url: "{url}"'), encoding="utf-8")
        (tmp_path / "_toc.yml").write_text(
            "format: jb-book\nroot: book/intro\nchapters:\n- file: book/01_x.ipynb\n"
        )
        book = tmp_path / "book"
        book.mkdir()
        for name in ("_ext", "_inv", "_static", "references.bib"):
            (book / name).symlink_to(ROOT / "book" / name)
        (book / "intro.md").write_text("# A book\n\nText.\n")
        cells = [nbformat.v4.new_markdown_cell("# 1 X"), nbformat.v4.new_code_cell("1")]
        language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), book / "01_x.ipynb")
        subprocess.run(
            [str(Path(sys.executable).with_name("jupyter-book")), "build", "-W", "-q", str(tmp_path)],
            check=True,
        )
        return (tmp_path / "_build" / "html" / "book" / "01_x.html").read_text(encoding="utf-8")

    return page


def links(page: str) -> list[str]:
    return re.findall(r'href="(https?://[^"]*(?:github|mybinder|executablebooks)[^"]*)"', page)


@pytest.mark.slow
def test_without_an_address_there_are_no_buttons(build):
    page = build("")
    assert links(page) == []
    assert "dropdown-launch-buttons" not in page and "dropdown-source-buttons" not in page


@pytest.mark.slow
def test_with_an_address_each_button_leads_there(build):
    found = links(build(ADDRESS))
    assert ADDRESS in found
    assert (
        f"{ADDRESS}/issues/new?title=Issue%20on%20page%20%2Fbook/01_x.html&body=Your%20issue%20content%20here."
        in found
    )
    assert "https://mybinder.org/v2/gh/example/ebmlearn/main?urlpath=lab/tree/book/01_x.ipynb" in found
    assert all("example/ebmlearn" in link for link in found), found
