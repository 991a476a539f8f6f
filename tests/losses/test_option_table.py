"""The table of options says which loss takes which: none is ignored, and the tests draw each."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fastxent
from fastxent._core.options import DEFAULTS
from fastxent._losses import LOSSES
from helpers.losses import loss
from helpers.strategies import cases

RNG = np.random.default_rng(5)
ROWS = RNG.dirichlet(np.ones(4), (6, 5))
HARD, INDEX = RNG.integers(0, 2, (6, 5)), RNG.integers(0, 4, (6, 5))
Y, SPREAD = RNG.normal(0, 3, (2, 6, 5))

#: What changes the result of a call on the arrays of `example`.
CHANGES = {
    "axis": 1,
    "class_weight": [1.0, 2.0, 0.5, 0.0],
    "ignore_index": 1,
    "pos_weight": 3.0,
    "alpha": 0.25,
    "gamma": 0.5,
    "full": True,
    "sample_weight": np.arange(6.0),
    "where": np.arange(30).reshape(6, 5) % 3 > 0,
    "label_smoothing": 0.2,
    "softcap": 2.0,
    "z_loss": 0.5,
    "eps": 0.1,
    "nan_policy": "omit",
    "reduction": "sum",
}
TABLE = [
    pytest.param(entry, option, id=f"{entry.name}-{option}")
    for entry in LOSSES
    for option in entry.options
]


def example(entry, option):
    """The arrays of a call. Where axis may be another, the labels are distributions."""
    if entry.name == "gaussian_nll":
        return Y, SPREAD
    if entry.name == "poisson_nll":
        return HARD * 3, SPREAD
    if not entry.per_row:
        return HARD, SPREAD if entry.scores_name == "logits" else ROWS[..., 0]
    if entry.name == "kl_divergence_with_logits":
        return SPREAD[..., None] * np.arange(4.0), np.log(ROWS)
    rows = np.log(ROWS) + 1.0 if entry.scores_name == "logits" else ROWS
    if entry.name == "entropy":
        return (rows,)
    return ROWS[::-1] if entry.name == "kl_divergence" or option == "axis" else INDEX, rows


def result(entry, option, value):
    """Of a call with that option; with a NaN among the scores, if the option is for that."""
    args = [array.copy() for array in example(entry, option)]
    if option == "nan_policy":
        args[-1][0, 0] = np.nan
    try:
        return loss(entry.name)(*args, **{option: value})
    except ValueError as error:
        return type(error)


@pytest.mark.parametrize("entry, option", TABLE)
def test_no_option_is_ignored(entry, option):
    """What is given changes the result; or it is where the result goes, or who computes it."""
    if option == "workers":
        with pytest.raises(ValueError, match="workers=0"):
            loss(entry.name)(*example(entry, option), workers=0)
    elif option == "out":
        each = loss(entry.name)(*example(entry, option), reduction="none")
        out = np.empty_like(each)
        assert loss(entry.name)(*example(entry, option), reduction="none", out=out) is out
        np.testing.assert_array_equal(out, each)
    else:
        default = result(entry, option, entry.eps if option == "eps" else DEFAULTS[option])
        assert result(entry, option, CHANGES[option]) != default


@pytest.mark.parametrize("entry, option", TABLE)
def test_an_accumulator_takes_it_too(entry, option):
    """With the meaning that it has for the loss; what comes with a batch is for `update`."""
    if option in ("out", "reduction"):
        with pytest.raises(TypeError, match=option):
            fastxent.LossAccumulator(entry.name, **{option: DEFAULTS[option]})
        return
    given = {option: {**CHANGES, "workers": 2}[option]}
    of_batch = given if option in ("sample_weight", "where") else {}
    total = fastxent.LossAccumulator(entry.name, **({} if of_batch else given))
    args = example(entry, option)
    total.update(*args, **of_batch)
    assert total.result() == loss(entry.name)(*args, **given)


@pytest.mark.parametrize("entry", [e for e in LOSSES if "gamma" not in e.options])
def test_the_strategies_draw_every_option(entry):
    """So that none is left out of the combinations; test_focal.py has those of the focal losses."""
    drawn = set()

    @settings(max_examples=200, phases=[Phase.generate])
    @given(cases(entry.name))
    def draw(case):
        drawn.update(case.options)

    draw()
    assert drawn - {"var"} == set(entry.options) - {"out"}  # test_out_aliasing.py has it
