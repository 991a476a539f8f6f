"""Files of a server that speaks S3, on the loopback: read, missing, denied, broken off."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastxent

pytest.importorskip("moto", reason="moto is the server of S3")
pytest.importorskip("flask", reason="moto's server needs flask")
pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]

ENVIRONMENT = {
    **os.environ,
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: Twenty files by partition, a bucket that is denied, and a file of some MiB. The server is a
#: process of its own: what it warns of is not ours.
SERVER = """
import json, sys
import boto3, numpy as np, pyarrow as pa, pyarrow.csv, pyarrow.dataset as ds
import pyarrow.fs, pyarrow.parquet as pq
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
files = pa.fs.S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http",
                           allow_bucket_creation=True)
for bucket in ("bucket", "denied"):
    files.create_dir(bucket)
rng = np.random.default_rng(3)
n = 10_000
table = pa.table({"y": rng.integers(0, 2, n), "p": rng.random(n),
                  "country": np.array(["at", "ch", "de", "fr", "01"])[rng.integers(0, 5, n)],
                  "split": np.array(list("abcd"))[rng.integers(0, 4, n)]})
pq.write_table(table, sys.argv[1])
schema = pa.schema([("split", pa.string()), ("country", pa.string())])
ds.write_dataset(table, "bucket/run", format="parquet", filesystem=files,
                 partitioning=ds.partitioning(schema, flavor="hive"))
pq.write_table(table, "denied/a.parquet", filesystem=files)
n = 1_000_000
table = pa.table({"y": rng.integers(0, 2, n), "p": rng.random(n)})
pq.write_table(table, "bucket/large.parquet", filesystem=files, row_group_size=100_000)
with files.open_output_stream("bucket/large.csv", compression=None) as out:
    pa.csv.write_csv(table.slice(0, 400_000), out)
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*",
          "Action": "s3:*", "Resource": ["arn:aws:s3:::denied", "arn:aws:s3:::denied/*"]}]}
client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
client.put_bucket_policy(Bucket="denied", Policy=json.dumps(policy))
print(port, flush=True)
sys.stdin.read()
server.stop()
"""
COMMAND = ("--label", "y", "--proba", "p")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port, and the local file with the rows of the data set."""
    local = tmp_path_factory.mktemp("s3") / "a.parquet"

    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(local)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        yield int(process.stdout.readline()), local
        process.stdin.close()


def score(port, path, *more):
    uri = f"s3://{path}?endpoint_override=127.0.0.1:{port}&scheme=http"
    command = [sys.executable, "-P", "-m", "fastxent", "score", uri, *COMMAND, *more]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def fault(port, path, *more):
    """The one line, without the name of the program."""
    done = score(port, path, *more)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr.removeprefix("fastxent: ").rstrip()


def test_twenty_files_by_partition(server):
    import pyarrow.parquet as pq

    port, local = server
    table = pq.read_table(local)
    y, p = table["y"].to_numpy(), table["p"].to_numpy()
    country, split = (table[name].to_numpy() for name in ("country", "split"))
    done = score(port, "bucket/run", "--by", "country", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    got = json.loads(done.stdout)
    assert (got["files"], got["rows"]) == (20, len(y))
    want = {c: fastxent.binary_cross_entropy(y, p, where=country == c) for c in np.unique(country)}
    assert {g["group"]: g["mean"] for g in got["groups"]} == pytest.approx(want, rel=1e-13)
    done = score(port, "bucket/run", "--only", "split=a,b", "--json")
    got = json.loads(done.stdout)
    want = fastxent.binary_cross_entropy(y, p, where=np.isin(split, ["a", "b"]))
    assert (got["files"], got["mean"]) == (10, pytest.approx(want, rel=1e-13))


def test_missing_and_denied(server):
    port, _ = server
    assert fault(port, "bucket/no") == "s3://bucket/no: no such file or directory"
    assert fault(port, "missing/run") == "s3://missing/run: no such file or directory"
    text = fault(port, "denied/a.parquet")
    assert text.startswith("s3://denied/a.parquet: ") and "ACCESS_DENIED" in text


class Proxy:
    """Hands on connections to a server, and breaks an answer off once it is larger than this."""

    def __init__(self, port, most):
        self.target, self.most, self.broken = port, most, 0
        self.threads = []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start(self.accept)
        return self

    def __exit__(self, *_):
        shut(self.listener)
        for thread in self.threads:
            thread.join(10)
        self.listener.close()

    def start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:  # shut
                return
            self.start(self.connect, client)

    def connect(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            forward = self.start(self.copy, client, server, 1 << 40)
            self.copy(server, client, self.most)
            forward.join(10)

    def copy(self, source, target, most):
        with contextlib.suppress(OSError):  # the other side has gone
            while data := source.recv(1 << 14):
                most -= len(data)
                target.sendall(data)
                if most < 0:
                    self.broken += 1
                    break
        shut(source)
        shut(target)


def shut(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", ["large.parquet", "large.csv"])
def test_a_connection_that_breaks_in_the_middle(server, name):
    with Proxy(server[0], 300_000) as proxy:
        start = time.monotonic()
        text = fault(proxy.port, f"bucket/{name}")
        assert time.monotonic() - start < 60
    assert proxy.broken
    assert text.startswith(f"s3://bucket/{name}: cannot be read")


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = fault(port, "bucket/run")
    assert text.startswith("s3://bucket/run: ") and "NETWORK_CONNECTION" in text
