"""fastxent.sklearn.TemperatureScaling is a classifier as scikit-learn wants them."""

import numpy as np
import pytest

import fastxent

pytest.importorskip("sklearn", reason="the classifier is for scikit-learn")

from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastxent.sklearn import TemperatureScaling


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        TemperatureScaling(LogisticRegression()),
        TemperatureScaling(DecisionTreeClassifier(max_depth=2, random_state=0)),  # no logits
    ]
)
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", [GaussianNB(), LogisticRegression()])
def test_the_temperature_is_that_of_the_logits(classes, model):
    X, y = make_classification(1500, n_informative=6, n_classes=classes, flip_y=0.2, random_state=0)
    names = np.array(["no", "yes", "maybe"])[y]
    model = model.fit(X[:500], names[:500])
    scaled = TemperatureScaling(model).fit(X[500:], names[500:])
    assert scaled.estimator_ is model
    p = model.predict_proba(X[500:])
    labels = np.searchsorted(model.classes_, names[500:])
    want = fastxent.fit_temperature(labels, np.log(p))
    assert scaled.temperature_ == pytest.approx(want.temperature, rel=1e-6)
    loss = fastxent.categorical_cross_entropy(labels, scaled.predict_proba(X[500:]))
    assert loss == pytest.approx(want.loss, rel=1e-9)
    assert (scaled.predict(X) == model.predict(X)).all()


def test_model_selection():
    X, y = load_digits(return_X_y=True)
    model = GaussianNB().fit(X[:600], y[:600])
    frozen = TemperatureScaling(FrozenEstimator(model))
    scores = cross_val_score(frozen, X[600:], y[600:], scoring="neg_log_loss", cv=3)
    plain = cross_val_score(FrozenEstimator(model), X[600:], y[600:], scoring="neg_log_loss", cv=3)
    assert (scores > plain).all()


def test_separable_data():
    X = np.arange(20.0)[:, None]
    with pytest.warns(ConvergenceWarning, match="the temperature stays 1"):
        scaled = TemperatureScaling(LogisticRegression()).fit(X, X[:, 0] > 9)
    assert scaled.temperature_ == 1


def test_a_class_that_the_model_does_not_know():
    X, y = np.arange(6.0)[:, None], np.array([0, 1, 0, 1, 0, 1])
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="none of the estimator's classes"):
        TemperatureScaling(model).fit(X, y + 1)
