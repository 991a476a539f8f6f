"""coverage.py's plugin for the native modules: Cython's, which by itself reports no .pxd.

The kernels are inline functions in .pxd files, and their lines are compiled into each module that
cimports them. Cython's plugin looks for the lines of a file in the .c of the same name; this one
looks in every .c beside it. `make coverage` uses it, and `check` is its last step: a plugin that
measured nothing would report 100 %.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from Cython import Coverage

LEAST = 95.0


class Plugin(Coverage.Plugin):  # type: ignore[misc]
    """Reports a file's lines from all modules that hold some of them."""

    def file_reporter(self, filename: str) -> Coverage.CythonModuleReporter:
        """Give the lines that can run, as coverage.py asks for them."""
        code: dict[int, str] = {}
        excluded: set[int] = set()
        for c_file in sorted(Path(filename).parent.glob("*.c")):
            for name, lines in self._parse_cfile_lines(c_file).items():
                if Path(name).name == Path(filename).name:
                    code |= lines
                    excluded |= self._excluded_lines_map[name]
        return Coverage.CythonModuleReporter(None, filename, filename, code, excluded)


def coverage_init(registry: Any, options: Any) -> None:
    """coverage.py calls this."""
    del options
    plugin = Plugin()
    registry.add_configurer(plugin)
    registry.add_file_tracer(plugin)


def check(report: Path) -> int:
    """1 where a native source was not measured, or where too few lines ran."""
    measured = json.loads(report.read_text("utf-8"))
    rows = {Path(name).as_posix(): file["summary"] for name, file in measured["files"].items()}
    missing = [
        path.as_posix()
        for path in sorted(Path("fastxent").rglob("*.p[xy][dx]"))
        if path.stem not in {"avx2", "avx512"}
        and not rows.get(path.as_posix(), {}).get("covered_lines")
    ]
    total = measured["totals"]["percent_covered"]
    print(f"{total:.1f} % of {measured['totals']['num_statements']} lines in {len(rows)} files")
    if missing:
        print(f"not measured: {', '.join(missing)}")
    return int(bool(missing) or total < LEAST)


if __name__ == "__main__":
    sys.exit(check(Path(sys.argv[1])))
