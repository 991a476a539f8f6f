"""The command ``fastxent score``, from Python."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from typing import Any

__all__ = ["score_files"]


def score_files(
    files: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    label: str,
    proba: str | Iterable[str] | None = None,
    logits: str | Iterable[str] | None = None,
    compare: str | Iterable[str] | None = None,
    positive: str | None = None,
    classes: Iterable[str] | None = None,
    weight: str | None = None,
    by: str | Iterable[str] = (),
    worst: int | None = None,
    reduction: str = "mean",
    nan_policy: str = "raise",
    eps: float | str = "auto",
    **options: Any,
) -> dict[str, Any]:
    r"""Score the predictions in files: what ``fastxent score --json`` prints.

    Parameters
    ----------
    files : str, path, or iterable of them
        Files, directories and patterns, as the command takes them.
    label : str
        The column of the labels.
    proba, logits : str or iterable of str
        The score columns: one of the two.
    compare : str or iterable of str, optional
        The score columns of a second model.
    positive : str, optional
        The label that counts as 1.
    classes : iterable of str, optional
        The labels in the order of the score columns.
    weight : str, optional
        The column of the weights.
    by : str or iterable of str, optional
        The columns of the groups.
    worst : int, optional
        Also the rows of that many largest losses.
    reduction : {"mean", "sum"}
    nan_policy : {"raise", "propagate", "omit"}
    eps : float or "auto"
    **options
        The other options of the command, with underscores: ``no_header=True``.

    Returns
    -------
    dict
        The keys are those of the JSON: "loss", "files", "rows", and "mean", "standard_error" and so
        on, or "groups", a list of such records. Values that JSON cannot have are nan and inf here.

    Raises
    ------
    ValueError
        For bad input: the line that the command prints.

    Warns
    -----
    UserWarning
        As the command does: clipped rows, and probabilities that do not sum to 1.

    Notes
    -----
    It needs the extra ``fastxent[cli]``.

    Examples
    --------
    >>> import fastxent, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path = pathlib.Path(place, "predictions.csv")
    ...     _ = path.write_text("y,p\n1,0.9\n0,0.2\n1,0.5\n")
    ...     result = fastxent.score_files(path, label="y", proba="p")
    >>> round(result["mean"], 4), result["count"]
    (0.3406, 3)
    """
    given = {
        "label": label, "proba": proba, "logits": logits, "compare": compare, "positive": positive,
        "classes": classes, "weight": weight, "by": by, "worst": worst, "reduction": reduction,
        "nan_policy": nan_policy, "eps": eps, **options,
    }  # fmt: skip
    names = [files] if isinstance(files, (str, PathLike)) else files
    arguments = [*_arguments(given), "--", *(fspath(name) for name in names)]
    # Imported by the first call: the command needs pyarrow.
    result, warned = importlib.import_module("fastxent._cli.score").score(arguments)
    for text in warned:
        warnings.warn(text, stacklevel=2)
    found: dict[str, Any] = result
    return found


def _arguments(options: dict[str, Any]) -> Iterator[str]:
    """The options as on the command line."""
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            yield option
        elif value is not None and value is not False:
            values = [value] if isinstance(value, (str, int, float, PathLike)) else value
            texts = [str(one) for one in values]
            if name not in ("by", "only"):  # which are repeated
                texts = [",".join(texts)]
            yield from (f"{option}={text}" for text in texts)
