"""How often the 95 % intervals of `score` and `compare` contain the true mean, with dependent rows.

    python benchmarks/interval_coverage.py [--data-sets N]

Each data set has 100 clusters of 1 to 19 rows. The rows of a cluster are alike, both in what the models
know and in what they do not, so their losses are alike. The true means are those of ten million rows.
"""

from __future__ import annotations

import argparse

import numpy as np

import fastxent

CLUSTERS, MOST_ROWS = 100, 19
LOSS = "binary_cross_entropy_with_logits"


def simulate(rng, clusters):
    """Labels, the logits of two models, and the cluster of each row."""
    cluster = np.repeat(np.arange(clusters), rng.integers(1, MOST_ROWS + 1, clusters))
    shared, hidden, noise = rng.normal(0, 1, (3, clusters))
    seen = 2 * shared[cluster] + rng.normal(0, 0.5, len(cluster))
    labels = rng.random(len(cluster)) < 1 / (1 + np.exp(-seen - hidden[cluster]))
    return labels, seen, 0.7 * seen + 0.5 * noise[cluster], cluster


def main(data_sets):
    rng = np.random.default_rng(0)
    labels, a, b, _ = simulate(rng, 1_000_000)
    truth = fastxent.compare(LOSS, labels, a, b)
    means = truth.mean_a, truth.difference
    covered = np.zeros((2, 2))
    for _ in range(data_sets):
        labels, a, b, cluster = simulate(rng, CLUSTERS)
        for row, clusters in enumerate((None, cluster)):
            found = (
                fastxent.score(LOSS, labels, a, clusters=clusters),
                fastxent.compare(LOSS, labels, a, b, clusters=clusters),
            )
            for column, (one, mean) in enumerate(zip(found, means, strict=True)):
                low, high = one.confidence_interval()
                covered[row, column] += low <= mean <= high
    print(f"{data_sets:,} data sets of {CLUSTERS} clusters: 95 % intervals that contain the mean")
    print("                   score  compare")
    for name, shares in zip(("rows independent", "with clusters"), covered, strict=True):
        print(f"{name:18}" + "".join(f"{100 * s / data_sets:6.1f}%" for s in shares))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=2000)
    main(parser.parse_args().data_sets)
