"""Our objectives in XGBoost and LightGBM: the margins of their own logistic losses."""

import numpy as np
import pytest

import fastxent

pytestmark = pytest.mark.uncounted

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


def margins(model, x):
    """Of either library."""
    if hasattr(model, "get_booster"):
        return model.predict(x, output_margin=True)
    return model.predict(x, raw_score=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_focal_objectives_learn(library, classes):
    """As they are, binary and of several classes: the loss falls, tree after tree."""
    module = pytest.importorskip(library)
    x, y = data(classes)
    kind = "binary" if classes == 2 else "categorical"
    objective = getattr(fastxent, f"{kind}_focal_loss_grad_hess")
    loss = getattr(fastxent, f"{kind}_focal_loss")
    make = module.XGBClassifier if library == "xgboost" else module.LGBMClassifier
    more = {"base_score": 0.5} if library == "xgboost" else {"verbose": -1}
    losses = []
    for trees in (2, 10, TREES):
        model = make(objective=objective, n_estimators=trees, n_jobs=1, max_depth=3, **more)
        losses.append(loss(y, margins(model.fit(x, y), x)))
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.6 * loss(y, np.zeros(x.shape[0] if classes == 2 else (x.shape[0], 4)))


@pytest.mark.filterwarnings("ignore")
def test_focal_objective_with_gamma_0_is_the_logistic_one():
    xgboost = pytest.importorskip("xgboost")
    x, y = data(2)

    def objective(y_true, z):
        return fastxent.binary_focal_loss_grad_hess(y_true, z, gamma=0.0)

    same = {"n_estimators": TREES, "max_depth": 4, "n_jobs": 1, "base_score": 0.5}
    own = xgboost.XGBClassifier(objective="binary:logistic", **same).fit(x, y)
    ours = xgboost.XGBClassifier(objective=objective, **same).fit(x, y)
    np.testing.assert_allclose(margins(ours, x), margins(own, x), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_losses_as_eval_metric_of_xgboost():
    """It hands over labels, margins and, by its name, sample_weight: the losses take them as they are."""
    xgboost = pytest.importorskip("xgboost")
    for classes, objective, metric in (
        (2, BINARY, fastxent.binary_cross_entropy_with_logits),
        (2, fastxent.binary_focal_loss_grad_hess, fastxent.binary_focal_loss),
        (4, ROWS, fastxent.categorical_cross_entropy_with_logits),
        (4, ROWS, fastxent.categorical_focal_loss),
    ):
        x, y = data(classes)
        weight = np.random.default_rng(0).random(len(y))
        model = xgboost.XGBClassifier(
            objective=objective, eval_metric=metric, n_estimators=8, n_jobs=1, base_score=0.5
        )
        model.fit(x, y, eval_set=[(x, y)], sample_weight_eval_set=[weight], verbose=False)
        history = model.evals_result()["validation_0"][metric.__name__]
        want = metric(y, margins(model, x), sample_weight=weight)
        assert history[-1] == pytest.approx(want, rel=1e-5)
        assert history == sorted(history, reverse=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 4])
def test_losses_as_eval_metric_of_lightgbm(classes):
    """It wants a name, the value, and whether more is better; margins of (n, K) lie by columns."""
    lightgbm = pytest.importorskip("lightgbm")
    x, y = data(classes)
    kind = "binary" if classes == 2 else "categorical"
    loss = getattr(fastxent, f"{kind}_focal_loss")
    seen = []

    def metric(y_true, z):
        seen.append(z)
        return "focal", loss(y_true, z), False

    model = lightgbm.LGBMClassifier(
        objective=getattr(fastxent, f"{kind}_focal_loss_grad_hess"), n_estimators=8, n_jobs=1,
        verbose=-1,
    )  # fmt: skip
    model.fit(x, y, eval_set=[(x, y)], eval_metric=metric)
    history = next(iter(model.evals_result_.values()))["focal"]
    assert history[-1] == pytest.approx(loss(y, margins(model, x)), rel=1e-9)
    assert history == sorted(history, reverse=True)
    if classes > 2:
        assert seen[-1].flags.f_contiguous and seen[-1].shape == (len(y), classes)
