"""Threads, forks, exits: the same bits as on one thread, and never a deadlock."""

import multiprocessing
import os
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastxent._losses import LOSSES
from helpers.losses import LOGITS, loss
from helpers.processes import python, run_python

pytestmark = pytest.mark.wheel

RNG = np.random.default_rng(0)
N = 600_011  # enough for two workers
Z = RNG.normal(0, 3, N).astype(np.float32)
P = 1 / (1 + np.exp(-Z))
Y = RNG.integers(0, 2, N)
ROWS = np.ascontiguousarray(RNG.dirichlet(np.ones(10), N // 10))
INDEX = RNG.integers(0, 10, N // 10)

EVERY_LOSS = [entry.name for entry in LOSSES]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

SETUP = """
import os, sys, threading, signal, _thread
import numpy as np
import fastxent
f = fastxent.binary_cross_entropy_with_logits
n = 3_000_017
z = np.random.default_rng(0).standard_normal(n, np.float32)
y = np.arange(n) % 3 == 0
want = f(y, z)
"""


def data(name):
    if name.startswith("binary"):
        return Y, P if name == "binary_cross_entropy" else Z
    if name == "gaussian_nll":
        return Z, P
    if name == "poisson_nll":
        return Y, Z
    if name == "kl_divergence_with_logits":
        return ROWS[::-1], ROWS
    return {"entropy": (ROWS,), "kl_divergence": (ROWS[::-1], ROWS)}.get(name, (INDEX, ROWS))


def run(code, **kwargs):
    return run_python(SETUP + code, timeout=60, **kwargs)


def every_result(name, **options):
    """The mean, each loss, and where there are any the derivatives, as bytes."""
    f = loss(name)
    results = [f(*data(name), **options), f(*data(name), reduction="none", **options)]
    if name in LOGITS:
        for end in ("value_and_grad", "grad_hess"):
            results += loss(name.replace("with_logits", end))(*data(name), **options)
    return [np.asarray(result).tobytes() for result in results]


@pytest.mark.parametrize("workers", [1, 2, -1])
def test_eight_threads_on_shared_arrays(workers):
    want = {name: every_result(name) for name in EVERY_LOSS}
    start = threading.Barrier(8)

    def work(k):
        start.wait()
        for i in range(len(EVERY_LOSS)):
            name = EVERY_LOSS[(k + i) % len(EVERY_LOSS)]
            assert every_result(name, workers=workers) == want[name]

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, k) for k in range(8)]:
            future.result(timeout=120)


def test_errors_in_threads_stay_with_their_callers():
    bad = Z.copy()
    bad[-1] = np.nan
    f = loss("binary_cross_entropy_with_logits")
    want = f(Y, Z)

    def work(k):
        for _ in range(10):
            if k % 2:
                with pytest.raises(ValueError, match=rf"logits\[{N - 1}\]"):
                    f(Y, bad, workers=2)
            else:
                assert f(Y, Z, workers=2) == want

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, k) for k in range(6)]:
            future.result(timeout=60)


def test_the_gil_is_released():
    """Python code goes on in the midst of a call: none ends between two of its steps."""
    run("""
import time
y, z = np.tile(y, 8), np.tile(z, 8)
calls, done = 0, False
def work():
    global calls
    while not done:
        f(y, z)
        calls += 1
def goes_on():
    before = calls
    time.sleep(1e-5)
    return calls == before
thread = threading.Thread(target=work)
thread.start()
steps = sum(goes_on() for _ in range(100))
done = True
thread.join()
assert steps > 20, steps
""")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_forked_child_calls(workers):
    """Before any pool, with a pool, and from the child of a child."""
    run(f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
def child(depth):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        fine = f(y, z, workers={workers}) == want
        if fine and depth:
            fine = child(depth - 1)
        os._exit(0 if fine else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert child(0)
assert f(y, z, workers={workers}) == want
assert child(2)
assert f(y, z, workers={workers}) == want
""")


@needs_fork
def test_forks_in_the_midst_of_calls():
    run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
stop = False
def work():
    while not stop:
        assert f(y, z, workers=2) == want
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
codes = []
for _ in range(15):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if f(y[:1_000_000], z[:1_000_000], workers=2) == want_part else 3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop = True
for thread in threads:
    thread.join()
assert codes == [0] * 15, codes
""".replace("stop = False", "stop, want_part = False, f(y[:1_000_000], z[:1_000_000])")
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, tmp_path):
    program = tmp_path / "work.py"
    program.write_text(
        """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import numpy as np
import fastxent

def part(seed):
    z = np.random.default_rng(seed).normal(size=700_001)
    return fastxent.binary_cross_entropy_with_logits(z > 1, z, workers=2)

if __name__ == "__main__":
    want = [part(k) for k in range(4)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(part, range(4)) == want
"""
    )
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    run_python(
        "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], check=True)",
        str(program),
        method,
        timeout=60,
    )


@pytest.mark.parametrize("daemon", [False, True])
def test_the_interpreter_exits_in_the_midst_of_calls(daemon):
    """Its threads are joined or abandoned: no hang, no crash, nothing on stderr."""
    run(f"""
go = threading.Event()
def work():
    for k in range({10**6 if daemon else 20}):
        f(y, z, workers=2)
        go.set()
threading.Thread(target=work, daemon={daemon}).start()
go.wait()
""")


def test_calls_at_exit():
    """From atexit functions and finalizers: when pools may be gone and threads no longer start.

    Without a GIL, Python empties all modules, fastxent's too, before it comes to finalizers.
    """
    out = run("""
import atexit
atexit.register(lambda: print(f(y, z, workers=2) == want))
assert f(y, z, workers=2) == want
class Late:
    def __del__(self, f=f, y=y, z=z, want=want):
        print(f(y, z, workers=2) == want)
late = Late()
""")
    emptied = sysconfig.get_config_var("Py_GIL_DISABLED")
    assert out.split() == ["True"] * (1 if emptied else 2)


def test_no_thread_is_made_for_little_work_or_one_worker():
    run("""
assert _thread._count() == 0
for k in (1, 10, 1000, 10_000):
    f(y[:k], z[:k], workers=-1)
f(y, z)
assert _thread._count() == 0
while _thread._count() == 0:
    f(y, z, workers=2)
""")


def test_a_pool_is_used_again():
    run("""
counts = set()
for _ in range(50):
    f(y, z, workers=2)
    counts.add(_thread._count())
assert max(counts) <= 2, counts
""")


SUBINTERPRETER = """
import sys
import sysconfig
try:
    import _interpreters
except ImportError:  # before Python 3.13
    import _xxsubinterpreters as _interpreters
code = f"import sys; sys.path[:] = {sys.path!r}" + '''
import warnings
warnings.filterwarnings("ignore", "NumPy was imported from a Python sub-interpreter", UserWarning)
try:
    import fastxent
except (ImportError, RuntimeError):  # the latter of numpy 2.0
    print("refused")
else:
    print(fastxent.binary_cross_entropy([1], [0.5]))
'''
def in_another():
    interpreter = _interpreters.create()
    run = getattr(_interpreters, "exec", None) or _interpreters.run_string
    assert run(interpreter, code) is None
    _interpreters.destroy(interpreter)
"""


def test_subinterpreters_beside_the_main_one():
    """NumPy can be loaded once in a process, and says so: an ImportError, and no crash."""
    out = run(f"{SUBINTERPRETER}\nfor _ in range(3): in_another()\nprint(f(y, z) == want)")
    *others, own = out.splitlines()
    assert len(others) == 3
    for line in others:
        assert line in ("refused", "0.6931471805599453")
    assert own == "True"


def test_a_subinterpreter_alone():
    """Where it comes first it may have NumPy, and then fastxent too; the main one then has not."""
    tried = python(f"{SUBINTERPRETER}\nin_another()\nexec(code)", timeout=60)
    assert tried.returncode == 0, tried.stderr
    assert sorted(tried.stdout.split()) == ["0.6931471805599453", "refused"]


@pytest.mark.uncounted
def test_two_workers_really_run_at_once():
    """Not the speed, which other load can spoil: only that the caller's thread is not alone.

    One call of half a second: where others keep all cores busy, the second thread may wait for 40 ms.
    """
    run("""
import time
y, z = (np.broadcast_to(array, (200, n)) for array in (y, z))
def mine(workers):
    start = time.thread_time()
    f(y, z, workers=workers)
    return time.thread_time() - start
assert mine(2) < 0.9 * mine(1)
""")
