"""Hostile files: an exit status of 0 or 2, never a traceback, a crash, a hang, or much memory.

`fuzz.hostile_files` has what is tried. FASTXENT_FUZZ_FILES says how many files, over all formats.
"""

import os

import pytest

from helpers.processes import run_python

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")
pytest.importorskip("resource", reason="the memory of a process is a thing of POSIX")

from fuzz.hostile_files import FILES

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]

COUNT = int(os.environ.get("FASTXENT_FUZZ_FILES", "600"))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_scored_or_refused(name, capsys):
    count = -(-COUNT // len(FILES))
    program = "from fuzz.hostile_files import main; main()"
    ran = run_python(program, name, "0", str(count), timeout=60 + count)
    scored, refused, peak = ran.split()
    with capsys.disabled():
        print(f"\n{name}: {scored} scored, {refused} refused, {peak} MiB", end=" ")
    assert int(scored) + int(refused) == count
    assert int(refused) > 0
