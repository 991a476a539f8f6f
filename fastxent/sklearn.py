"""Scorers for scikit-learn's model selection, and a classifier with a temperature."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import assert_all_finite, get_tags
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
)

from fastxent._calibration.temperature import NoMinimumError, fit_temperature
from fastxent._core.types import Array
from fastxent._log_loss.log_loss import d2_log_loss_score, log_loss

__all__ = ["TemperatureScaling", "d2_log_loss_scorer", "neg_log_loss_scorer"]


class _Scorer:
    """A metric of a classifier's ``predict_proba``: greater is better.

    Like scikit-learn's own scorers, but the classes are those that the classifier was trained on. A
    fold of the data in which one of them is missing has a score here.

    Parameters
    ----------
    name : str
        The name in this module.
    metric : callable
        Of labels and probabilities.
    sign : int
        -1 where less is better.
    sample_weight : bool, str or None
        The request for scikit-learn's metadata routing.
    """

    def __init__(
        self,
        name: str,
        metric: Callable[..., float],
        sign: int,
        sample_weight: bool | str | None = None,
    ) -> None:
        self._name, self._metric, self._sign = name, metric, sign
        self._request = MetadataRequest(owner=name)
        self._request.score.add_request(param="sample_weight", alias=sample_weight)

    def __call__(
        self,
        estimator: Any,
        X: Any,  # noqa: N803
        y_true: Any,
        *,
        sample_weight: Any = None,
    ) -> float:
        """Score a classifier.

        Parameters
        ----------
        estimator : object
            A fitted classifier with ``predict_proba``.
        X : array_like
            What it is to predict from.
        y_true : array_like of shape (n_samples,)
            The true labels.
        sample_weight : array_like of shape (n_samples,), optional
            A weight for each sample.

        Returns
        -------
        float
            The metric, or minus the metric where less is better.
        """
        classes: Any = getattr(estimator, "classes_", None)
        labels = classes if np.ndim(classes) == 1 else None
        y_proba = estimator.predict_proba(X)
        value = self._metric(y_true, y_proba, sample_weight=sample_weight, labels=labels)
        return self._sign * value

    def __repr__(self) -> str:
        return f"fastxent.sklearn.{self._name}"

    def set_score_request(self, *, sample_weight: bool | str | None) -> _Scorer:
        """Ask for weights, where scikit-learn's metadata routing is enabled.

        Parameters
        ----------
        sample_weight : bool, str or None
            Whether to take the metadata of that name, or under which name.

        Returns
        -------
        scorer
            A new one.
        """
        return _Scorer(self._name, self._metric, self._sign, sample_weight)

    def get_metadata_routing(self) -> MetadataRequest:
        """What scikit-learn asks for before it passes any metadata on."""
        return self._request

    def _accept_sample_weight(self) -> bool:
        return True  # scikit-learn asks this of scorers where routing is not enabled


neg_log_loss_scorer = _Scorer("neg_log_loss_scorer", log_loss, -1)
d2_log_loss_scorer = _Scorer("d2_log_loss_scorer", d2_log_loss_score, 1)


class TemperatureScaling(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose logits are divided by the temperature that fits the labels best.

    Parameters
    ----------
    estimator : object
        A classifier with ``decision_function`` or ``predict_proba``. A fitted one is used as it is:
        then pass to `fit` data that it was not trained on. Of an unfitted one a clone is fitted to
        the same data, which makes the temperature too low.

    Attributes
    ----------
    estimator_ : object
        The fitted classifier.
    temperature_ : float
        Above 1: the classifier was too confident.
    classes_ : ndarray
        The classes, in the order of the columns of ``predict_proba``.
    n_features_in_ : int
        The number of columns that `fit` saw; if the classifier tells.

    See Also
    --------
    fastxent.fit_temperature : The temperature alone, with its standard error.

    Notes
    -----
    The logits are the classifier's ``decision_function``, 0 and that where there are two classes, or
    else the logarithms of its ``predict_proba``, clipped as `fastxent.log_loss` clips them. Where there
    is no best temperature, as on separable data, it stays 1 with a ``ConvergenceWarning``. Model
    selection clones estimators: wrap a fitted one in ``sklearn.frozen.FrozenEstimator`` there.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from fastxent import log_loss
    >>> from fastxent.sklearn import TemperatureScaling
    >>> x, y = load_digits(return_X_y=True)
    >>> model = GaussianNB().fit(x[:600], y[:600])
    >>> scaled = TemperatureScaling(model).fit(x[600:1200], y[600:1200])
    >>> round(scaled.temperature_)
    9
    >>> [round(log_loss(y[1200:], m.predict_proba(x[1200:])), 2) for m in (model, scaled)]
    [5.4, 0.85]
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TemperatureScaling:  # noqa: N803
        """Fit the temperature.

        Parameters
        ----------
        X : array_like
            What the classifier predicts from.
        y : array_like of shape (n_samples,)
            The labels.
        sample_weight : array_like of shape (n_samples,), optional
            A weight for each sample.

        Returns
        -------
        TemperatureScaling
            Itself.
        """
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y)
        self.estimator_ = _fitted(self.estimator, X, y, sample_weight)
        self.classes_ = self.estimator_.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y holds {unknown[0]!r}, which is none of the estimator's classes")
        labels = np.searchsorted(self.classes_, y)
        try:
            fit = fit_temperature(labels, self._logits(X), sample_weight=sample_weight)
            self.temperature_ = fit.temperature
        except NoMinimumError as error:
            warnings.warn(f"{error}; the temperature stays 1", ConvergenceWarning, stacklevel=2)
            self.temperature_ = 1.0
        return self

    def _logits(self, X: Any) -> Array:  # noqa: N803
        """One column for each class."""
        if hasattr(self.estimator_, "decision_function"):
            found = np.asarray(self.estimator_.decision_function(X))
            return np.column_stack([np.zeros_like(found), found]) if found.ndim == 1 else found
        proba = np.asarray(self.estimator_.predict_proba(X))
        logits: Array = np.log(proba.clip(np.finfo(proba.dtype).eps))  # as log_loss clips
        return logits

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """The probability of each class: the softmax of the logits over the temperature.

        Parameters
        ----------
        X : array_like
            What the classifier predicts from.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The columns are in the order of ``classes_``.
        """
        check_is_fitted(self)
        scaled = self._logits(X) / self.temperature_
        exps = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        proba: Array = exps / exps.sum(axis=1, keepdims=True)
        return proba

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The likeliest class, which no temperature changes.

        Parameters
        ----------
        X : array_like
            What the classifier predicts from.

        Returns
        -------
        ndarray of shape (n_samples,)
            Of the classifier's classes.
        """
        check_is_fitted(self)
        classes: Array = self.classes_[self._logits(X).argmax(axis=1)]
        return classes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags


def _fitted(estimator: Any, X: Any, y: Array, sample_weight: Any) -> Any:  # noqa: N803
    """The estimator itself if it is fitted, else a fitted clone."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        weights = {}
        if sample_weight is not None and has_fit_parameter(estimator, "sample_weight"):
            weights["sample_weight"] = sample_weight
        return clone(estimator).fit(X, y, **weights)
    return estimator
