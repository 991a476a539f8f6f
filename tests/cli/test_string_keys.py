"""Groups by keys that are strings: dictionaries as writers make them, and any text."""

import json

import numpy as np
import pytest

from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers


def by_key(capsys, path):
    """The groups of the column `key`."""
    command = ["score", str(path), "--label", "y", "--proba", "p", "--by", "key", "--json"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)["groups"]


def test_a_dictionary_that_has_a_value_twice(tmp_path, capsys):
    keys = [pa.array([f"key {i}" for i in range(500)]).dictionary_encode()]
    keys += [pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1], pa.int32()), ["a", "a", "b"])]
    path = tmp_path / "a.arrows"
    with pa.OSFile(str(path), "wb") as out:
        names = ["y", "p", "key"]
        batches = [
            pa.record_batch([np.ones(len(k), np.int8), np.full(len(k), 0.5), k], names)
            for k in keys
        ]
        with pa.ipc.new_stream(out, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    counts = {g["group"]: g["count"] for g in by_key(capsys, path)}
    assert len(counts) == 502 and (counts["a"], counts["b"], counts["key 7"]) == (3, 1, 1)


def test_dictionaries_that_stay_and_change_between_batches(tmp_path, capsys):
    path, p = tmp_path / "a.arrows", [0.9, 0.5, 0.25]
    batches = [
        pa.record_batch(
            [[1, 1, 1], p, pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int32()), keys)],
            ["y", "p", "key"],
        )
        for keys in (["a", "b"], ["a", "b"], ["b", "a"], ["a", "c"])
    ]
    with pa.ipc.new_stream(str(path), batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    got = by_key(capsys, path)
    assert [(g["group"], g["count"]) for g in got] == [("a", 5), ("b", 5), ("c", 2)]
    assert got[2]["mean"] == pytest.approx(-np.log([0.5, 0.25]).mean())


def test_many_keys_in_any_order(tmp_path, capsys):
    n = 100_000  # so many that a writer gives its dictionary up
    rng = np.random.default_rng(17)
    key = rng.permutation(np.repeat(np.arange(n // 2), 2))
    names = pa.array([f"user {k:06}" for k in key])
    p = rng.random(n)
    pq.write_table(
        pa.table({"y": np.ones(n, np.int8), "p": p, "key": names}), tmp_path / "a.parquet"
    )
    got = by_key(capsys, tmp_path / "a.parquet")
    assert [g["group"] for g in got] == [f"user {k:06}" for k in range(n // 2)]
    want = np.bincount(key, -np.log(p)) / 2
    np.testing.assert_allclose([g["mean"] for g in got], want, rtol=1e-13)


def test_text_with_line_breaks(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text('key,y,p\n"two\nlines",1,0.5\n"a ""quote"", too",0,0.25\n', "utf-8")
    assert {g["group"] for g in by_key(capsys, path)} == {"two\nlines", 'a "quote", too'}
