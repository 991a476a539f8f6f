"""Spark, with two workers on this machine: the number in memory, whatever the partitions."""

import math
import os
import shutil
import signal
import sys

import numpy as np
import pytest

import fastxent

pytest.importorskip("pyspark", reason="fastxent.spark is for Spark's data frames")
if shutil.which("java") is None:
    pytest.skip("no java: Spark cannot be started", allow_module_level=True)

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PythonException
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

import fastxent.spark as fs

N = 60_000
RNG = np.random.default_rng(11)
Z = RNG.normal(0, 2, (N, 3))
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
CLASSES = RNG.integers(0, 3, N)
Y = (CLASSES == 0).astype(np.int8)
W = RNG.uniform(0, 3, N)
KEYS = RNG.integers(0, 4, N)
COUNTRIES = np.array(["at", "ch", "de", "fr"])

# Spark warns of pandas 3, which is not used here; its sockets are closed when it is collected.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def spark():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)  # the workers import this fastxent
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        session = (
            SparkSession.builder.master("local[2, 2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.execution.arrow.maxRecordsPerBatch", "7000")
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture(scope="module")
def frame(spark, tmp_path_factory):
    path = tmp_path_factory.mktemp("spark") / "scores.parquet"
    columns = {
        "y": Y,
        "class": CLASSES,
        "p": P[:, 0],
        "w": W,
        "country": COUNTRIES[KEYS],
        "where": KEYS != 2,
        "all": pa.array(list(P)),
        **{f"z.{k}": Z[:, k] for k in range(3)},
    }
    pq.write_table(pa.table(columns), path)
    return spark.read.parquet(str(path)).repartition(5).cache()


def test_weights_and_groups(frame):
    acc = fs.accumulate(
        fastxent.binary_cross_entropy, frame, "y", "p", sample_weight="w", groups="country"
    )
    want = fastxent.binary_cross_entropy(Y, P[:, 0], sample_weight=W)
    assert acc.result() == pytest.approx(want, rel=1e-15)
    assert acc.count == N
    whole = fastxent.grouped("binary_cross_entropy", Y, P[:, 0], COUNTRIES[KEYS], sample_weight=W)
    assert list(acc.groups()) == list(whole) == COUNTRIES.tolist()
    for key, record in acc.groups().items():
        assert record == pytest.approx(whole[key], rel=1e-15)


def test_clusters(frame):
    acc = fs.accumulate("binary_cross_entropy", frame, "y", "p", clusters="country")
    want = fastxent.score("binary_cross_entropy", Y, P[:, 0], clusters=COUNTRIES[KEYS])
    assert acc.score() == pytest.approx(want, rel=1e-13)


def test_uneven_and_empty_partitions(frame):
    uneven = frame.repartition(12, "country")  # of which at most 4 have rows
    sizes = uneven.groupBy(sf.spark_partition_id()).count().count()
    assert sizes <= 4
    acc = fs.accumulate("binary_cross_entropy", uneven, "y", "p", where="where")
    want = fastxent.binary_cross_entropy(Y, P[:, 0], where=KEYS != 2)
    assert acc.result() == pytest.approx(want, rel=1e-15)
    nothing = fs.accumulate("binary_cross_entropy", frame.where("p > 2"), "y", "p")
    assert nothing.count == 0 and math.isnan(nothing.result())


def test_classes_as_columns_and_as_arrays(frame):
    columns = [f"z.{k}" for k in range(3)]
    acc = fs.accumulate("categorical_cross_entropy_with_logits", frame, "class", columns)
    want = fastxent.categorical_cross_entropy(CLASSES, P)
    assert acc.result() == pytest.approx(want, rel=1e-14)
    acc = fs.accumulate(
        "categorical_cross_entropy", frame, "class", "all", class_weight=[1, 2, 3.0]
    )
    want = fastxent.categorical_cross_entropy(CLASSES, P, class_weight=[1, 2, 3.0])
    assert acc.result() == pytest.approx(want, rel=1e-14)


def test_nulls(frame):
    some = frame.withColumn("p", sf.when(sf.col("country") != "at", sf.col("p")))
    some = some.withColumn("country", sf.when(sf.col("country") != "ch", sf.col("country")))
    acc = fs.accumulate("binary_cross_entropy", some, "y", "p", groups="country", nan_policy="omit")
    assert acc.count == np.count_nonzero(KEYS != 0)
    assert list(acc.groups()) == ["de", "fr", None]  # nothing counts in "at"
    assert acc.groups()[None].count == np.count_nonzero(KEYS == 1)


def test_labels_that_are_names(frame):
    named = frame.withColumn("y", sf.expr("if(y = 1, 'yes', 'no')"))
    named = named.withColumn("class", sf.expr("element_at(array('c', 'd', 'b'), int(class) + 1)"))
    acc = fs.accumulate("binary_cross_entropy", named, "y", "p", positive="yes")
    assert acc.result() == pytest.approx(fastxent.binary_cross_entropy(Y, P[:, 0]), rel=1e-15)
    acc = fs.accumulate("categorical_cross_entropy", named, "class", "all", classes=list("cdb"))
    want = fastxent.categorical_cross_entropy(CLASSES, P)
    assert acc.result() == pytest.approx(want, rel=1e-14)
    with pytest.raises(PythonException, match="name the one that counts as 1 with positive="):
        fs.accumulate("binary_cross_entropy", named, "y", "p")
    some = named.withColumn("y", sf.when(sf.col("country") != "at", sf.col("y")))
    acc = fs.accumulate("binary_cross_entropy", some, "y", "p", positive="yes", nan_policy="omit")
    assert acc.count == np.count_nonzero(KEYS != 0)


def test_errors_name_the_column_or_the_batch(frame):
    with pytest.raises(ValueError, match=r"no column 'q': the columns are y, class, p"):
        fs.accumulate("binary_cross_entropy", frame, "y", "q")
    with pytest.raises(TypeError, match="takes no reduction"):
        fs.accumulate("binary_cross_entropy", frame, "y", "p", reduction="sum")
    with pytest.raises(
        PythonException, match=r"in the batch at row 0 of a partition: y_proba\[\d+\]"
    ):
        fs.accumulate("binary_cross_entropy", frame, "y", "w")
    ragged = frame.withColumn("all", sf.expr("slice(all, 1, 1 + y)"))
    with pytest.raises(PythonException, match="column 'all' are not all of one length"):
        fs.accumulate("categorical_cross_entropy", ragged, "class", "all")


def test_a_python_worker_killed_in_the_middle(frame, tmp_path):
    """Spark runs the task again, and its partition counts once."""
    marker = tmp_path / "killed"

    def kill_once(batches):
        for batch in batches:
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    fragile = frame.select("y", "p").mapInArrow(kill_once, "y byte, p double")
    acc = fs.accumulate("binary_cross_entropy", fragile, "y", "p")
    assert marker.exists()
    assert acc.count == N
    assert acc.result() == pytest.approx(fastxent.binary_cross_entropy(Y, P[:, 0]), rel=1e-15)
