"""What every docstring says of an argument, said once.

`documented` puts the sections Parameters, Returns and Raises into a loss's docstring, from its own
signature and the table here: `help`, Sphinx and notebooks see the whole text. For editors that read
without running, tools/write_stubs.py writes it out into the stubs, and a test says when it is due.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from fastxent._core.loss import NAN_POLICIES, REDUCTIONS, Loss

Function = TypeVar("Function", bound=Callable[..., Any])

_FLOATS = "array-like of float16, bfloat16, float32 or float64"

# argument: its type, and what it is. "rows." or "binary.", or a loss's own name, before it: what it
# is there. {default} is the one of the signature.
ARGUMENTS = {
    "y_true": (
        "array-like",
        """
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
        """,
    ),
    "rows.y_true": (
        "array-like",
        """
        The truth: class indices from 0, as integers of any width, in the scores' shape without
        `axis`; or a distribution per row, as numbers from 0 to 1, in the scores' own shape.
        """,
    ),
    "gaussian_nll.y_true": ("array-like", "The observations, in the shape of `mean`."),
    "y_proba": (
        _FLOATS,
        "The probability of a 1. Integers become float64. What is outside [0, 1] is an error.",
    ),
    "rows.y_proba": (
        _FLOATS,
        """
        The probability of each class, along `axis`; nothing is renormalised. Integers become
        float64. What is outside [0, 1] is an error; of class indices that are not smoothed, only
        the target's probability is read.
        """,
    ),
    "logits": (
        _FLOATS,
        "The log-odds of a 1: any number, ±inf too, where the loss is its limit.",
    ),
    "rows.logits": (
        _FLOATS,
        """
        The logarithm of each class's probability, along `axis`, up to a constant per row. A target
        at +inf costs 0, one at -inf costs inf.
        """,
    ),
    "mean": (_FLOATS, "The Gaussian's mean. Integers become float64."),
    "var": (
        "array-like, default 1.0",
        "The Gaussian's variance, above 0: one number, or what broadcasts to the shape of `mean`.",
    ),
    "q": (
        "array-like",
        """
        The distributions to diverge from, in the shape of `p`; or class indices, in that shape
        without `axis`.
        """,
    ),
    "p": (_FLOATS, "Distributions along `axis`; nothing is renormalised."),
    "axis": ("int, default {default}", "The axis of the classes. None of them costs a copy."),
    "class_weight": (
        "array-like or dict, optional",
        """
        A weight per class, which multiplies the class's term in the loss and, with the label's
        share of that class, its weight in the mean. In a dict, a class that is missing weighs 1.
        """,
    ),
    "ignore_index": (
        "int, optional",
        "A label that counts neither in the sum nor in the weight; class indices only.",
    ),
    "pos_weight": (
        "array-like, optional",
        """
        What the term of a label 1 is multiplied by: one number, or what broadcasts to the losses'
        shape. The mean's denominator stays as it is.
        """,
    ),
    "alpha": (
        "float, optional",
        """
        From 0 to 1: what the loss of a label 1 is multiplied by, and 1 - alpha that of a 0 (a soft
        label's by its share of both). None: nothing. The mean's denominator stays as it is.
        """,
    ),
    "rows.alpha": (
        "float or array-like, optional",
        """
        What the term of each class is multiplied by: one number for each, or one for all. Unlike
        `class_weight` it has no part in the mean's denominator.
        """,
    ),
    "gamma": (
        "float, default {default}",
        "At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.",
    ),
    "hess_floor": (
        "float, default {default}",
        """
        The least second derivative. What is below it, as the loss is not convex, counts as this,
        before it is multiplied by the weights (and `alpha`, for labels that are not soft); -inf
        leaves it as it is.
        """,
    ),
    "full": ("bool, default {default}", "Add the constant log(2π)/2."),
    "sample_weight": (
        "array-like, optional",
        """
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
        """,
    ),
    "where": (
        "array-like of bool, optional",
        """
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
        """,
    ),
    "label_smoothing": (
        "float, default {default}",
        "From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.",
    ),
    "rows.label_smoothing": (
        "float, default {default}",
        """
        From 0 to 1: that share of every label is spread evenly over all classes, the target
        included.
        """,
    ),
    "eps": (
        '"auto" or float, default "{default}"',
        """
        Probabilities are clipped to ``[eps, 1 - eps]``. "auto" is the machine epsilon of the
        scores' dtype; with 0 nothing is clipped, and what was certain and wrong costs inf.
        """,
    ),
    "nan_policy": (
        "{" + ", ".join(f'"{policy}"' for policy in NAN_POLICIES) + '}, default "{default}"',
        """
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
        """,
    ),
    "reduction": (
        "{" + ", ".join(f'"{reduction}"' for reduction in REDUCTIONS) + '}, default "{default}"',
        """
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
        """,
    ),
    "out": (
        "ndarray, optional",
        'Where the losses of ``reduction="none"`` are written: of their shape and dtype.',
    ),
    "value_and_grad.out": (
        "ndarray, optional",
        """
        Where the gradient is written: of the scores' shape and dtype. It may be the scores' own
        array; that is read once before, so that an error leaves it as it was.
        """,
    ),
    "grad_hess.out": (
        "tuple of two ndarray, optional",
        "Where the results are written: of the scores' shape and dtype.",
    ),
    "grad_hess.sample_weight": (
        "array-like, optional",
        """
        A weight for each loss, or for each leading index of the losses; 0 or more. Both results are
        multiplied by it.
        """,
    ),
    "workers": (
        "int, default {default}",
        "Threads to use; -1 is every CPU that the process may use. The result has the same bits.",
    ),
}

# What a function returns: its sections after Parameters.
RETURNS = {
    "value": """
        Returns
        -------
        float or ndarray
            The mean (nan over nothing) or the sum (0.0 over nothing), summed in float64 or better
            whatever the input. With ``reduction="none"`` an array in the dtype of the scores,
            float32 for half precision.
        """,
    "value_and_grad": """
        Returns
        -------
        value : float or ndarray
            As the loss without its gradient returns it.
        grad : ndarray
            In the scores' shape and dtype, float32 for half precision: the gradient of the value,
            or with ``reduction="none"`` of each loss. It is 0 where an element does not count.
        """,
    "grad_hess": """
        Returns
        -------
        grad, hess : ndarray
            In the scores' shape and dtype, float32 for half precision; 0 where an element does not
            count.
        """,
}

RAISES = """
    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.
    """


def documented(loss: Loss, returns: str = "value") -> Callable[[Function], Function]:
    """Complete the docstring of a function that takes a loss's arguments."""

    def complete(function: Function) -> Function:
        if function.__doc__:  # python -OO leaves none
            sections = [
                parameters(loss, function, returns),
                dedent(RETURNS[returns]),
                dedent(RAISES),
            ]
            intro, heading, rest = dedent(function.__doc__).partition("\nExamples\n")
            notes = intro.find("\nNotes\n")
            cut = len(intro) if notes < 0 else notes + 1
            parts = [intro[:cut], *sections, intro[cut:], heading + rest]
            function.__doc__ = "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
        return function

    return complete


def objective(function: Function) -> Function:
    """Show LightGBM the three arguments that it passes: it counts those of the signature."""
    shown = list(inspect.signature(function).parameters.values())[:3]
    function.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return function


def parameters(loss: Loss, function: Callable[..., Any], returns: str = "value") -> str:
    """The section Parameters, in the order of the signature."""
    code, defaults = function.__code__, function.__kwdefaults__ or {}
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    lines = ["Parameters", "----------"]
    for name in names:
        kind, text = argument(loss, name, returns)
        lines.append(f"{name} : {kind.replace('{default}', str(defaults.get(name)))}")
        lines.extend(f"    {line}" for line in dedent(text).splitlines())
    return "\n".join(lines)


def argument(loss: Loss, name: str, returns: str = "value") -> tuple[str, str]:
    """The most particular entry of the table."""
    keys = (f"{returns}.{name}", f"{loss.name}.{name}", f"rows.{name}" if loss.rows else name, name)
    return next(ARGUMENTS[key] for key in keys if key in ARGUMENTS)


def dedent(text: str) -> str:
    """A docstring without the indentation that all lines but its first have."""
    first, _, rest = text.partition("\n")
    return f"{first.strip()}\n{textwrap.dedent(rest)}".strip()
