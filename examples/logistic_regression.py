"""Logistic regression on the digits with SciPy: the same coefficients as scikit-learn."""

import time

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import fastxent

C = 0.01
x, y = load_digits(return_X_y=True)
x = x / 16.0
classes, features = 10, x.shape[1]


def objective(flat):
    """Return the penalised loss and its gradient with respect to all coefficients."""
    weights = flat.reshape(classes, features)
    logits = x @ weights.T
    value, grad = fastxent.categorical_cross_entropy_value_and_grad(
        y, logits, reduction="sum", out=logits
    )
    grad_weights = C * (grad.T @ x) + weights
    return C * value + 0.5 * np.vdot(weights, weights), grad_weights.ravel()


begin = time.perf_counter()
result = minimize(
    objective,
    np.zeros(classes * features),
    jac=True,
    method="L-BFGS-B",
    options={"gtol": 1e-10, "ftol": 1e-16, "maxiter": 5000, "maxcor": 30},
)
seconds = time.perf_counter() - begin
theirs = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(x, y)
distance = np.abs(result.x.reshape(classes, features) - theirs.coef_).max()
print(f"{result.nit} steps in {seconds:.2f} s; largest difference of a coefficient: {distance:.1e}")
assert distance < 1e-5
