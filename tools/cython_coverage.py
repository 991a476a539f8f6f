"""coverage.py's view of the native modules: which lines of .pyx and .pxd ran.

Cython can call a tracer for every line, but then each element of an array costs microseconds, and
the tests take hours. gcc's own counters cost next to nothing. So: Cython marks in its C where each
line begins (`linetrace`), gcc counts what of that C runs (`--coverage`), `gather` brings both
together and writes the result beside coverage.py's own, and the plugin reports it.

    coverage run -m pytest ...                 # FASTXENT_COVERAGE=1 was set for the build
    python tools/cython_coverage.py gather
    coverage report; coverage json
    python tools/cython_coverage.py check      # that something was measured, and 95 % ran
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coverage import CoverageData, CoveragePlugin, FileReporter

LEAST = 95.0
NATIVE = Path("native.json")  # source -> the lines that can run
# Structs and constants; and levels that are not built, which are `baseline` over again.
NO_LINES = {
    Path("fastxent/_kernels") / name
    for name in ("job.pxd", "types.pxd", "levels/avx2.pyx", "levels/avx512.pyx")
}
IN_SOURCE = re.compile(r' */\* "(.+)":\d+$')
BEGINS = re.compile(r" *__Pyx_TraceLine\((\d+),")


class Plugin(CoveragePlugin):
    """Tells coverage.py which lines of a source can run."""

    def file_reporter(self, filename: str) -> FileReporter:
        """Give them as coverage.py asks for them."""
        return Reporter(filename, json.loads(NATIVE.read_text("utf-8"))[filename])


class Reporter(FileReporter):
    """The lines of one source."""

    def __init__(self, filename: str, runnable: list[int]) -> None:
        super().__init__(filename)
        self.runnable = set(runnable)

    def lines(self) -> set[int]:
        """Give the lines that can run."""
        return self.runnable


def coverage_init(registry: Any, options: Any) -> None:
    """coverage.py calls this."""
    del options
    registry.add_file_tracer(Plugin())


# ------------------------------------------------------------------------------------ gathering


def gather() -> int:
    """Add what gcc counted to coverage.py's data."""
    runnable, ran = defaultdict(set), defaultdict(set)
    for counted in sorted(Path("build").rglob("*.gcda")):
        told = json.loads(subprocess.check_output(["gcov", "--json-format", "--stdout", counted]))
        for file in told["files"]:
            if file["file"].startswith("fastxent"):
                counts = {line["line_number"]: line["count"] for line in file["lines"]}
                for source, line, count in lines_of(Path(file["file"]), counts):
                    if not source.startswith("fastxent"):
                        continue  # NumPy's
                    runnable[source].add(line)
                    if count:
                        ran[source].add(line)
    paths = {source: str(Path(source).absolute()) for source in runnable}
    NATIVE.write_text(json.dumps({paths[source]: sorted(runnable[source]) for source in paths}))
    data = CoverageData()
    data.read()
    data.add_lines({paths[source]: ran[source] for source in paths})
    data.add_file_tracers(dict.fromkeys(paths.values(), "cython_coverage.Plugin"))
    return 0 if runnable else 1


def lines_of(c_file: Path, counts: dict[int, int]) -> Iterator[tuple[str, int, int]]:
    """Yield source, line, and how often it ran: its first C statement that gcc has a count of."""
    source, pending = "", 0
    for number, text in enumerate(c_file.read_text("utf-8").splitlines(), start=1):
        if match := IN_SOURCE.match(text):
            source, pending = match[1], 0
        elif match := BEGINS.match(text):
            pending = int(match[1])
        elif pending and number in counts:
            yield source, pending, counts[number]
            pending = 0


# ------------------------------------------------------------------------------------- checking


def check() -> int:
    """1 where a native source was not measured, or where too few lines ran."""
    measured = json.loads(Path("coverage.json").read_text("utf-8"))
    ran = {Path(name): file["summary"]["covered_lines"] for name, file in measured["files"].items()}
    sources = sorted(set(Path("fastxent").rglob("*.p[xy][dx]")) - NO_LINES)
    missing = [str(path) for path in sources if not ran.get(path)]
    total = measured["totals"]["percent_covered"]
    print(
        f"{total:.1f} % of {measured['totals']['num_statements']} lines, {len(sources)} native files"
    )
    if missing:
        print(f"NOT MEASURED: {', '.join(missing)}")
    return int(bool(missing) or not sources or total < LEAST)


if __name__ == "__main__":
    sys.exit({"gather": gather, "check": check}[sys.argv[1]]())
