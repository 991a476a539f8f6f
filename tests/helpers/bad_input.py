"""Bad input, and how it is refused."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.losses import BINARY, LOGITS, loss

SPOTS = [0, 1, 31, 1023, 1024, 2047, 2998, 2999]


def good(name, n=3000):
    """3,000 positions: bad ones stand in any block, alone or in a tail."""
    rng = np.random.default_rng(9)
    if name in BINARY:
        p, y = rng.uniform(0.1, 0.9, n), rng.integers(0, 2, n)
    else:
        p, y = rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)
    return y, np.log(p) if name in LOGITS else p


def refused(name, *args, match, **options):
    """Under every reduction, by one worker and by two; all three texts are one."""
    texts = set()
    for reduction in ("mean", "sum", "none"):
        for workers in (1, 2):
            with pytest.raises(ValueError, match=match) as caught:
                loss(name)(*args, reduction=reduction, workers=workers, **options)
            texts.add(str(caught.value))
    assert len(texts) == 1
    return texts.pop()
