"""The words of the docstrings for the arguments of the losses, each written once.

`documented` adds the sections Parameters, Returns and Raises to a loss's docstring, from its signature,
the table here and OPTIONS: `help`, Sphinx and notebooks show the whole text.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from fastxent._core.loss import Loss
from fastxent._core.options import OPTIONS

Function = TypeVar("Function", bound=Callable[..., Any])

_FLOATS = "array-like of float16, bfloat16, float32 or float64"

# argument: its type and its words; those of options are in OPTIONS. A prefix says where they hold:
# "rows." for losses of rows, a loss's name, or the kind of function. {default} is the signature's.
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
        The truth: class indices from 0, as integers of any width or floats that are whole numbers,
        in the scores' shape without `axis`; or a distribution per row, as numbers from 0 to 1, in
        the scores' own shape. `nan_policy` says what a class index of NaN means.
        """,
    ),
    "gaussian_nll.y_true": ("array-like", "The observations, in the shape of `mean`."),
    "y_proba": (
        _FLOATS,
        "The probability of a 1. Integers become float64. Values outside [0, 1] are an error.",
    ),
    "rows.y_proba": (
        _FLOATS,
        """
        The probability of each class, along `axis`; nothing is renormalised. Integers become
        float64. Values outside [0, 1] are an error; with class indices and no label smoothing, only
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
    "poisson_nll.y_true": (
        "array-like",
        "The counts, 0 or more, in the shape of `log_rate`. They need not be whole numbers.",
    ),
    "poisson_nll.full": ("bool, default {default}", "Add log y!, which no rate changes."),
    "log_rate": (
        _FLOATS,
        """
        The logarithm of the rate: any number. At -inf a count of 0 costs 0 and any other inf; at
        +inf every count costs inf.
        """,
    ),
    "linear_cross_entropy.y_true": (
        "array-like",
        """
        Class indices from 0, as integers of any width, in the shape of `hidden` without its last
        axis; or a distribution over the classes for each row.
        """,
    ),
    "hidden": (_FLOATS, "Hidden states, of shape (..., features)."),
    "weight": (_FLOATS, "The weights of the last layer, of shape (classes, features)."),
    "bias": ("array-like, optional", "One number for each class."),
    "linear_cross_entropy.workers": (
        "int, default {default}",
        """
        Number of threads for what follows the product; -1 uses every CPU available to the process.
        """,
    ),
    "mean": (_FLOATS, "The Gaussian's mean. Integers become float64."),
    "q": (
        "array-like",
        """
        Reference (true) distributions, in the shape of `p`; or class indices, in that shape
        without `axis`.
        """,
    ),
    "kl_divergence.eps": (
        'float or "auto", default {default}',
        """
        Clip p to ``[eps, 1 - eps]``; 0 clips nothing. "auto" is the machine epsilon of the dtype of
        `p`: with many classes, whose probabilities are small, it changes the result.
        """,
    ),
    "p": (_FLOATS, "Distributions along `axis`; nothing is renormalised."),
    "q_logits": (
        "array-like",
        """
        Logits of the reference distributions, along `axis`, in the shape of `p_logits`: any
        numbers, ±inf too.
        """,
    ),
    "p_logits": (_FLOATS, "Logits of the other distributions, along `axis`."),
    "hess_floor": (
        "float, default {default}",
        """
        Lower bound for the Hessian entries: smaller ones, which occur because the loss is not
        convex, are raised to it before they are multiplied by the weights (and by `alpha`, for
        labels that are not soft). -inf: no bound.
        """,
    ),
    "value_and_grad.out": (
        "ndarray, optional",
        """
        Where the gradient is written: of the scores' shape and dtype, or of float32 for half
        precision. It may be the scores' own array; that is read once before, so that an error
        leaves it as it was.
        """,
    ),
    "grad_hess.out": (
        "tuple of two ndarray, optional",
        """
        Where the results are written: of the scores' shape and dtype, or of float32 for half
        precision.
        """,
    ),
    "grad_hess.sample_weight": (
        "array-like, optional",
        """
        A weight for each loss, or for each leading index of the losses; 0 or more. Both results are
        multiplied by it.
        """,
    ),
}

# What a function returns: its sections after Parameters.
RETURNS = {
    "value": textwrap.dedent("""
        Returns
        -------
        float or ndarray
            The mean (nan if no element counts) or the sum (0.0 then), summed in float64 or better
            for every input dtype. With ``reduction="none"`` an array in the dtype of the scores,
            float32 for half precision.
        """),
    "value_and_grad": textwrap.dedent("""
        Returns
        -------
        value : float or ndarray
            As the loss without its gradient returns it.
        grad : ndarray
            In the scores' shape and dtype, float32 for half precision: the gradient of the value,
            or with ``reduction="none"`` of each loss. It is 0 where an element does not count.
        """),
    "linear_value_and_grad": textwrap.dedent("""
        Returns
        -------
        value : float or ndarray
            As the loss without its gradients returns it.
        gradients : tuple of three
            By `hidden`, `weight` and `bias`, in their shapes and dtypes, float32 for half precision;
            None for a bias that is None.
        """),
    "grad_hess": textwrap.dedent("""
        Returns
        -------
        grad, hess : ndarray
            In the scores' shape and dtype, float32 for half precision; 0 where an element does not
            count.
        """),
}

RAISES = textwrap.dedent("""
    Raises
    ------
    ValueError
        Invalid value, shape or option; for a bad element an `ElementError`. The message says which
        argument, what is wrong, where, and what to do.
    TypeError
        Unsupported dtype: longdouble, complex, objects, strings.
    """)

#: The indentation of a function's docstring: Python 3.13 takes it off.
INDENTATION = "" if sys.version_info >= (3, 13) else "    "


def documented(loss: Loss, returns: str = "value") -> Callable[[Function], Function]:
    """Complete the docstring of a function that takes a loss's arguments."""

    def complete(function: Function) -> Function:
        if function.__doc__:  # python -OO leaves none
            sections = [parameters(loss, function, returns), RETURNS[returns], RAISES]
            text = function.__doc__.replace(f"\n{INDENTATION}", "\n")
            intro, heading, rest = text.partition("\nExamples\n")
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
        default = defaults.get(name, OPTIONS[name].default if name in OPTIONS else None)
        lines.append(f"{name} : {kind.replace('{default}', str(default))}")
        lines.extend([f"    {line.strip()}" for line in text.strip().splitlines()])
    return "\n".join(lines)


def argument(loss: Loss, name: str, returns: str = "value") -> tuple[str, str]:
    """The most specific words: of ARGUMENTS, or of the option."""
    keys = (
        f"{returns}.{name}",
        f"{loss.name}.{name}",
        f"rows.{name}" if loss.per_row else name,
        name,
    )
    for key in keys:
        if key in ARGUMENTS:
            return ARGUMENTS[key]
    option = OPTIONS[name]
    if loss.per_row:
        return option.row_type or option.type, option.row_text or option.text
    return option.type, option.text
