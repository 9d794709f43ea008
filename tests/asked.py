"""A request of which as much is known as a test says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authpi_errors._rendering import Asked


@dataclass(frozen=True)
class Request(Asked):
    """What rendering may ask, and the answers."""

    sent_method: str = "GET"
    credentials: bool = True
    allowed: Iterable[str] = ()
    made_reference: str | None = None

    @property
    def method(self) -> str:
        return self.sent_method

    def has_credentials(self) -> bool:
        return self.credentials

    def allowed_methods(self) -> Iterable[str]:
        return self.allowed

    def reference(self, status: int) -> str | None:
        return self.made_reference if status >= 500 else None
