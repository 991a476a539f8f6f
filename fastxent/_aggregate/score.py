"""The standard error of a mean loss, and the paired comparison of two models."""

from __future__ import annotations

from typing import Any, overload

from fastxent._aggregate.group_keys import GroupKeys
from fastxent._aggregate.groups import ByGroup
from fastxent._aggregate.linear_loss import bind
from fastxent._aggregate.standard_error import Comparison, MeanAndError, Score


@overload
def score(
    loss: Any,
    y_true: Any,
    scores: Any,
    *,
    groups: None = None,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> Score: ...
@overload
def score(
    loss: Any,
    y_true: Any,
    scores: Any,
    *,
    groups: Any,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> ByGroup[Score]: ...
def score(
    loss: Any,
    y_true: Any,
    scores: Any,
    *,
    groups: Any = None,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> Score | ByGroup[Score]:
    r"""Mean loss with its standard error, in one pass.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores : array_like
        As the loss takes them. `scores` is None for `fastxent.entropy`, which takes one array.
    groups : array_like or list of hashable values, optional
        As for `fastxent.grouped`: the scores of each group.
    clusters : array_like or list of hashable values, optional
        The cluster of each loss, as `groups` are given: losses of one cluster may depend on each
        other.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`; for `fastxent.linear_cross_entropy`
        also ``weight`` and ``bias``.

    Returns
    -------
    Score or ByGroup
        A named tuple (mean, standard_error, weight, count, degrees_of_freedom); by group, one for
        each. Its method ``confidence_interval`` uses Student's t distribution.

    See Also
    --------
    compare : Two models on the same data.

    Notes
    -----
    With the weights :math:`w_i`, :math:`n` of them not zero, and the mean :math:`m`,

    .. math:: \mathrm{se}^2 = \frac{n}{n - 1} \frac{\sum_i w_i^2 (\ell_i - m)^2}{(\sum_i w_i)^2}

    For equal weights that is the sample variance over :math:`n`. The losses are taken to be
    independent of each other: those of the tokens of one text are not. With `clusters`, of which
    :math:`G` have a weight,

    .. math:: \mathrm{se}^2 = \frac{G}{G - 1}
       \frac{\sum_g \left(\sum_{i \in g} w_i (\ell_i - m)\right)^2}{(\sum_i w_i)^2}

    and :math:`G - 1` degrees of freedom [1]_. Where each loss is its own cluster, that is the formula
    above. Clusters take the memory of their sums.

    The losses are those of ``reduction="none"``, in the precision of the scores; their sums are of
    float64. They are computed in blocks: the memory used does not grow with their number.

    References
    ----------
    .. [1] K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models,
       Biometrika 73(1), 1986.

    Examples
    --------
    >>> import fastxent
    >>> s = fastxent.score(fastxent.binary_cross_entropy, [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4])
    >>> round(s.mean, 4), round(s.standard_error, 4), s.count
    (0.367, 0.1852, 4)

    Two rows of each of two users:

    >>> s = fastxent.score(
    ...     "binary_cross_entropy", [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4], clusters=["a", "a", "b", "b"]
    ... )
    >>> round(s.standard_error, 4), s.degrees_of_freedom
    (0.2027, 1.0)
    """
    call = bind(loss, options, "score")
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    elements = call.elements(y_true, scores, **batch)
    keys = GroupKeys(groups, elements.shape)
    results = MeanAndError(1, len(keys), clusters is not None)
    results.add([elements], keys, clusters=_clusters(clusters, elements.shape))
    found: ByGroup[Score] = results.result(keys)
    return found[None] if groups is None else found


@overload
def compare(
    loss: Any,
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    groups: None = None,
    *,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var_a: Any = None,
    var_b: Any = None,
    **options: Any,
) -> Comparison: ...
@overload
def compare(
    loss: Any,
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    groups: Any,
    *,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var_a: Any = None,
    var_b: Any = None,
    **options: Any,
) -> ByGroup[Comparison]: ...
def compare(
    loss: Any,
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    groups: Any = None,
    *,
    clusters: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var_a: Any = None,
    var_b: Any = None,
    **options: Any,
) -> Comparison | ByGroup[Comparison]:
    """Compare two models on the same data with a paired t-test.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores_a, scores_b : array_like
        As the loss takes them.
    groups : array_like or list of hashable values, optional
        As for `fastxent.grouped`: a comparison for each group.
    clusters : array_like or list of hashable values, optional
        The cluster of each loss, as `groups` are given: losses of one cluster may depend on each
        other.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var_a, var_b : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`.

    Returns
    -------
    Comparison or ByGroup
        A named tuple (mean_a, mean_b, difference, standard_error, weight, count,
        degrees_of_freedom), the difference being a - b: below 0 where a is better. Its property
        ``t`` is the difference in standard errors, ``p_value`` is the two-sided probability of a
        difference at least this large if the models were equally good, and its method
        ``confidence_interval`` gives the interval of the difference.

    See Also
    --------
    score : One model.

    Notes
    -----
    The standard error is that of the differences of the pairs, with the formula of
    `fastxent.score`. For equal weights ``t`` and ``p_value`` are those of
    ``scipy.stats.ttest_rel``: Student's t distribution with n - 1 degrees of freedom. With
    ``nan_policy="omit"`` a pair with a NaN for either model is left out.

    Examples
    --------
    >>> import fastxent
    >>> y, a, b = [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4], [0.8, 0.3, 0.8, 0.3]
    >>> c = fastxent.compare(fastxent.binary_cross_entropy, y, a, b)
    >>> round(c.difference, 4), round(c.standard_error, 4), round(c.p_value, 3)
    (-0.1347, 0.059, 0.107)
    """
    call = bind(loss, options, "compare")
    batch = {"sample_weight": sample_weight, "where": where}
    elements_a = call.with_scores_name("scores_a").elements(y_true, scores_a, var=var_a, **batch)
    elements_b = call.with_scores_name("scores_b").elements(y_true, scores_b, var=var_b, **batch)
    keys = GroupKeys(groups, elements_a.shape)
    results = MeanAndError(2, len(keys), clusters is not None)
    shape = elements_a.shape
    results.add([elements_a, elements_b], keys, clusters=_clusters(clusters, shape))
    found: ByGroup[Comparison] = results.result(keys)
    return found[None] if groups is None else found


def _clusters(clusters: Any, shape: tuple[int, ...]) -> GroupKeys | None:
    return None if clusters is None else GroupKeys(clusters, shape, "clusters")
