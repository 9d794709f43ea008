"""How long the tests of this folder run: for a minute each, unless they are given more.

pytest tests/endurance --fuzz-seconds 3600 --soak-seconds 1200
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=60, help="for all targets together")
    parser.addoption("--soak-seconds", type=float, default=60, help="how long the server serves")
