"""``fastxent score --report``: one self-contained page, without scripts.

Everything that comes from the data is escaped by `text`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fastxent
from fastxent._cli import plot, report
from fastxent._cli.counts import Panel
from fastxent._cli.errors import InputError, printable

#: Files and groups beyond these are only counted.
MAX_FILES, MAX_GROUPS = 10, 200
#: The options that the page tells in other places, or not at all.
_ELSEWHERE = {
    "files", "label", "proba", "logits", "compare", "weight", "by", "worst", "json", "plot", "report",
    "verbose", "reduction", "run", "error", "default",
}  # fmt: skip

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 0; }
h1::first-letter { text-transform: uppercase; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { margin: .4rem 0; }
h3, p, dd, td, th { overflow-wrap: anywhere; }
.numbers { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 1rem 0; }
.numbers div { min-width: 7rem; }
.numbers span { display: block; color: #555; font-size: .85rem; overflow-wrap: anywhere; }
.numbers b { font-size: 1.35rem; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: #555; }
dd { margin: 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; break-inside: avoid; }
.pictures svg { flex: 1 1 20rem; width: 100%; max-width: 31rem; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e3e3e3; min-width: 5.5rem; }
td:not(.number):nth-child(n+4) { min-width: 9rem; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; min-width: 0; }
.warning { border-left: 4px solid #d55e00; padding-left: .7rem; }
footer { margin-top: 2rem; color: #555; font-size: .85rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  .scroll { overflow: visible; }
  .pictures { flex-wrap: nowrap; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
}
"""


def write(
    path: Path,
    result: report.Result,
    panels: list[Panel],
    options: argparse.Namespace,
    files: Sequence[object],
) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    page = "\n".join(_page(result, panels, options, files)) + "\n"
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def text(value: object) -> str:
    """A value from the data as the text of an element or of an attribute."""
    return html.escape(printable(value))


def _page(
    result: report.Result,
    panels: list[Panel],
    options: argparse.Namespace,
    files: Sequence[object],
) -> Iterator[str]:
    title = report.title(result)
    yield f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{text(title)}</h1>"""
    yield from _numbers(result)
    for warning in result.warnings:
        yield f'<p class="warning">{text(warning)}</p>'
    yield "<h2>What was scored</h2>"
    yield from _list(_about(result, options, files))
    yield "<h2>Calibration and losses</h2>"
    yield from _pictures(result, panels[0], 0)
    if result.by:
        yield f"<h2>By {text(', '.join(result.by))}</h2>"
        yield from _groups(result)
        if 1 < len(panels) <= len(result.groups.keys):
            yield f"<p>The {len(panels) - 1} groups of the largest weight:</p>"
        for i, panel in enumerate(panels[1:], 1):
            yield f"<h3>{text(panel.name)}</h3>"
            yield from _pictures(result, panel, i)
    yield "<h2>Largest losses</h2>"
    yield from _worst(result)
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield f"""<footer>fastxent {text(fastxent.__version__)}, {now}. Losses are in nats. Intervals are 95 %
confidence intervals: of means by Student's t distribution, of frequencies by Wilson's.</footer>
</body>
</html>"""


# ---- the parts -----------------------------------------------------------------------------------


def _numbers(result: report.Result) -> Iterator[str]:
    """The result over all rows."""
    record = report.with_interval(result.values(result.overall), 5)
    yield '<div class="numbers">'
    for name, value in record.items():
        if name == "weight" and value == record["count"]:
            continue
        heading = report.heading(result, name)
        yield f"<div><span>{text(heading)}</span><b>{text(report.short(value))}</b></div>"
    yield "</div>"
    if len(result.models) == 2:
        a, b = map(text, result.models)
        yield f"<p>The difference is <b>{a}</b> - <b>{b}</b>: negative where {a} is better.</p>"


def _about(
    result: report.Result, options: argparse.Namespace, files: Sequence[object]
) -> Iterator[tuple[str, str]]:
    """Files, rows, columns and options."""
    shown = [str(file) for file in files[:MAX_FILES]]
    more = f" and {len(files) - MAX_FILES:,} more" if len(files) > MAX_FILES else ""
    yield f"files ({len(files):,})", ", ".join(shown) + more
    yield "rows", f"{result.read.rows:,}"
    yield "labels", options.label
    kind = "probabilities" if options.proba else "logits"
    for name, columns in zip((kind, "compared with"), result.models, strict=False):
        yield name, columns
    if options.weight:
        yield "weights", options.weight
    if result.by:
        yield "groups", ", ".join(result.by)
    for name, value in sorted(vars(options).items()):
        if name not in _ELSEWHERE and value != options.default(name):
            yield f"--{name.replace('_', '-')}", _option(value)


def _option(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        parts = [part if isinstance(part, str) else "=".join(map(_option, part)) for part in value]
        return ", ".join(parts)
    return "yes" if value is True else str(value)


def _pictures(result: report.Result, panel: Panel, i: int) -> Iterator[str]:
    """Calibration and losses of a panel, which is the i-th of the page."""
    yield '<div class="pictures">'
    for name, drawing in (("calibration", plot.draw_calibration), ("losses", plot.draw_losses)):
        picture = plot.svg(drawing, panel, result.loss, f"{name}{i}-")
        about = f'role="img" aria-label="{name} of {text(panel.name)}"'
        yield picture.replace("<svg ", f"<svg {about} ", 1)
    yield "</div>"


def _groups(result: report.Result) -> Iterator[str]:
    n, places = len(result.groups.keys), None
    if n > MAX_GROUPS:
        places = result.largest_groups(MAX_GROUPS)
        yield f"<p>The {MAX_GROUPS} groups of the largest weight, of {n:,}.</p>"
    else:
        places = list(range(n))
    records = [report.with_interval(record, 4) for record in result.records(places)]
    left_out = {"group", "t"}
    if all(record["weight"] == record["count"] for record in records):
        left_out.add("weight")
    names = [name for name in (records[0] if records else {}) if name not in left_out]
    yield from _table(
        [(name, False) for name in result.by]
        + [(report.heading(result, name), True) for name in names],
        (
            [*result.keys(place).values(), *(report.short(record[name]) for name in names)]
            for place, record in zip(places, records, strict=True)
        ),
    )


def _worst(result: report.Result) -> Iterator[str]:
    if len(result.models) == 2:
        yield f"<p>Of {text(result.models[0])}.</p>"
    headings = [("loss", True), ("row", True), ("label", False), ("scores", False), ("file", False)]
    yield from _table(
        headings,
        (
            [
                report.short(row["loss"]),
                report.short(row["row"]),
                report.short(row["label"]),
                report.scores_text(row["scores"]),
                row["file"],
            ]
            for row in result.worst or []
        ),
    )


def _table(headings: list[tuple[str, bool]], rows: Iterable[list[object]]) -> Iterator[str]:
    """A table; each heading says whether its column has numbers."""
    classes = [' class="number"' if number else "" for _, number in headings]
    yield '<div class="scroll"><table>'
    cells = zip(classes, headings, strict=True)
    yield f"<thead><tr>{''.join(f'<th{c}>{text(name)}</th>' for c, (name, _) in cells)}</tr></thead>"
    yield "<tbody>"
    for row in rows:
        cells_of_row = zip(classes, row, strict=True)
        yield f"<tr>{''.join(f'<td{c}>{text(value)}</td>' for c, value in cells_of_row)}</tr>"
    yield "</tbody></table></div>"


def _list(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<dl>"
    for name, value in pairs:
        yield f"<dt>{text(name)}</dt><dd>{text(value)}</dd>"
    yield "</dl>"
