"""A loss with its options, checked once and called for many batches; its losses block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from fastxent import _checks, _evaluate, _focal, _losses, _options, _workers
from fastxent._handover import as_array

Array = np.ndarray[Any, Any]

#: Losses per block: what is made of them stays in the cache.
BLOCK = 1 << 15

#: What comes with each batch alone, as it has one element for every loss.
_PER_BATCH = ("sample_weight", "where")


class Block(NamedTuple):
    """Some of the losses, flat: loss times weight, the weight, and which of them count."""

    cut: tuple[slice, ...]
    losses: Array
    weights: Array | None  # None: every weight is 1
    kept: Array | None  # None: all are


class Call:
    """A loss, named or given as the function, and the options that stay the same for all batches.

    Parameters
    ----------
    loss : callable or str
    options : dict
        As the caller gave them.
    user : str
        Who takes them: for the messages.
    """

    __slots__ = ("loss", "options")

    def __init__(self, loss: Any, options: dict[str, Any], user: str) -> None:
        self.loss = _find(loss)
        self.options = _settled(self.loss, options, user)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Call)
            and self.loss == other.loss
            and all(_same(v, other.options[k]) for k, v in self.options.items() if k != "workers")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return ", ".join([self.loss.name, *(f"{k}={v!r:.60}" for k, v in self.changed().items())])

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.loss.name, self.changed(), "")

    def of(self, scores: str) -> Call:
        """The same call, with another name for the scores: for the messages."""
        call = Call.__new__(Call)
        call.loss, call.options = self.loss._replace(scores=scores), self.options
        return call

    def changed(self) -> dict[str, Any]:
        """The options that are not the defaults."""
        defaults = _defaults(self.loss)
        return {k: v for k, v in self.options.items() if not _same(v, defaults[k])}

    def pair(self, y_true: Any, scores: Any) -> tuple[Any, Any]:
        """Truth and scores; the entropy of p, which is given once, has p for both."""
        if (scores is None) != (self.loss.name == _options.ENTROPY.name):
            needs = "p alone" if scores is not None else f"{self.loss.truth} and {self.loss.scores}"
            raise TypeError(f"{self.loss.name} is of {needs}")
        return y_true, y_true if scores is None else scores

    def sums(self, y_true: Any, scores: Any, **batch: Any) -> _evaluate.Sums:
        """Sum one batch."""
        y_true, scores = self.pair(y_true, scores)
        return _evaluate.sums(self.loss, y_true, scores, **self._kernel_options(batch))[0]

    def _kernel_options(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As `_evaluate.sums` names them: what scales a loss is pos_weight, or the variance."""
        if batch.get("var") is not None and self.loss.name != _options.GAUSSIAN.name:
            raise TypeError(f"{self.loss.name} takes no var: it is gaussian_nll's")
        options = {**self.options, **{k: v for k, v in batch.items() if v is not None}}
        name = _scale_name(self.loss)
        if name:
            options["scale"] = options.pop(name)
        return options

    def elements(self, y_true: Any, scores: Any, **batch: Any) -> Elements:
        """One batch, whose losses are wanted one by one."""
        options = self._kernel_options(batch)
        return Elements(
            self.loss,
            options,
            self.pair(y_true, scores),
            lambda: self.sums(y_true, scores, **batch),
        )


class Elements:
    """The arrays of one batch, which can be cut alike.

    Parameters
    ----------
    loss : Loss
    options : dict
        As `_evaluate.sums` takes them.
    pair : tuple
        Truth and scores.
    fault : callable
        Raises what the kernels find wrong with the whole batch.
    """

    def __init__(
        self, loss: _options.Loss, options: dict[str, Any], pair: Any, fault: Callable[[], Any]
    ) -> None:
        y_true, scores = pair
        self.loss, self.fault = loss, fault
        self.scores = _checks.as_scores(scores, loss.scores)
        self.labels = _checks.as_labels(y_true, loss.truth)
        self.axis, self.indices = -1, False
        if loss.rows:
            self.axis = options["axis"] = _checks.class_axis(
                self.scores, options["axis"], loss.scores
            )
            self.indices = _checks.takes_indices(loss, self.labels, self.scores, self.axis)
        else:
            _checks.check_shapes(loss, self.labels, self.scores)
        self.shape = _checks.losses_shape(self.scores, self.axis)
        weight, mask = options.pop("sample_weight", None), options.pop("where", None)
        scale, classes = options.pop("scale", None), options.pop("class_weight", None)
        self.weight = self.mask = self.scale = self.classes = None
        if weight is not None:
            self.weight = spread(_checks.as_weight(weight, "sample_weight", self.shape), self.shape)
        if mask is not None:
            self.mask = _checks.as_mask(mask, self.shape)
        if scale is not None:
            name = _scale_name(loss) or ""
            self.scale = np.broadcast_to(_checks.as_scale(scale, name, self.shape), self.shape)
        if classes is not None:
            self.classes = _checks.as_class_weight(classes, self.scores.shape[self.axis])
        self.ignored = options.get("ignore_index")
        if "eps" in options:
            options["eps"] = _checks.epsilon(options["eps"], self.scores)
        self.workers = _checks.workers_wanted(options.pop("workers"))
        self.omits = options["nan_policy"] == "omit"
        if self.omits:  # what is NaN then is what was to be omitted
            options["nan_policy"] = "propagate"
        self.options = options

    def blocks(self, least: Callable[[int], int]) -> Iterator[Block]:
        """The losses in float64, block by block, in memory that does not grow with their number.

        Parameters
        ----------
        least : callable
            How many losses the block that begins with a certain one is to have, at least.

        Yields
        ------
        Block
        """
        try:
            yield from _workers.in_order(self._block, _cuts(self.shape, least), self.workers)
        except ValueError:
            self.fault()  # the place that the error names is one in the block
            raise

    def _block(self, cut: tuple[slice, ...]) -> Block:
        """The losses of one cut."""
        with_classes = cut
        if self.axis >= 0:
            with_classes = (*cut[: self.axis], slice(None), *cut[self.axis :])
        scores = self.scores[with_classes]
        labels = self.labels[cut if self.indices else with_classes]
        weight, mask, scale = (
            None if a is None else a[cut] for a in (self.weight, self.mask, self.scale)
        )
        if scores.dtype != np.float64:
            with np.errstate(invalid="ignore"):  # of a signaling NaN, which nan_policy is for
                scores = scores.astype(np.float64)
        _, losses = _evaluate.sums(
            self.loss, labels, scores, sample_weight=weight, where=mask, scale=scale,
            class_weight=self.classes, want_losses=True, **self.options,
        )  # fmt: skip
        assert losses is not None
        kept = self._kept(labels, losses, mask)
        weights = self._weights(labels, weight, kept)
        if self.omits and kept is not None:
            losses = np.where(kept, losses, 0.0)
        flat = (None if a is None else a.ravel() for a in (weights, kept))
        return Block(cut, losses.ravel(), *flat)

    def _kept(self, labels: Array, losses: Array, mask: Array | None) -> Array | None:
        """Which losses count."""
        kept = mask
        if self.ignored is not None:
            other = _others(labels, self.ignored)
            kept = other if kept is None else kept & other
        if self.omits:
            known = ~np.isnan(losses)
            kept = known if kept is None else kept & known
        return kept

    def _weights(self, labels: Array, weight: Array | None, kept: Array | None) -> Array | None:
        """sample_weight times class_weight of the label; 0 for what does not count."""
        weights = weight
        if self.classes is not None:
            if self.indices:
                known = labels if kept is None else np.where(kept, labels, 0)
                by_class = self.classes[known.astype(np.intp)]
            else:
                by_class = np.moveaxis(labels, self.axis, -1).astype(np.float64) @ self.classes
            weights = by_class if weights is None else weights * by_class
        if kept is not None:
            weights = np.where(kept, 1.0 if weights is None else weights, 0.0)
        return None if weights is None else np.asarray(weights, np.float64)


def _cuts(shape: tuple[int, ...], least: Callable[[int], int]) -> Iterator[tuple[slice, ...]]:
    """Cut an array of losses across its longest dimension."""
    if not shape:
        yield ()
        return
    longest = shape.index(max(shape))
    across = int(np.prod([n for d, n in enumerate(shape) if d != longest]))
    start = 0
    while start < shape[longest]:
        stop = start + max(1, max(BLOCK, least(start * across)) // max(1, across))
        yield (*[slice(None)] * longest, slice(start, stop))
        start = stop


def spread(array: Array, shape: tuple[int, ...]) -> Array:
    """One value per leading index becomes one per loss, without a copy."""
    missing = len(shape) - array.ndim
    return np.broadcast_to(array.reshape(array.shape + (1,) * missing), shape)


# ---- the options -----------------------------------------------------------------------------


#: The losses' functions by their names.
_PUBLIC = {**vars(_losses), **vars(_focal)}


def _find(loss: Any) -> _options.Loss:
    """The loss of that name, or whose public function it is."""
    for entry in _options.LOSSES:
        if loss == entry.name or loss is _PUBLIC[entry.name]:
            return entry
    names = ", ".join(entry.name for entry in _options.LOSSES)
    raise ValueError(f"loss={loss!r:.60} is unknown: use one of {names}")


def _scale_name(loss: _options.Loss) -> str | None:
    if loss.name == _options.GAUSSIAN.name:
        return "var"
    return "pos_weight" if "pos_weight" in loss.takes else None


def _defaults(loss: _options.Loss) -> dict[str, Any]:
    """The options that may be set once for all batches."""
    left_out = (*_PER_BATCH, "reduction", "out")
    defaults = {k: _options.DEFAULTS[k] for k in loss.takes if k not in left_out}
    if loss.name == _options.GAUSSIAN.name:
        defaults["var"] = 1.0
    return defaults


def _others(labels: Array, ignored: int) -> Array:
    """Which labels are not this one.

    A number beyond their dtype is not left to NumPy: it may crash there (its bug 28117).
    """
    if labels.dtype.kind in "iu":
        limits = np.iinfo(labels.dtype)
        if not limits.min <= ignored <= limits.max:
            return np.ones(labels.shape, bool)
        ignored = labels.dtype.type(ignored)
    others: Array = labels != ignored
    return others


def _settled(loss: _options.Loss, given: dict[str, Any], user: str) -> dict[str, Any]:
    """Check the options by name, and by value where no data are needed for that."""
    options = _defaults(loss)
    for name, value in given.items():
        if name in ("reduction", "out"):
            raise TypeError(f"{user} takes no {name}: it has the sums, and no array of losses")
        if name in _PER_BATCH:
            raise TypeError(f"{name} belongs to a batch: pass it to update")
        if name not in options:
            takes = ", ".join(options)
            raise TypeError(f"{loss.name} takes no option {name!r}: it takes {takes}")
        options[name] = value
        if not isinstance(value, (str, dict, NoneType)):
            array = as_array(value, name, scalars=True)
            # The caller's array may change; this one must not.
            options[name] = array.copy() if array.ndim else value
    _checks.nan_policy_number(options["nan_policy"])
    _checks.workers_wanted(options["workers"])
    if "eps" in options:
        _checks.epsilon(options["eps"], np.empty(0))
    if "gamma" in options:
        _checks.focusing(options["gamma"])
    if "label_smoothing" in options:
        _checks.smoothing(options["label_smoothing"])
    return options


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and np.array_equal(a, b))
