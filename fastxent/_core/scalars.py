"""Single numbers: what may be one, and the interval it must lie in."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np


def as_index(value: Any, name: str) -> int:
    """An integer that fits into 64 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r:.60} is not an integer") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}={number} does not fit into 64 bits")
    return number


def as_float(value: Any, name: str) -> float:
    """A real number."""
    if type(value) is float:
        return value
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError  # float() would parse it
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}={value!r:.60} is not a number") from None
    except OverflowError:
        raise ValueError(f"{name}={value!r:.60} is too large for a float") from None


def as_bool(value: Any, name: str) -> bool:
    """True or False; nothing else is converted."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r:.60} is not a boolean: pass True or False")
    return bool(value)


class Interval(NamedTuple):
    """The numbers from `lower` to `upper`. An open end is not one of them."""

    lower: float
    upper: float
    open_lower: bool = False
    open_upper: bool = False

    def __str__(self) -> str:
        if not (self.open_upper and self.upper == math.inf):
            ends = "[("[self.open_lower], "])"[self.open_upper]
            return f"in {ends[0]}{self.lower:g}, {self.upper:g}{ends[1]}"
        if self.lower == -math.inf:
            return "a finite number" if self.open_lower else "a number below inf"
        return f"a finite number {'above' if self.open_lower else 'of at least'} {self.lower:g}"

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest float in it."""
        lower = math.nextafter(self.lower, math.inf) if self.open_lower else self.lower
        upper = math.nextafter(self.upper, -math.inf) if self.open_upper else self.upper
        return lower, upper

    def checked(self, value: Any, name: str, hint: str = "") -> float:
        """The value as a float, which must lie in the interval."""
        number = as_float(value, name)
        above = number > self.lower if self.open_lower else number >= self.lower
        below = number < self.upper if self.open_upper else number <= self.upper
        if not (above and below):
            raise ValueError(f"{name}={number} is not {self}{hint}")
        return number


UNIT = Interval(0.0, 1.0)
REAL = Interval(-math.inf, math.inf)
NON_NEGATIVE = Interval(0.0, math.inf, open_upper=True)
POSITIVE = Interval(0.0, math.inf, open_lower=True, open_upper=True)
MODERATE = Interval(1e-30, 1e30)  # float32 holds it and its inverse


def two_sum(a: float, b: float) -> tuple[float, float]:
    """The sum and its rounding error (Knuth); an infinite or nan sum has none."""
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    return total, error if error == error else 0.0  # noqa: PLR0124
