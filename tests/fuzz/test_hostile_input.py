"""Hostile input, on every level: no crash, no changed input, no result that depends on the layout.

`fuzz.hostile` has what is tried. FASTXENT_FUZZ_CALLS says how many calls, over all levels;
`make sanitize` makes them under the sanitizers.
"""

import os

import pytest

from helpers.processes import levels_that_run, run_python

CALLS = int(os.environ.get("FASTXENT_FUZZ_CALLS", "6000"))
SEEDS = 2 if CALLS <= 100_000 else 20
LEVELS = levels_that_run()


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("level", LEVELS)
def test_no_crash_no_changed_input_and_no_bits_of_the_layout(level, seed):
    pytest.importorskip("ml_dtypes", reason="no ml_dtypes: no bfloat16 among the hostile input")
    calls = -(-CALLS // (SEEDS * len(LEVELS)))
    program = "from fuzz.hostile import main; main()"
    number = str(LEVELS.index(level) * SEEDS + seed)
    ran = run_python(program, number, str(calls), timeout=60 + calls, FASTXENT_SIMD=level)
    used, answered, raised = ran.split()
    assert used == level
    assert int(answered) + int(raised) == calls
    assert min(int(answered), int(raised)) > calls // 5
