"""A scorer for scikit-learn's model selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from fastxent._log_loss.log_loss import log_loss

__all__ = ["neg_log_loss_scorer"]


class _NegLogLossScorer:
    """Minus the log loss of a classifier's ``predict_proba``: greater is better.

    Like scikit-learn's own ``"neg_log_loss"``, but the classes are those that the classifier was
    trained on. A fold of the data in which one of them is missing has a score here.
    """

    def __init__(self, sample_weight: bool | str | None = None) -> None:
        self._request = MetadataRequest(owner="neg_log_loss_scorer")
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
            Minus the mean log loss.
        """
        classes: Any = getattr(estimator, "classes_", None)
        labels = classes if np.ndim(classes) == 1 else None
        y_proba = estimator.predict_proba(X)
        return -log_loss(y_true, y_proba, sample_weight=sample_weight, labels=labels)

    def __repr__(self) -> str:
        return "fastxent.sklearn.neg_log_loss_scorer"

    def set_score_request(self, *, sample_weight: bool | str | None) -> _NegLogLossScorer:
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
        return _NegLogLossScorer(sample_weight)

    def get_metadata_routing(self) -> MetadataRequest:
        """What scikit-learn asks for before it passes any metadata on."""
        return self._request

    def _accept_sample_weight(self) -> bool:
        return True  # scikit-learn asks this of scorers where routing is not enabled


neg_log_loss_scorer = _NegLogLossScorer()
