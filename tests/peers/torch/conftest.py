"""What the tests of fastxent.torch share."""

import warnings

import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fastxent.torch is not tested")
torch.set_num_threads(1)


@pytest.fixture
def every_size(monkeypatch):
    """However small the input, fastxent computes."""
    from fastxent.torch import _rules

    monkeypatch.setattr(_rules, "LEAST", dict.fromkeys(_rules.LEAST, (0, 0)))


@pytest.fixture
def notes(caplog):
    """The messages of the debug switch."""
    import fastxent.torch

    fastxent.torch.set_debug()
    yield lambda: [record.getMessage() for record in caplog.records]
    fastxent.torch.set_debug(False)


@pytest.fixture(scope="session")
def opinfos():
    """torch's own test inputs, by the functions' names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        methods = pytest.importorskip(
            "torch.testing._internal.common_methods_invocations",
            reason="torch's own test inputs cannot be imported",
        )
    found = {op.name.removeprefix("nn.functional."): op for op in methods.op_db}
    return lambda name: found[name]
