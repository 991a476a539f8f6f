"""The types that fastxent returns and takes, for annotations.

Examples
--------
>>> import fastxent
>>> from fastxent.typing import Score
>>> def is_precise(score: Score) -> bool:
...     return score.standard_error < 0.01 * score.mean
>>> is_precise(fastxent.score("binary_cross_entropy", [1, 0, 1], [0.9, 0.2, 0.5]))
False
"""

from fastxent._aggregate.groups import ByGroup, GroupMean
from fastxent._aggregate.largest_losses import LargestLosses
from fastxent._aggregate.standard_error import Comparison, Score
from fastxent._calibration.decomposition import Decomposition
from fastxent._calibration.platt import PlattFit
from fastxent._calibration.temperature import TemperatureFit
from fastxent._core.types import Array, ClassWeight, Epsilon, NanPolicy, Reduction, Value
from fastxent._losses import LogitStatistics

__all__ = [
    "Array",
    "ByGroup",
    "ClassWeight",
    "Comparison",
    "Decomposition",
    "Epsilon",
    "GroupMean",
    "LargestLosses",
    "LogitStatistics",
    "NanPolicy",
    "PlattFit",
    "Reduction",
    "Score",
    "TemperatureFit",
    "Value",
]
