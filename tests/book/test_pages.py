"""The built book in a real browser: every page at two widths, light and dark, without a network.

`make pages` runs it after `make book`. It needs Chromium on the system, and says so where there is none. What
turns it red is planted below: a formula or a box too wide, a dollar sign, small print, an error, a request.
The ledger's filters are used; red were rows of a filtered chapter left shown, the form without a script,
anchors one off.
"""

import contextlib
import re
import shutil
from pathlib import Path

import ledger
import plain
import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PAGES = sorted(
    str(page.relative_to(HTML))
    for page in HTML.rglob("*.html")
    if "_static" not in page.parts and "http-equiv" not in page.read_text(encoding="utf-8")[:400]
)
WINDOWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
CHECK = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
# formulas are typeset, and made smaller where they are too wide, after the page is there
SETTLE = """async () => {
  await (window.MathJax && MathJax.startup && MathJax.startup.promise);
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}"""

pytestmark = [pytest.mark.browser]


@pytest.fixture(scope="session")
def browser():
    names = "chromium", "chromium-browser", "google-chrome", "chrome"
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed; no page was looked at")
    if not PAGES:
        pytest.skip("no book in _build/html: run `make book` first")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def opened(browser, address: str, heard: list[str]):
    """A page, and what it complains of or asks for elsewhere."""
    tab = browser.new_page()
    tab.on("console", lambda message: message.type == "error" and heard.append(f"error: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:", "blob:")) or heard.append(f"asks for {request.url}")
        ),
    )
    tab.goto(address)
    tab.evaluate(SETTLE)
    yield tab
    tab.close()


def look(tab, width: int, colours: str) -> list[str]:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=colours)
    tab.evaluate(SETTLE)
    return [f"{width} px, {colours}: {problem}" for problem in tab.evaluate(CHECK)]


@pytest.mark.parametrize("page", PAGES or ["none"])
def test_a_page_is_whole_and_legible_and_asks_for_nothing_elsewhere(page, browser):
    found: list[str] = []
    with opened(browser, (HTML / page).as_uri(), found) as tab:
        for window in WINDOWS:
            found += look(tab, *window)
    assert found == []


def numbers(page: str) -> dict[str, str]:
    """Label -> number of what a built page counts: figures, formulas, theorems, exercises."""
    told = re.compile(r'class="(?:caption-number|eqno)">(?:[A-Z][a-z]+ )?\(?([\d.]+)')
    return {
        match[1]: told.search(page, match.end())[1]
        for match in re.finditer(r'id="(?:equation-)?((?:fig|eq|thm|prop|ex)-[\w-]+)"', page)
        if told.search(page, match.end())
    }


@pytest.mark.skipif(not PAGES, reason="no book in _build/html: run `make book` first")
def test_the_copies_for_students_have_the_numbers_of_the_built_book():
    for name in sorted({file for file, _ in plain.labels().values()}):
        built = numbers((HTML / "book" / f"{name}.html").read_text(encoding="utf-8"))
        ours = {
            label: told.split()[-1]
            for label, (file, told) in plain.labels().items()
            if file == name and re.match(r"(fig|eq|thm|prop|ex)-", label)
        }
        assert ours == built


FORMULA = r"""async () => {
  const box = document.createElement("div");
  box.className = "math";
  box.textContent = "\\[" + "\\alpha + ".repeat(90) + "\\beta \\]";
  document.querySelector("article").append(box);
  await MathJax.typesetPromise([box]);
  window.dispatchEvent(new Event("resize"));
}"""
INLINE = r"""async () => {
  const text = Object.assign(document.createElement("p"), { id: "planted" });
  text.textContent = "\\(" + "\\alpha + ".repeat(12) + "\\beta \\)";
  const size = document.createElement("style"); // which formulas.js cannot undo
  size.textContent = "#planted mjx-container { font-size: 20px !important; white-space: nowrap; }";
  document.querySelector("article").append(size, text);
  await MathJax.typesetPromise([text]);
}"""
ADD = """(html) => document.querySelector("article").insertAdjacentHTML("beforeend", html)"""
FIGURE = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 840, height: 300 });
  const image = Object.assign(new Image(), { src: canvas.toDataURL() });
  const box = Object.assign(document.createElement("div"), { className: "cell_output" });
  box.append(image);
  image.style.maxWidth = "100%";
  document.querySelector("article").append(box);
  return image.decode();
}"""


@pytest.mark.parametrize(
    ("script", "argument", "problem"),
    [
        (FORMULA, None, "390 px, light: text of "),
        (INLINE, None, "390 px, light: a formula beyond its column"),
        (ADD, "<p>The price is $x^2$.</p>", "1280 px, light: a literal dollar: 'The price is $x^2$.'"),
        (ADD, "<p style='font-size: 6px'>label</p>", "1280 px, light: text of 6px: p 'label'"),
        (FIGURE, None, "390 px, light: print of 6."),
        (ADD, "<p style='width: 420px'>wide</p>", "390 px, light: beyond the window: p 'wide'"),
        (ADD, "<pre style='white-space: pre'>" + "x" * 300 + "</pre>", "1280 px, light: cut, "),
    ],
    ids=["formula", "inline", "dollar", "label", "figure", "box", "listing"],
)
def test_a_planted_fault_is_found(script, argument, problem, browser):
    with opened(browser, (HTML / "book" / "01_energy.html").as_uri(), []) as tab:
        before = [look(tab, *window) for window in WINDOWS]
        tab.evaluate(script, argument)
        after = [look(tab, *window) for window in WINDOWS]
    new = [p for old, now in zip(before, after, strict=True) for p in now if p not in old]
    assert any(p.startswith(problem) for p in new), new


@pytest.mark.parametrize(
    ("script", "heard"),
    [
        ("() => console.error('lost')", "error: lost"),
        ("() => { setTimeout(() => { throw new Error('lost') }) }", "error: lost"),
        ("() => fetch('http://127.0.0.1:9/x').catch(() => 0)", "asks for http://127.0.0.1:9/x"),
    ],
    ids=["console", "exception", "request"],
)
def test_a_planted_error_or_request_is_heard(script, heard, browser):
    found: list[str] = []
    with opened(browser, (HTML / "book" / "glossary.html").as_uri(), found) as tab:
        assert found == []
        tab.evaluate(script)
        tab.wait_for_timeout(200)
    assert heard in found


# the ledger: its filters, the page without a script, where its links lead

LEDGER = HTML / "book" / f"{ledger.OWN}.html"
ROWS = ledger.read()


def visible(tab) -> list[str]:
    return tab.eval_on_selector_all(
        "table.ledger-rows tr[data-verdict]",
        "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)",
    )


def ids(rows: list[ledger.Row]) -> list[str]:
    return [f"ledger-{row.number}-{row.index}" for row in rows]


def test_filters_show_what_they_say_and_a_link_shows_all_again(browser):
    tab = browser.new_page()
    tab.goto(LEDGER.as_uri())
    assert visible(tab) == ids(ROWS)
    tab.select_option("select[name=verdict]", "fails")
    fails = [row for row in ROWS if row.said["verdict"] == "fails"]
    assert visible(tab) == ids(fails)
    assert tab.inner_text("form.ledger-filter output") == f"{len(fails)} of {len(ROWS)} rows"
    chapter = fails[0].chapter
    tab.select_option("select[name=chapter]", chapter)
    assert visible(tab) == ids([row for row in fails if row.chapter == chapter])
    heads = "table.ledger-rows tbody:not([hidden])"
    assert tab.eval_on_selector_all(heads, "groups => groups.map(g => g.dataset.chapter)") == [chapter]
    tab.select_option("select[name=verdict]", "")
    tab.select_option("select[name=chapter]", "")
    paper = ROWS[-1].said["paper"]
    tab.select_option("select[name=paper]", paper)
    assert visible(tab) == ids([row for row in ROWS if row.said["paper"] == paper])
    hidden = next(row for row in ROWS if row.said["paper"] != paper)
    tab.click(f"a.square[href='#{ids([hidden])[0]}']")
    tab.wait_for_timeout(100)
    assert visible(tab) == ids(ROWS)
    tab.select_option("select[name=verdict]", "holds")
    tab.click("form.ledger-filter button")
    tab.wait_for_timeout(100)
    assert visible(tab) == ids(ROWS)
    tab.close()


def test_without_a_script_the_whole_table_shows_and_no_filter(browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(LEDGER.as_uri())
    assert tab.locator("table.ledger-rows tr[data-verdict]:visible").count() == len(ROWS)
    assert tab.locator("form.ledger-filter:visible").count() == 0
    context.close()


@pytest.mark.skipif(not PAGES, reason="no book in _build/html: run `make book` first")
def test_every_link_of_the_ledger_leads_to_its_row():
    links = re.findall(r'href="(\w+\.html)#(claim-[\d-]+)"', LEDGER.read_text(encoding="utf-8"))
    assert links == [(f"{row.chapter}.html", row.anchor) for row in ROWS]
    pages = {name: (LEDGER.parent / name).read_text(encoding="utf-8") for name, _ in links}
    for row, (name, anchor) in zip(ROWS, links, strict=True):
        (line,) = re.findall(rf'<tr[^>]* id="{anchor}">(.*?)</tr>', pages[name], re.S)
        text = re.sub(r"\W", "", re.sub(r"<[^>]*>|&\w+;", "", line))
        assert text.startswith(re.sub(r"\W", "", row.said["claim"])[:25]), (anchor, text[:80])
