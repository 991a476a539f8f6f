"""neg_log_loss_scorer in scikit-learn's model selection, beside its own "neg_log_loss"."""

import pickle

import numpy as np
import pytest

import fastxent

pytest.importorskip("sklearn", reason="the scorer is for scikit-learn")

import sklearn
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import d2_log_loss_score, log_loss
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastxent.sklearn import d2_log_loss_scorer, neg_log_loss_scorer


def data(classes, strings=False):
    X, y = make_classification(300, n_informative=6, n_classes=classes, random_state=0)
    return X, (np.array(["no", "yes", "maybe"])[y] if strings else y)


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_cross_val_score(classes, strings):
    X, y = data(classes, strings)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    ours, theirs = (
        cross_val_score(model, X, y, scoring=scoring)
        for scoring in (neg_log_loss_scorer, "neg_log_loss")
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_grid_search(classes):
    X, y = data(classes)
    ours, theirs = (
        GridSearchCV(LogisticRegression(), {"C": [0.01, 1, 100]}, scoring=scoring, n_jobs=2).fit(
            X, y
        )
        for scoring in (neg_log_loss_scorer, "neg_log_loss")
    )
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-12)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-12)


def test_beside_other_scorers():
    X, y = data(2)
    scoring = {"ours": neg_log_loss_scorer, "theirs": "neg_log_loss", "accuracy": "accuracy"}
    found = cross_validate(LogisticRegression(), X, y, scoring=scoring)
    np.testing.assert_allclose(found["test_ours"], found["test_theirs"], rtol=1e-12)


def test_a_fold_without_one_of_the_classes():
    X, y = data(3)
    y[y == 2] = 1
    y[[0, 299]] = 2  # so the folds in the middle have none of it
    scores = cross_val_score(
        LogisticRegression(), X, y, cv=KFold(5), scoring=neg_log_loss_scorer, error_score="raise"
    )
    assert np.isfinite(scores).all()
    model = LogisticRegression().fit(X, y)
    some = slice(100, 160)
    want = -log_loss(y[some], model.predict_proba(X[some]), labels=model.classes_)
    assert neg_log_loss_scorer(model, X[some], y[some]) == pytest.approx(want, rel=1e-13)


def test_weights():
    X, y = data(2)
    w = np.random.default_rng(0).random(len(y))
    model = LogisticRegression().fit(X, y)
    want = -fastxent.log_loss(y, model.predict_proba(X), sample_weight=w)
    assert neg_log_loss_scorer(model, X, y, sample_weight=w) == want


def test_metadata_routing():
    X, y = data(2)
    w = np.random.default_rng(0).random(len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=False)
        scorers = {
            "ours": neg_log_loss_scorer.set_score_request(sample_weight=True),
            "theirs": sklearn.metrics.get_scorer("neg_log_loss").set_score_request(
                sample_weight=True
            ),
            "without": neg_log_loss_scorer.set_score_request(sample_weight=False),
        }
        found = cross_validate(model, X, y, scoring=scorers, params={"sample_weight": w})
        np.testing.assert_allclose(found["test_ours"], found["test_theirs"], rtol=1e-12)
        plain = cross_val_score(model, X, y, scoring="neg_log_loss")
        np.testing.assert_allclose(found["test_without"], plain, rtol=1e-12)
        alone = cross_val_score(model, X, y, scoring=scorers["ours"], params={"sample_weight": w})
        np.testing.assert_array_equal(alone, found["test_ours"])
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_val_score(model, X, y, scoring=neg_log_loss_scorer, params={"sample_weight": w})


def test_it_can_be_sent_to_a_process():
    again = pickle.loads(pickle.dumps(neg_log_loss_scorer))
    X, y = data(2)
    model = LogisticRegression().fit(X, y)
    assert again(model, X, y) == neg_log_loss_scorer(model, X, y)
    assert repr(again) == "fastxent.sklearn.neg_log_loss_scorer"


def test_d2_log_loss_scorer():
    X, y = data(3)
    model = LogisticRegression().fit(X, y)
    want = d2_log_loss_score(y, model.predict_proba(X))
    assert d2_log_loss_scorer(model, X, y) == pytest.approx(want, rel=1e-12)
    assert repr(pickle.loads(pickle.dumps(d2_log_loss_scorer))) == repr(d2_log_loss_scorer)
