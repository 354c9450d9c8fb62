"""The built ledger in a browser: its filters, the page without a script, where its links lead.

Mutants that turned these red: rows of a filtered chapter left shown; the form shown without a script; anchors
of a chapter one row off.
"""

import re
import shutil
from pathlib import Path

import ledger
import pytest

HTML = Path(__file__).resolve().parents[2] / "_build" / "html" / "book"
PAGE = HTML / f"{ledger.OWN}.html"
ROWS = ledger.read()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PAGE.exists(), reason="no ledger in _build/html: run `make book` first"),
]


@pytest.fixture(scope="module")
def browser():
    names = "chromium", "chromium-browser", "google-chrome", "chrome"
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


def visible(tab) -> list[str]:
    return tab.eval_on_selector_all(
        "table.ledger-rows tr[data-verdict]",
        "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)",
    )


def ids(rows: list[ledger.Row]) -> list[str]:
    return [f"ledger-{row.number}-{row.index}" for row in rows]


def test_filters_show_what_they_say_and_a_link_shows_all_again(browser):
    tab = browser.new_page()
    tab.goto(PAGE.as_uri())
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
    tab.goto(PAGE.as_uri())
    assert tab.locator("table.ledger-rows tr[data-verdict]:visible").count() == len(ROWS)
    assert tab.locator("form.ledger-filter:visible").count() == 0
    context.close()


def test_every_link_of_the_ledger_leads_to_its_row():
    links = re.findall(r'href="(\w+\.html)#(claim-[\d-]+)"', PAGE.read_text(encoding="utf-8"))
    assert links == [(f"{row.chapter}.html", row.anchor) for row in ROWS]
    pages = {name: (HTML / name).read_text(encoding="utf-8") for name, _ in links}
    for row, (name, anchor) in zip(ROWS, links, strict=True):
        (line,) = re.findall(rf'<tr[^>]* id="{anchor}">(.*?)</tr>', pages[name], re.S)
        text = re.sub(r"\W", "", re.sub(r"<[^>]*>|&\w+;", "", line))
        assert text.startswith(re.sub(r"\W", "", row.said["claim"])[:25]), (anchor, text[:80])
