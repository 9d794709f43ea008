"""What tests share. Properties are tried on the same examples each time."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A failure is one of the change at hand.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def log_that_fails() -> Iterator[None]:
    """Have every record of the logger fail in a filter, as one that counts on attributes does."""

    def fail(record: logging.LogRecord) -> bool:
        raise AttributeError("no status")

    logger = logging.getLogger("authpi_errors")
    logger.addFilter(fail)
    yield
    logger.removeFilter(fail)
