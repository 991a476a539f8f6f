"""The page of ``fastxent score --report``, without a browser: tests/peers opens it in one."""

import html.parser
import re
from pathlib import Path

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")
pytest.importorskip("matplotlib", reason="the page has pictures")

import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 6000
RNG = np.random.default_rng(17)
P3 = RNG.dirichlet(np.ones(3), N)
CLASSES = RNG.integers(0, 3, N)
NAMES = ["cat", "dog", "<b>bird</b>"]


class Page(html.parser.HTMLParser):
    """The tags and the text of a page; the tags must be closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = set(), [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        for name, value in attrs:
            assert name not in ("src", "href") and (name != "xlink:href" or value[0] == "#")
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002 - the parser's signature
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture
def file(tmp_path):
    table = pa.table({"y": np.array(NAMES)[CLASSES], **dict(zip("abc", P3.T, strict=True))})
    table = table.append_column("key", pa.array([f"<k{i % 300}>&amp;" for i in range(N)]))
    for i in range(12):
        pq.write_table(table.slice(i * 500, 500), tmp_path / f"{i:02}.parquet")
    return tmp_path


def report(folder, *more):
    page = folder / "page.html"
    command = ["score", folder, "--label", "y", "--proba", "a,b,c", "--report", page]
    assert main(list(map(str, [*command, "--classes", ",".join(NAMES), *more]))) == 0
    return Page(page.read_text("utf-8"))


def test_what_the_page_says(file, capsys):
    page = report(file, "--by", "key", "--nan-policy", "omit", "--worst", "3")
    assert capsys.readouterr().err == ""
    text = re.sub(r"\s+", " ", page.text)
    score = fastxent.score("categorical_cross_entropy", CLASSES, P3)
    assert f"mean{score.mean:.5g}" in re.sub(r"\s", "", text)
    assert "The 200 groups of the largest weight, of 300." in text
    assert "files (12)" in text and "09.parquet and 2 more" in text and "10.parquet," not in text
    assert "--classes" in text and "cat, dog, <b>bird</b>" in text and "--nan-policy" in text
    assert "confidence (predicted probability of the top class)" in text
    assert "key = <k0>&amp;" in text  # as it is in the data: it has been escaped
    assert not page.tags & {"script", "b>", "img", "link", "iframe", "object"}
    worst = fastxent.largest_losses("categorical_cross_entropy", CLASSES, P3, 3)
    for loss, row in zip(*worst, strict=True):
        assert f"{loss:.5g}" in text and f"a {P3[row, 0]:.5g}, b {P3[row, 1]:.5g}" in text


def test_the_page_from_python(file):
    path = file / "b.html"
    got = fastxent.score_files(file, label="y", proba=list("abc"), classes=NAMES, report=path)
    assert f"{got['mean']:.5g}" in path.read_text("utf-8") and "worst" not in got


def test_a_page_without_finite_losses(tmp_path, capsys):
    pq.write_table(pa.table({"y": [0, 1], "p": [1.0, 0.0]}), tmp_path / "a.parquet")
    command = ["score", str(tmp_path), "--label", "y", "--proba", "p", "--eps", "0"]
    assert main([*command, "--report", str(tmp_path / "a.html")]) == 0
    assert capsys.readouterr().out == "inf\n"
    text = Page((tmp_path / "a.html").read_text("utf-8")).text
    assert "inf" in text and "--eps" in text


def test_a_page_that_cannot_be_written(file, tmp_path, capsys):
    command = ["score", str(file), "--label", "key", "--proba", "a", "--report"]
    for path, text in ((tmp_path / "no" / "a.html", "no such directory"), (file, "not writable")):
        assert main([*command, str(path)]) == 2
        assert capsys.readouterr().err == f"fastxent: {path}: {text}\n"
    if Path("/dev/full").exists():
        good = [*command[:2], "--label", "y", "--proba", "a,b,c", "--classes", ",".join(NAMES)]
        assert main([*good, "--report", "/dev/full"]) == 2
        assert capsys.readouterr().err == "fastxent: /dev/full: no space left on device\n"
    with pytest.raises(SystemExit):
        main([*command, "a.html", "--reduction", "sum"])
    assert "--report shows means" in capsys.readouterr().err
