"""The command as a new user sees it: in a terminal, in a pipe, and interrupted."""

import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastxent

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")
pytest.importorskip("pty", reason="pseudo-terminals are a thing of POSIX")

import fcntl
import pty
import termios

import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]

N = 1_000_000
RNG = np.random.default_rng(1)
P = RNG.uniform(0.01, 0.99, N)
Y = (RNG.random(N) < P).astype(np.int8)
COMMAND = [sys.executable, "-P", "-m", "fastxent", "score"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "a.npz", y=Y, p=P)
    key = np.array([f"a group with a name that is rather long, {i}" for i in range(30)])
    table = pa.table({"y": Y, "p": P, "q": P[::-1].copy(), "key": key[np.arange(N) % 30]})
    pq.write_table(table, folder / "a.parquet")
    return folder


def environment(**more):
    return {**os.environ, "TERM": "xterm-256color", **more}


class Terminal:
    """A command in a pseudo-terminal of 24 lines of 80 columns."""

    def __init__(self, *command):
        self.end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        ends = {"stdin": other, "stdout": other, "stderr": other}
        self.process = subprocess.Popen(
            [*map(str, command)], **ends, env=environment(), start_new_session=True
        )
        os.close(other)
        self.text = ""

    def read(self, until=None):
        """What is shown, to the end or until a pattern is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (until and re.search(until, self.text)):
            try:
                data = os.read(self.end, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            self.text += data.decode()
        return self.text

    def close(self):
        status = self.process.wait(60)
        os.close(self.end)
        return status


def copies(folder, n):
    """Hard links to a file: a path that is named twice would be read once."""
    names = [folder / f"{i}.npz" for i in range(n)]
    for name in names:
        if not name.exists():
            os.link(folder / "a.npz", name)
    return names


def plain(text):
    """Without what moves the cursor and colours the text."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")


def test_a_terminal_shows_a_bar_that_moves_and_a_table(folder):
    terminal = Terminal(*COMMAND, *copies(folder, 60), "--label", "y", "--proba", "p")
    text = plain(terminal.read())
    assert terminal.close() == 0
    shares = list(map(int, re.findall(r"(\d+)%", text)))
    assert shares == sorted(shares) and len(set(shares)) > 2 and shares[-1] == 100
    assert re.search(r"[\d,]+ rows, [\d,]+ rows/s", text)
    table = text[text.index("binary cross entropy") :]
    mean = float(re.search(r"mean +([\d.]+)", table)[1])
    assert mean == pytest.approx(fastxent.binary_cross_entropy(Y, P), rel=1e-8)
    assert re.search(r"60,000,000 rows of 60 files in [\d.]+ s: [\d,]+ rows per second", table)
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.parametrize("more", [[], ["--compare", "q"], ["--weight", "q"]])
def test_a_table_of_groups_fits(folder, more):
    command = [*COMMAND, folder / "a.parquet", "--label", "y", "--proba", "p", "--by", "key"]
    terminal = Terminal(*command, *more)
    text = plain(terminal.read())
    assert terminal.close() == 0
    table = text[text.index("binary cross entropy") :].splitlines()
    assert max(map(len, table)) <= 80
    assert sum(line.strip().startswith("a g") for line in table) == 30


def test_a_pipe_gets_the_number_and_nothing_else(folder):
    command = [*COMMAND, folder / "a.npz", "--label", "y", "--proba", "p"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[\d.]+\n", done.stdout)
    assert float(done.stdout) == pytest.approx(fastxent.binary_cross_entropy(Y, P), rel=1e-13)


def test_who_reads_the_pipe_may_go(folder):
    command = [*COMMAND, folder / "a.npz", "--label", "y", "--proba", "p", "--reduction", "none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141
    process.stderr.close()


def test_ctrl_c_says_what_was_read(folder):
    files = copies(folder, 4000)
    terminal = Terminal(*COMMAND, *files, "--label", "y", "--proba", "p")
    terminal.read(until=r" [2-9]%")
    terminal.process.send_signal(signal.SIGINT)
    text = plain(terminal.read())
    assert terminal.close() == 130
    said = re.search(
        r"interrupted after ([\d,]+) rows, (\d+) % of the input; partial result: mean (\S+),", text
    )
    assert said, text
    assert 0 < int(said[1].replace(",", "")) < 4000 * N and int(said[2]) < 100
    assert float(said[3]) == pytest.approx(fastxent.binary_cross_entropy(Y, P), rel=0.01)
    assert "Traceback" not in text


def test_help_explains_by_example():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, env=environment())
    assert done.returncode == 0
    examples = re.findall(r"^ +fastxent score (.*)$", done.stdout, re.MULTILINE)
    assert len(examples) >= 5
    options = set(re.findall(r"--[a-z-]+", done.stdout))
    shown = set(re.findall(r"--[a-z-]+", " ".join(examples)))
    assert shown >= {"--label", "--proba", "--logits", "--weight", "--by", "--compare", "--json"}
    assert options >= shown
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_of_many_groups_a_terminal_shows_the_largest(tmp_path):
    key = np.minimum(np.arange(N) // 50, 10_000)  # group 10,000 is the largest
    key[:200] = 3
    pq.write_table(pa.table({"y": Y, "p": P, "key": key}), tmp_path / "a.parquet")
    command = [*COMMAND, tmp_path / "a.parquet", "--label", "y", "--proba", "p", "--by", "key"]
    terminal = Terminal(*command)
    text = plain(terminal.read())
    assert terminal.close() == 0
    table = text[text.index("binary cross entropy") :]
    assert [line.split()[0] for line in table.splitlines()[4:6]] == ["10000", "3"]
    assert "… and 9,978 more groups: these are the 20 largest" in table
    assert len(table.splitlines()) < 32
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1 + 9998


def test_worst_rows_in_a_table(folder):
    terminal = Terminal(
        *COMMAND, folder / "a.parquet", "--label", "y", "--proba", "p", "--worst", 3
    )
    text = plain(terminal.read())
    assert terminal.close() == 0
    table = text[text.index("largest losses") :]
    row = np.argmax(fastxent.binary_cross_entropy(Y, P, reduction="none"))
    assert f"{row + 1:,}" in table and f"p {P[row]:.5g}" in table
    assert max(map(len, table.splitlines())) <= 80


def test_names_and_keys_do_not_reach_the_terminal_as_they_are(tmp_path):
    bad = "\x1b[31mred\x9b2J\n\u202e"
    path = tmp_path / "\x1b[2J.parquet"
    table = pa.table({"y": [bad, "no"], "p": [0.5, 0.5], "\x1b[7mkey": [bad, "b"]})
    pq.write_table(table, path)
    command = [*COMMAND, path, "--label", "y", "--positive", bad, "--proba", "p"]
    command += ["--by", "\x1b[7mkey", "--worst", "2"]
    for more in ([], ["--json"]):
        terminal = Terminal(*command, *more)
        text = terminal.read()
        assert terminal.close() == 0
        rest = plain(text)  # without the colours of the table
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", rest)
        assert "[31mred" in rest and "red\x1b" not in text and "\x1b[31m" not in text
    for more in (["--weight", "\x1b[5mw"], ["--weight", "y"]):
        terminal = Terminal(*command, *more)
        text = terminal.read()
        assert terminal.close() == 2
        assert plain(text).rstrip("\n").split("\r")[-1].isprintable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"], ["--reduction", "none"], ["--by", "key"]])
def test_a_full_disk_is_one_line(folder, more):
    command = [*COMMAND, folder / "a.parquet", "--label", "y", "--proba", "p", *more]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "fastxent: standard output: no space left on device\n",
    )


@pytest.mark.parametrize("closed, status", [(">&-", 2), ("2>&-", 0), (">&- 2>&-", 2)])
def test_closed_streams(folder, closed, status):
    command = [*COMMAND, str(folder / "a.parquet"), "--label", "y", "--proba", "p"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *map(str, command)], capture_output=True, text=True
    )
    assert done.returncode == status
    if closed == ">&-":
        assert done.stderr == "fastxent: standard output is closed\n"
