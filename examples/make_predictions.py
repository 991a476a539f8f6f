"""Make the predictions that ``python -m fastxent demo`` scores.

Logistic regression on two data sets of scikit-learn: breast cancer (two classes) and digits (ten).
Each row is predicted by a model that was fitted without it (five-fold cross-validation), as
probabilities (``predict_proba``) and as logits (``decision_function``). The files also contain the
losses that scikit-learn computes for these rows: ``log_loss`` for the probabilities, and for the
logits the loss that its own models minimise.

    python examples/make_predictions.py [FOLDER]     # needs scikit-learn; default: fastxent/data

The output is reproducible byte for byte with the same versions of NumPy and scikit-learn on the
same kind of machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import sklearn
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DATA = Path(__file__).resolve().parent.parent / "fastxent" / "data"


def predictions(bunch, keep_every=1):
    """Predict each row out of fold, and score the rows that are kept with scikit-learn."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    proba, logits = (
        cross_val_predict(model, bunch.data, bunch.target, cv=folds, method=method)[::keep_every]
        for method in ("predict_proba", "decision_function")
    )
    y_true = bunch.target[::keep_every]
    loss = (
        HalfBinomialLoss() if logits.ndim == 1 else HalfMultinomialLoss(n_classes=logits.shape[1])
    )
    losses = loss.loss(y_true=y_true.astype(np.float64), raw_prediction=logits)
    return {
        "y_true": y_true.astype(np.int64),
        "class_names": bunch.target_names,
        "proba": proba,
        "logits": logits,
        "loss_of_proba": log_loss(y_true, proba, labels=np.arange(proba.shape[1])),
        "loss_of_logits": losses.mean(),
        "scikit_learn": sklearn.__version__,
    }


def main(folder=DATA):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "breast_cancer.npz", **predictions(load_breast_cancer()))
    # Only a third of the digits, 100 KB, to keep the wheel small.
    np.savez_compressed(folder / "digits.npz", **predictions(load_digits(), keep_every=3))


if __name__ == "__main__":
    main(*sys.argv[1:])
