"""`python -m authpi_errors`, also `authpi-errors`: lists codes, and checks services.

What it is built with is an extra: without it there is one sentence that says what to install.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["main"]

_NEEDED = ("click", "httpx2", "rich")


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit status that `--help` explains.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(_refuse(missing))
    # Scripts don't have the folder that they are called in on their path, where the application is.
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))
    from authpi_errors._cli import cli  # noqa: PLC0415

    cli(prog_name="authpi-errors")


def _refuse(missing: list[str]) -> int:
    names = " and ".join(missing)
    print(f"The command line needs {names}: pip install 'authpi-errors[cli]'", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
