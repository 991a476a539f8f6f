"""Memory that NumPy can see comes in without a copy, counted in bytes; tests/peers has the rest."""

import mmap
import types

import numpy as np
import pytest

from helpers.losses import LOSSES, loss
from helpers.memory import assert_free, values


@pytest.mark.parametrize("name", LOSSES)
def test_memory_maps(tmp_path, name):
    y, scores = values(name)
    path = tmp_path / "scores.npy"
    np.save(path, scores)
    assert_free(loss(name), y, np.load(path, mmap_mode="r"), loss(name)(y, scores))


def test_the_buffer_protocol(tmp_path):
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    want = f(y, p)
    assert_free(f, memoryview(y), memoryview(p), want)
    path = tmp_path / "raw"
    path.write_bytes(p.tobytes())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        view = memoryview(pages).cast("d")
        assert_free(f, y, view, want)
        view.release()


def test_array_and_array_interface():
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    want = f(y, p)

    class ByArray:
        def __init__(self, a):
            self.a = a

        def __array__(self, dtype=None, copy=None):
            return self.a

    assert_free(f, ByArray(y), ByArray(p), want)
    assert_free(f, y, types.SimpleNamespace(__array_interface__=p.__array_interface__), want)


def test_dlpack_alone():
    """An object that has nothing else to show."""

    class ByDLPack:
        def __init__(self, a):
            self.a = a

        def __dlpack__(self, **options):
            return self.a.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.a.__dlpack_device__()

    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    assert_free(f, ByDLPack(y), ByDLPack(p), f(y, p))
