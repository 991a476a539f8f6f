"""XGBoost with the focal loss, on data in which one row in fifty is positive."""

import time

import numpy as np
import xgboost
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

import fastxent

x, y = make_classification(
    20_000, 20, n_informative=8, weights=[0.98], flip_y=0.005, class_sep=0.8, random_state=0
)
x_train, x_test, y_train, y_test = train_test_split(x, y, stratify=y, random_state=0)


def objective(y_true, margins, sample_weight=None):
    return fastxent.binary_focal_loss_grad_hess(
        y_true, margins, sample_weight, gamma=1.0, alpha=0.75, hess_floor=1e-3
    )


def trained(objective):
    model = xgboost.XGBClassifier(
        objective=objective, n_estimators=150, max_depth=5, learning_rate=0.2, n_jobs=1,
        base_score=0.5,
    )  # fmt: skip
    margins = model.fit(x_train, y_train).predict(x_test, output_margin=True)
    return average_precision_score(y_test, margins), margins


begin = time.perf_counter()
plain, _ = trained("binary:logistic")
focal, margins = trained(objective)
seconds = time.perf_counter() - begin
loss = fastxent.binary_focal_loss(y_test, margins, gamma=1.0, alpha=0.75)
print(f"{y_train.mean():.1%} of {len(y_train):,} rows are positive; {seconds:.1f} s")
print(f"average precision: {plain:.3f} with the logistic loss, {focal:.3f} with the focal loss")
print(f"focal loss of the test set: {loss:.4f}")
assert np.isfinite(margins).all()
assert focal > 0.9 * plain
