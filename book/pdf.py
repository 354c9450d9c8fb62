"""The book as one PDF: `make pdf` builds one page, Chromium prints it.

It needs Chromium or Chrome on the system (`apt install chromium`) and the
Python package playwright, which the extra `dev` brings. No TeX.
"""

import shutil
import sys
from pathlib import Path

BUILT = Path(__file__).resolve().parents[1] / "_build"
BROWSERS = "chromium", "chromium-browser", "google-chrome", "chrome"
# after this no formula is without its glyphs; folded code is unfolded
SETTLE = """async () => {
  document.querySelectorAll("details").forEach((e) => (e.open = true));
  document.querySelectorAll(".toggle-hidden").forEach((e) =>
    e.classList.remove("toggle-hidden"));
  await MathJax.startup.promise;
}"""
STYLE = """
.bd-header, .bd-sidebar, .bd-sidebar-primary, .bd-sidebar-secondary,
.bd-header-article, .prev-next-footer, .copybtn, .toggle-button,
.header-article, .btn { display: none !important; }
h1 { break-before: page; }
h1, h2, h3, h4 { break-after: avoid; }
figure, table tr, mjx-container { break-inside: avoid; }
"""


def browser() -> str:
    """The path of a browser that can print.

    Raises:
        SystemExit: If there is none.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit(
            f"make pdf needs a browser; none of {', '.join(BROWSERS)} is"
            " installed. On Debian and Ubuntu: apt install chromium"
        )
    return path


def one_page(built: Path) -> Path:
    """The page with everything, moved to where its links start from."""
    inside = built / "singlehtml" / "book" / "intro.html"
    page = built / "singlehtml" / "book.html"
    if not inside.exists():
        raise SystemExit(f"no {inside}: `make pdf` builds it first")
    shutil.copy(inside, page)
    return page


def write(page: Path, pdf: Path, executable: str) -> int:
    """Print a page, and return how many formulas it has.

    Raises:
        SystemExit: If no formula was typeset: the PDF would show TeX.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable)
        tab = chromium.new_page()
        tab.set_default_timeout(0)  # a thousand formulas
        tab.goto(page.as_uri())
        tab.evaluate(SETTLE)
        tab.add_style_tag(content=STYLE)
        n = tab.locator("mjx-container").count()
        if not n:
            raise SystemExit(f"{page}: no formula was typeset; no PDF")
        tab.emulate_media(media="print", color_scheme="light")
        pdf.parent.mkdir(parents=True, exist_ok=True)
        tab.pdf(
            path=str(pdf),
            format="A4",
            scale=0.7,  # letters of 11 points
            margin=dict.fromkeys(
                ("top", "bottom", "left", "right"), "18mm"
            ),
            print_background=True,
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template='<div style="font-size: 8px; width: 100%;'
            ' text-align: center"><span class="pageNumber"></span></div>',
        )
        chromium.close()
    return n


def main() -> int:
    found = browser()
    pdf = BUILT / "pdf" / "book.pdf"
    n = write(one_page(BUILT), pdf, found)
    print(f"{pdf}: {n} formulas, {pdf.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:  # before the long build
        browser()
        sys.exit()
    sys.exit(main())
