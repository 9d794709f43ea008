"""What is below middleware, as far as it says so."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["attribute", "layers"]


def attribute(owner: object, name: str) -> object:
    """Give an attribute of what may be anybody's; `None` if there is none, or if asking fails.

    Some objects fail so until they are set up.
    """
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def layers(app: object) -> Iterator[object]:
    """Walk down a stack of middleware, each of which has what is below it in `app`.

    That is the convention. What does not follow it ends the walk, and so does an application, and
    what does not tell its class.
    """
    for _ in range(100):
        if app is None or attribute(app, "__class__") is None:
            return
        yield app
        app = attribute(app, "app")
