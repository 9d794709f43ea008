"""Properties are tried on the same examples each time: a failure is one of the change at hand."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
