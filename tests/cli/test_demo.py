"""The demo: real predictions give the losses on record, and a wrong loss is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastxent
from fastxent import __main__
from fastxent._cli import demo

QUICK = ["demo", "--rows", "1000", "--runs", "2"]


def test_prints_every_loss_and_the_speed(capsys):
    assert __main__.main(QUICK) == 0
    printed = capsys.readouterr().out
    for name in (
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "categorical_cross_entropy",
        "categorical_cross_entropy_with_logits",
        "log_loss",
        "rows per second",
        "All are within 1e-12 of the record.",
    ):
        assert name in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_loss_that_is_off_is_an_exit_status(capsys, monkeypatch):
    right = fastxent.log_loss
    monkeypatch.setattr(fastxent, "log_loss", lambda *args: right(*args) * (1 + 1e-11))
    assert __main__.main(QUICK) == 1
    assert "NOT all are within" in capsys.readouterr().out


@pytest.mark.parametrize("file", demo.DATA_SETS.values())
def test_data(file):
    data = demo.load(file)
    n, k = data["proba"].shape
    assert data["y_true"].shape == (n,)
    assert set(data["y_true"]) == set(range(k))
    assert data["logits"].shape == ((n,) if k == 2 else (n, k))
    np.testing.assert_allclose(data["proba"].sum(axis=1), 1, rtol=1e-12)
    assert all(array.dtype != object for array in data.values())


def test_as_a_command():
    command = [sys.executable, "-m", "fastxent"]
    done = subprocess.run([*command, *QUICK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "scikit-learn" in done.stdout
    done = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "demo" in done.stdout
    done = subprocess.run([*command, "no such command"], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [QUICK, ["--help"], ["demo", "--help"], ["score", "--help"]], ids=" ".join
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_who_reads_the_pipe_may_go(arguments):
    """As of `python -m fastxent demo | head -1`: no word of it, and the status of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-P", "-m", "fastxent", *arguments]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # else argparse passes over it by itself
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
