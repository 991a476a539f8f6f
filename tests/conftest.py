"""What holds for all tests: Hypothesis' profiles, and the mark of the folder `peers`.

Hypothesis runs the same cases every time; HYPOTHESIS_PROFILE=explore looks for new ones.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.register_profile(
    "explore", settings.get_profile("ci"), derandomize=False, max_examples=5000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

PEERS = Path(__file__).with_name("peers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in `peers`."""
    for item in items:
        if PEERS in item.path.parents:
            item.add_marker("peers")
