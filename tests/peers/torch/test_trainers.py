"""Training loops of others, which know nothing of fastxent, under `patched`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fastxent.torch is not tested")
import fastxent.torch as ours

skorch = pytest.importorskip("skorch", reason="skorch is absent: no training loop of others")
datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is absent: no digits")


class Network(torch.nn.Module):
    def __init__(self, outputs=10, last=None):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, 50), torch.nn.ReLU(), torch.nn.Linear(50, outputs)
        )
        self.last = last or torch.nn.Identity()

    def forward(self, x):
        return self.last(self.layers(x))


def curve(net, x, y):
    torch.manual_seed(0)
    net.fit(x, y)
    return np.array(net.history[:, ("train_loss", "valid_loss")])


@pytest.mark.parametrize("criterion", ["CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss"])
def test_skorch(every_size, notes, criterion):
    """The same losses, epoch by epoch, of training and validation."""
    x, y = datasets.load_digits(return_X_y=True)
    x, y = (x / 16).astype("f4"), y.astype("i8")
    how = {
        "criterion": getattr(torch.nn, criterion),
        "optimizer": torch.optim.Adam,
        "max_epochs": 8,
        "batch_size": 256,
        "verbose": 0,
        "train_split": skorch.dataset.ValidSplit(5),
    }
    if criterion == "BCEWithLogitsLoss":
        net = skorch.NeuralNet(Network, **how)
        y = np.eye(10, dtype="f4")[y]
    else:  # for NLLLoss skorch takes the logarithm of probabilities
        last = torch.nn.Softmax(-1) if criterion == "NLLLoss" else None
        net = skorch.NeuralNetClassifier(Network, module__last=last, **how)
    want = curve(net, x, y)
    assert not notes()
    with ours.patched():
        got = curve(net, x, y)
    validations = 2 * 8 if criterion == "NLLLoss" else 0  # no gradient: torch's own
    assert len(notes()) == validations
    assert want[-1, 0] < want[0, 0] / 2
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
