"""linear_cross_entropy where other losses go: accumulators, scores, groups, comparisons."""

import pickle

import numpy as np
import pytest

import fastxent
from fastxent import LossAccumulator, linear_cross_entropy

RNG = np.random.default_rng(23)
TEXTS, LENGTH, FEATURES, WORDS = 6, 9, 5, 13
HIDDEN = RNG.normal(size=(TEXTS, LENGTH, FEATURES))
LAYER = {"weight": RNG.normal(size=(WORDS, FEATURES)), "bias": RNG.normal(size=WORDS)}
LABELS = RNG.integers(0, WORDS, (TEXTS, LENGTH))
LABELS[1, 4:] = LABELS[4, 7:] = -100
LOGITS = HIDDEN @ LAYER["weight"].T + LAYER["bias"]
TEXT = np.broadcast_to(np.arange(TEXTS)[:, None], LABELS.shape)
OPTIONS = {
    "ignore_index": -100, "class_weight": RNG.random(WORDS), "label_smoothing": 0.1, "z_loss": 0.01,
}  # fmt: skip
BATCH = {"sample_weight": RNG.random(LABELS.shape), "where": RNG.random(LABELS.shape) < 0.8}
OF_LOGITS = fastxent.categorical_cross_entropy_with_logits
BOTH = pytest.mark.parametrize("loss", [linear_cross_entropy, "linear_cross_entropy"])


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@BOTH
@pytest.mark.parametrize("size", [1, 2, 6])
def test_an_accumulator_has_the_mean_of_stored_logits(loss, size):
    acc = LossAccumulator(loss, **LAYER, **OPTIONS)
    for start in range(0, TEXTS, size):
        part = slice(start, start + size)
        batch = {name: array[part] for name, array in BATCH.items()}
        acc.update(LABELS[part], HIDDEN[part], **batch)
    want = LossAccumulator(OF_LOGITS, **OPTIONS)
    want.update(LABELS, LOGITS, **BATCH)
    close([acc.result(), acc.weight, acc.perplexity], [want.result(), want.weight, want.perplexity])
    assert acc.count == want.count


@BOTH
@pytest.mark.parametrize("clusters", [None, TEXT])
@pytest.mark.parametrize("groups", [None, TEXT % 2])
def test_score_is_that_of_stored_logits(loss, clusters, groups):
    keys = {"clusters": clusters, "groups": groups}
    got = fastxent.score(loss, LABELS, HIDDEN, **keys, **LAYER, **OPTIONS, **BATCH)
    want = fastxent.score(OF_LOGITS, LABELS, LOGITS, **keys, **OPTIONS, **BATCH)
    for key in (None,) if groups is None else (0, 1):
        pair = (got, want) if groups is None else (got[key], want[key])
        close(*pair)


def test_clusters_over_batches_groups_and_the_largest():
    acc = LossAccumulator(linear_cross_entropy, **LAYER, ignore_index=-100)
    for part in (slice(0, 4), slice(4, 6)):
        acc.update(LABELS[part], HIDDEN[part], clusters=TEXT[part])
    close(acc.score(), fastxent.score(OF_LOGITS, LABELS, LOGITS, clusters=TEXT, ignore_index=-100))
    for function, rest in ((fastxent.grouped, (TEXT,)), (fastxent.largest_losses, (5,))):
        got = function(linear_cross_entropy, LABELS, HIDDEN, *rest, **LAYER, ignore_index=-100)
        want = function(OF_LOGITS, LABELS, LOGITS, *rest, ignore_index=-100)
        pairs = zip(*((t.values() if rest[0] is TEXT else t) for t in (got, want)), strict=True)
        for a, b in pairs:
            close(a, b)


def test_compare_takes_two_arrays_of_hidden_states():
    other = HIDDEN + 0.1
    got = fastxent.compare(linear_cross_entropy, LABELS, HIDDEN, other, **LAYER, ignore_index=-100)
    logits = other @ LAYER["weight"].T + LAYER["bias"]
    want = fastxent.compare(OF_LOGITS, LABELS, LOGITS, logits, ignore_index=-100)
    close(got, want)


@pytest.mark.parametrize("policy", ["omit", "propagate"])
def test_nan(policy):
    hidden, logits = HIDDEN.copy(), LOGITS.copy()
    hidden[0, 2, 3] = logits[0, 2] = np.nan
    options = {"ignore_index": -100, "nan_policy": policy}
    got = fastxent.score(linear_cross_entropy, LABELS, hidden, **LAYER, **options)
    close(got, fastxent.score(OF_LOGITS, LABELS, logits, **options))


def test_accumulators_of_one_layer_are_merged_and_pickled():
    acc = LossAccumulator(linear_cross_entropy, **LAYER, ignore_index=-100)
    acc.update(LABELS, HIDDEN)
    both = pickle.loads(pickle.dumps(acc)) + acc
    assert both.count == 2 * acc.count and both.result() == acc.result()
    other = LossAccumulator(linear_cross_entropy, weight=2 * LAYER["weight"], ignore_index=-100)
    with pytest.raises(ValueError, match="different losses"):
        acc.merge(other)


def test_the_layer_is_not_copied():
    acc = LossAccumulator(linear_cross_entropy, **LAYER)
    assert acc._call.layer["weight"] is LAYER["weight"]


def test_refusals():
    with pytest.raises(TypeError, match="needs weight: pass LossAccumulator the weights"):
        LossAccumulator(linear_cross_entropy)
    with pytest.raises(TypeError, match="takes no option 'axis'"):
        LossAccumulator(linear_cross_entropy, **LAYER, axis=0)
    with pytest.raises(TypeError, match="takes no var"):
        fastxent.score(linear_cross_entropy, LABELS, HIDDEN, **LAYER, var=1.0)
    acc = LossAccumulator(linear_cross_entropy, **LAYER)
    with pytest.raises(TypeError, match="takes y_true and hidden"):
        acc.update(LABELS)
    with pytest.raises(fastxent.ElementError, match=r"y_true\[1, 4\] = -100"):
        acc.update(LABELS, HIDDEN)
    assert acc.count == 0
