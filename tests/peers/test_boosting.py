"""Our objectives in XGBoost and LightGBM: the margins of their own logistic losses."""

import numpy as np
import pytest

import fastxent

BINARY = fastxent.binary_cross_entropy_grad_hess
ROWS = fastxent.categorical_cross_entropy_grad_hess
TREES = 40


def data(classes):
    from sklearn.datasets import make_classification

    x, y = make_classification(
        1200, 12, n_informative=8, n_classes=classes, flip_y=0.1, random_state=3
    )
    return x.astype(np.float32), y


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True])
def test_xgboost(weighted):
    xgboost = pytest.importorskip("xgboost")
    x, y = data(2)
    weight = np.random.default_rng(0).random(len(y)) + 0.5 if weighted else None
    same = {"n_estimators": TREES, "max_depth": 4, "n_jobs": 1, "base_score": 0.5}
    own = xgboost.XGBClassifier(objective="binary:logistic", **same)
    ours = xgboost.XGBClassifier(objective=BINARY, **same)
    want, got = (
        m.fit(x, y, sample_weight=weight).predict(x, output_margin=True) for m in (own, ours)
    )
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_xgboost_several_classes():
    """XGBoost's own is 2 p (1 - p): with ours doubled, its margins."""
    xgboost = pytest.importorskip("xgboost")
    x, y = data(4)

    def doubled(y_true, margins):
        grad, hess = ROWS(y_true, margins)
        return grad, np.maximum(2 * hess, 1e-16)

    same = {"n_estimators": TREES, "max_depth": 4, "n_jobs": 1, "base_score": 0.5}
    own = xgboost.XGBClassifier(objective="multi:softprob", **same).fit(x, y)
    ours = xgboost.XGBClassifier(objective=doubled, **same).fit(x, y)
    want, got = (m.predict(x, output_margin=True) for m in (own, ours))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_lightgbm(classes, weighted):
    lightgbm = pytest.importorskip("lightgbm")
    x, y = data(classes)
    weight = np.random.default_rng(0).random(len(y)) + 0.5 if weighted else None
    same = {"n_estimators": TREES, "n_jobs": 1, "verbose": -1, "boost_from_average": False}
    objective = BINARY
    if classes > 2:

        def objective(y_true, margins, w):  # theirs is K / (K - 1) times the diagonal
            grad, hess = ROWS(y_true, margins, w)
            return grad, hess * (classes / (classes - 1))

    own = lightgbm.LGBMClassifier(**same).fit(x, y, sample_weight=weight)
    ours = lightgbm.LGBMClassifier(objective=objective, **same).fit(x, y, sample_weight=weight)
    want, got = (m.predict(x, raw_score=True) for m in (own, ours))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_they_learn_as_they_are():
    """Several classes, with our function itself as the objective."""
    lightgbm = pytest.importorskip("lightgbm")
    xgboost = pytest.importorskip("xgboost")
    x, y = data(4)
    for model in (
        xgboost.XGBClassifier(objective=ROWS, n_estimators=TREES, n_jobs=1),
        lightgbm.LGBMClassifier(objective=ROWS, n_estimators=TREES, n_jobs=1, verbose=-1),
    ):
        model.fit(x, y)
        if hasattr(model, "get_booster"):
            margins = model.predict(x, output_margin=True)
        else:
            margins = model.predict(x, raw_score=True)
        assert fastxent.categorical_cross_entropy_with_logits(y, margins) < 0.5
