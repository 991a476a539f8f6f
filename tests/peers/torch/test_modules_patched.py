"""The modules, and torch's own names in code that is not edited."""

import copy
import pickle
import threading

import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fastxent.torch is not tested")
import fastxent.torch as ours
from helpers.torch_batches import batch, close

F = torch.nn.functional


@pytest.mark.parametrize(
    "name", "CrossEntropyLoss NLLLoss BCELoss BCEWithLogitsLoss KLDivLoss GaussianNLLLoss "
    "PoissonNLLLoss".split()
)  # fmt: skip
def test_modules(every_size, name):
    """Subclasses of torch's, whose repr, state and results they have."""
    theirs, mine = getattr(torch.nn, name)(), getattr(ours, name)()
    assert isinstance(mine, type(theirs)) and repr(mine) == repr(theirs)
    z, y = batch()
    q = torch.softmax(z, 1)
    args = {
        "CrossEntropyLoss": (z, y), "NLLLoss": (torch.log_softmax(z, 1), y), "BCELoss": (q, q),
        "GaussianNLLLoss": (z, q, q + 1), "KLDivLoss": (torch.log(q), q),
    }.get(name, (z, q))  # fmt: skip
    if name == "KLDivLoss":
        theirs.reduction = mine.reduction = "batchmean"
    close(mine(*args), theirs(*args))
    again = pickle.loads(pickle.dumps(mine))
    assert type(again) is type(mine) and repr(copy.deepcopy(again)) == repr(mine)
    close(again(*args), theirs(*args))


def test_state_of_modules(every_size):
    z, y = batch()
    theirs = torch.nn.CrossEntropyLoss(torch.rand(10), label_smoothing=0.1)
    mine = ours.CrossEntropyLoss(torch.ones(10), label_smoothing=0.1, inplace_backward=True)
    mine.load_state_dict(theirs.state_dict())
    close(mine(z, y), theirs(z, y))


def test_patched():
    before = {name: getattr(F, name) for name in ours.PATCHED}
    everything = dict(vars(F))
    with ours.patched(), ours.patched():
        for name in ours.PATCHED:
            assert getattr(F, name) is getattr(ours, name)
        z, y = batch(2000)
        close(torch.nn.CrossEntropyLoss()(z, y), before["cross_entropy"](z, y))
    with pytest.raises(ZeroDivisionError), ours.patched():
        _ = 1 / 0
    assert dict(vars(F)) == everything
    with pytest.raises(RuntimeError, match="nothing is patched"):
        ours.unpatch()
    everywhere = {name for name in vars(F) if vars(F)[name] is not everything[name]}
    assert not everywhere


def test_patched_in_threads():
    everything, wrong = dict(vars(F)), []

    def work():
        for _ in range(200):
            with ours.patched():
                if F.cross_entropy is not ours.cross_entropy:
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and dict(vars(F)) == everything


class Network(torch.nn.Module):
    """As others write them: torch's names, and nothing of ours."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
        )
        self.criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.05)

    def fit(self, x, y, steps=20):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        curve = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = self.criterion(self.layers(x), y)
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        return curve


def test_a_training_loop_of_others(notes):
    def curve():
        torch.manual_seed(0)
        x = torch.randn(2000, 20)
        return Network().fit(x, (x @ torch.randn(20, 10)).argmax(1))

    want = curve()
    with ours.patched():
        got = curve()
    assert not notes() and want[-1] < want[0] / 1.5
    assert got == pytest.approx(want, abs=1e-5)
