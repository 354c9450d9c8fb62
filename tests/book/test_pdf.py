"""`make pdf`: what it says where something is missing; a page without typeset formulas is refused."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pdf
import pytest

PAGE = """<html><head><script>
window.MathJax = { startup: { promise: Promise.resolve() } };
</script></head><body><h1>A book</h1>%s</body></html>"""


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs a browser; none of chromium, .* apt install chromium"):
        pdf.browser()
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "google-chrome" else None)
    assert pdf.browser() == "/bin/google-chrome"


def test_the_page_moves_to_where_its_links_start(tmp_path):
    with pytest.raises(SystemExit, match="`make pdf` builds it first"):
        pdf.one_page(tmp_path)
    (tmp_path / "singlehtml" / "book").mkdir(parents=True)
    (tmp_path / "singlehtml" / "book" / "intro.html").write_text("all")
    assert pdf.one_page(tmp_path) == tmp_path / "singlehtml" / "book.html"
    assert (tmp_path / "singlehtml" / "book.html").read_text() == "all"


@pytest.mark.browser
@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no browser is installed")
def test_a_page_is_printed_and_one_whose_formulas_are_still_tex_is_refused(tmp_path):
    page, out = tmp_path / "book.html", tmp_path / "pdf" / "book.pdf"
    page.write_text(PAGE % ("<mjx-container>x</mjx-container>" * 2))

    def write(out):
        """In a thread of its own: another test's browser may be open in this one."""
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(pdf.write, page, out, pdf.browser()).result()

    assert write(out) == 2
    assert out.read_bytes().startswith(b"%PDF-")
    page.write_text(PAGE % "\\(x\\)")
    with pytest.raises(SystemExit, match="no formula was typeset; no PDF"):
        write(tmp_path / "none.pdf")
    assert not (tmp_path / "none.pdf").exists()
