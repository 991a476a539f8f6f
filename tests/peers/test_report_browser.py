"""The page of ``fastxent score --report``, in a real browser: headless Chromium."""

import re
import shutil

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="the page is made with it")
pytest.importorskip("rich", reason="the page is made with it")
pytest.importorskip("matplotlib", reason="the page is made with it")
pytest.importorskip("playwright", reason="playwright drives the browser")

import pyarrow as pa
import pyarrow.parquet as pq
from playwright import sync_api

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.uncounted,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

N = 60_000
RNG = np.random.default_rng(17)
Z, NOISE = RNG.normal(0, 3, (2, N))
P, Q = 1 / (1 + np.exp(-Z)), 1 / (1 + np.exp(-0.6 * Z - 0.3 * NOISE))
Y = (RNG.random(N) < P).astype(np.int8)
#: What would show, run or break out if it were not escaped.
HOSTILE = [
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "</td></table></div><b id=escaped>out</b>",
    "a\nb\x1b[31m\u202e\x00\x9b",
    '" onload="document.title=1" $x^2$ &amp; ' + "long" * 60,
]
KEYS = np.array([*HOSTILE, "at"])[RNG.integers(0, 6, N)]


@pytest.fixture(scope="module")
def browser():
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of one model, and one with groups, a second model and hostile names."""
    folder = tmp_path_factory.mktemp("files")
    table = pa.table({"y": Y, "p": P, "q": Q, "key": KEYS.tolist(), HOSTILE[0]: Q, HOSTILE[4]: Y})
    name = "<i>&\x1b[2Jlong" + "-long" * 20
    pq.write_table(table, folder / f"{name}.parquet")
    file = str(folder / f"{name}.parquet")
    plain = ["score", file, "--label", "y", "--proba", "p", "--report", str(folder / "plain.html")]
    assert main(plain) == 0
    full = ["score", file, "--label", HOSTILE[4], "--proba", "p", "--compare", HOSTILE[0]]
    full += ["--by", "key", "--worst", "5", "--eps", "1e-9", "--report", str(folder / "full.html")]
    assert main(full) == 0
    return folder


@pytest.fixture(params=[1280, 390])
def opened(request, browser, pages):
    """Open a page at a width; what it asks of the network and what goes wrong are in `events`."""
    context = browser.new_context(viewport={"width": request.param, "height": 844})
    events = []

    def visit(name):
        page = context.new_page()
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.on("request", lambda request: events.append(request.url))
        page.goto((pages / name).as_uri())
        assert events == [(pages / name).as_uri()]  # itself alone
        return page

    yield visit
    context.close()


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def test_the_numbers_are_in_the_page(opened):
    page = opened("plain.html")
    text = squeezed(page.inner_text("body"))
    score = fastxent.score("binary_cross_entropy", Y, P)
    low, high = score.confidence_interval()
    assert f"mean {score.mean:.5g} std. error {score.standard_error:.5g}" in text
    assert f"95 % interval {low:.5g} to {high:.5g}" in text
    assert f"rows {N:,}" in text and "labels y" in text and "probabilities p" in text
    worst = fastxent.largest_losses("binary_cross_entropy", Y, P)
    rows = page.locator("table").last.locator("tbody tr")
    assert rows.count() == 10
    for i, (loss, row) in enumerate(zip(*worst, strict=True)):
        cells = rows.nth(i).locator("td").all_inner_texts()
        assert cells[:4] == [f"{loss:.5g}", f"{row + 1:,}", str(Y[row]), f"p {P[row]:.5g}"]


def test_groups_comparison_and_hostile_names(opened):
    page = opened("full.html")
    text = squeezed(page.inner_text("body"))
    got = fastxent.compare("binary_cross_entropy", Y, P, Q, eps=1e-9)
    assert "nan" not in text
    for value in (got.mean_a, got.mean_b, got.difference, got.standard_error, got.t):
        assert f"{value:.5g}" in text
    assert "--eps 1e-09" in text
    groups = fastxent.compare("binary_cross_entropy", Y, P, Q, list(KEYS), eps=1e-9)
    rows = page.locator("table").first.locator("tbody tr")
    assert rows.count() == 6
    for i in range(6):
        key, mean = rows.nth(i).locator("td").all_inner_texts()[:2]
        found = [k for k in groups if squeezed(k)[:10].isprintable() and key[:20] == k[:20]]
        if found:
            assert mean == f"{groups[found[0]].mean_a:.5g}"
    assert HOSTILE[0] in text and HOSTILE[2] in text  # as text
    assert r"a\nb\x1b[31m\u202e\x00\x9b" in text
    assert page.title() == "binary cross entropy"
    for selector in ("script", "#escaped", "img", "body i", "[onload]", "[onerror]"):
        assert page.locator(selector).count() == 0, selector


@pytest.mark.parametrize("name", ["plain.html", "full.html"])
def test_the_page_fits(opened, name):
    page = opened(name)
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = page.locator("svg[role=img]")
    assert pictures.count() == (2 if name == "plain.html" else 2 * 6)
    for box in (pictures.nth(i).bounding_box() for i in range(pictures.count())):
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] >= 300
    texts = page.evaluate(
        """[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect())
        .map(b => [Math.min(b.width, b.height), b.left, b.right])"""
    )
    assert len(texts) > 20
    for size, left, right in texts:  # some labels are turned
        assert 5 < size < 30 and left >= 0 and right <= width
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_print(browser, pages, tmp_path):
    page = browser.new_page()
    page.goto((pages / "full.html").as_uri())
    data = page.pdf(format="A4", path=tmp_path / "page.pdf")
    assert data.startswith(b"%PDF")
    page.close()
