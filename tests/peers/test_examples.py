"""The examples run, and print their results."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.uncounted

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name):
    done = subprocess.run(
        [sys.executable, "-P", EXAMPLES / name], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_logistic_regression_reaches_scikit_learns_coefficients():
    pytest.importorskip("sklearn")
    pytest.importorskip("scipy")
    distance = re.search(
        r"largest difference of a coefficient: (\S+)", run("logistic_regression.py")
    )
    assert float(distance[1]) < 1e-5


def test_focal_loss_in_xgboost():
    pytest.importorskip("sklearn")
    pytest.importorskip("xgboost")
    found = re.search(r"precision: (\S+) with .* (\S+) with the focal", run("focal_boosting.py"))
    plain, focal = map(float, found.groups())
    assert focal > 0.9 * plain > 0.3


def test_training_with_torch():
    pytest.importorskip("sklearn")
    pytest.importorskip("torch", reason="torch is absent: nothing is trained with it")
    found = re.findall(r"largest difference (\S+)", run("train_with_torch.py"))
    assert len(found) == 2 and all(float(apart) < 1e-5 for apart in found)


def test_a_language_model_scored_both_ways():
    printed = run("language_model.py")
    found = re.findall(r"perplexity from .*?: ([\d.]+)", printed)
    assert len(found) == 2 and abs(float(found[0]) - float(found[1])) < 1e-3
    assert 2 < float(found[0]) < 40
    assert 1 < float(re.search(r"bits per byte: (\S+)", printed)[1]) < 5.5


def test_llama_logits_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    special = pytest.importorskip("scipy.special")
    llama = importlib.import_module("llama_logits")
    path, logits = llama.example(tmp_path)
    base = llama.read(path)
    assert base.tokens.shape == (4, 64) and base.vocabulary == 501
    found = np.stack([base.log_probabilities(chunk) for chunk in range(4)])
    assert found.shape == logits.shape
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-3)
    divergence, nll, base_nll, same_top = llama.compare(base, logits)
    q, p = (special.log_softmax(z.astype(float), -1) for z in (found, logits))
    np.testing.assert_allclose(divergence, (np.exp(q) * (q - p)).sum(-1).ravel(), rtol=1e-4)
    assert same_top.mean() > 0.9 and abs(nll.mean() - base_nll.mean()) < 0.1
    with pytest.raises(ValueError, match="no file of logits"):
        llama.read(Path(__file__))


def test_the_table_of_llama_cpp():
    printed = run("llama_logits.py")
    assert re.search(r"Mean    KLD +: +0\.0\d+ ± 0\.0\d+", printed)
    assert printed.count("KLD") == 12 and printed.count("Δp") == 15 and "Same top p" in printed


def test_the_errors_of_perplexities_are_those_of_each_token_s_influence(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    llama = importlib.import_module("llama_logits")
    rng = np.random.default_rng(4)
    base_nll = rng.gamma(2.0, size=500)
    nll = base_nll + rng.normal(0.1, 0.3, 500)
    llama.report(rng.random(500), nll, base_nll, rng.random(500) < 0.9)
    printed = dict(line.split(":") for line in capsys.readouterr().out.splitlines())
    ppl, base = np.exp(nll.mean()), np.exp(base_nll.mean())
    a, b = nll - nll.mean(), base_nll - base_nll.mean()
    for name, value, influence in (
        ("Mean PPL(Q)", ppl, ppl * a),
        ("Mean PPL(Q)/PPL(base)", ppl / base, ppl / base * (a - b)),
        ("Mean PPL(Q)-PPL(base)", ppl - base, ppl * a - base * b),
    ):
        found = [float(x) for x in printed[f"{name:31}"].split("±")]
        want = [value, influence.std(ddof=1) / np.sqrt(500)]
        np.testing.assert_allclose(found, want, atol=1e-6)
