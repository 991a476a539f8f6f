"""Standard errors where rows of one cluster may depend on each other: from sums by cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import BlockGroups, KeyIndex
from fastxent._aggregate.group_totals import GroupTotals, add_pairs, check_divisors, divided


class ClusterSums:
    """The sums of one model or two by cluster, or by cluster within each group.

    Parameters
    ----------
    models : int
        1 or 2.

    Attributes
    ----------
    totals : list of GroupTotals
        Of each model, by the number of the cluster.
    singletons : bool
        Whether every cluster has at most one loss so far.
    """

    def __init__(self, models: int) -> None:
        self.totals = [GroupTotals(0) for _ in range(models)]
        self.singletons = True
        self._pairs = KeyIndex()  # (group, cluster) where there are groups
        self._grouped = False

    def add(self, blocks: Sequence[Block], clusters: BlockGroups, groups: BlockGroups) -> None:
        """Add one block of each model."""
        if groups.codes is not None:
            clusters = self._within(groups, clusters)
        for totals, block in zip(self.totals, blocks, strict=True):
            totals.add(block, clusters)
        if self.singletons and clusters.codes is not None:
            counts = self.totals[0].rows[clusters.codes - clusters.low, 4]
            self.singletons = bool(counts.max(initial=0.0) <= 1.0)

    def _within(self, groups: BlockGroups, clusters: BlockGroups) -> BlockGroups:
        """Number the pairs of group and cluster; only different ones are looked up."""
        assert groups.codes is not None and clusters.codes is not None
        self._grouped = True
        both = (groups.codes - groups.low) * clusters.n + (clusters.codes - clusters.low)
        present, places = np.unique(both, return_inverse=True)
        pairs = zip(*(part.tolist() for part in np.divmod(present, clusters.n)), strict=True)
        found = np.fromiter((self._pairs[pair] for pair in pairs), np.int64, len(present))
        return BlockGroups(found[places], 0, len(self._pairs))

    def combined(self) -> ClusterSums:
        """The clusters of all groups as those of one."""
        if not self._grouped:
            return self
        one = ClusterSums(len(self.totals))
        cluster = np.fromiter((pair[1] for pair in self._pairs), np.intp, len(self._pairs))
        n = int(cluster.max(initial=-1)) + 1
        for totals, every in zip(one.totals, self.totals, strict=True):
            parts = every.rows[: len(cluster)].T
            totals.rows = np.stack([np.bincount(cluster, part, n) for part in parts], axis=1)
        one.singletons = bool(one.totals[0].rows[:, 4].max(initial=0.0) <= 1.0)
        return one

    def standard_error(self, mean: Array, weight: Array) -> tuple[Array, Array]:
        """The standard errors of the means by group, and their degrees of freedom."""
        group = np.zeros(len(self.totals[0].rows), np.intp)
        if self._grouped:
            group = np.fromiter((pair[0] for pair in self._pairs), np.intp, len(self._pairs))
        return cluster_error(self.totals, group, mean, weight)


@np.errstate(invalid="ignore", over="ignore", divide="ignore")
def cluster_error(
    totals: Sequence[GroupTotals], group: Array, mean: Array, weight: Array
) -> tuple[Array, Array]:
    """The standard errors of means by group, and their degrees of freedom.

    Parameters
    ----------
    totals : sequence of GroupTotals
        By cluster: of one model, or of two whose difference the mean is of.
    group : ndarray of int
        The group of each cluster.
    mean, weight : ndarray
        By group.
    """
    first, *other = totals
    total, total_lo, share, share_lo = first.pairs[:, : len(group)].copy()
    if other:
        other_total, other_lo = other[0].pairs[:2, : len(group)]
        add_pairs(total, total_lo, -other_total)
        total_lo -= other_lo
    product, product_lo = _two_product(mean[group], share)
    rest = (total - product) + (total_lo - product_lo - mean[group] * share_lo)
    clusters = np.bincount(group[share > 0.0], minlength=len(mean)).astype(np.float64)
    sums = np.bincount(group, rest * rest, len(mean))
    weights = np.bincount(group, share * share, len(mean))
    check_divisors(
        np.maximum(weights, np.where(weight > 0.0, 5e-324, 0.0)), "squares of the weights"
    )
    correction = np.where(clusters > 1.0, clusters / (clusters - 1.0), np.nan)
    return divided(np.sqrt(correction * sums), weight), np.maximum(clusters - 1.0, 0.0)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The product and its rounding error (Dekker); the error is 0 where the product is not finite."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, np.where(np.isfinite(error), error, 0.0)


def _halves(a: Array) -> tuple[Array, Array]:
    """Two numbers of 26 bits whose sum it is."""
    shifted = 134217729.0 * a  # 2^27 + 1
    high = shifted - (shifted - a)
    return high, a - high
