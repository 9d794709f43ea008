"""`python -m examples.core_api`: serves the Core API until it is stopped."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from examples.core_api.app import create_app
from examples.core_api.demo import ACCOUNT, EXPIRED_SESSION, FULL


def commands(url: str) -> str:
    """What to try with curl, once the API is served at `url`."""
    issuers = f"{url}/v1/accounts/{ACCOUNT}/issuers"
    key = f"{FULL.id}:{FULL.secret}"
    body = '{"name": "Acme"}'
    return "\n".join(
        [
            f"curl -i -u {key} {url}/v1/me",
            f"curl -i -u {key} {issuers} -H 'Content-Type: application/json' -d '{body}'",
            f"curl -i -H 'Authorization: Bearer {EXPIRED_SESSION.token}' {issuers}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves the Core API."""
    parser = argparse.ArgumentParser(prog="python -m examples.core_api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one; default: %(default)s"
    )
    parser.add_argument(
        "--database",
        type=Path,
        default=os.environ.get("CORE_API_DATABASE"),
        help="the SQLite file; default: $CORE_API_DATABASE, else one that is deleted at the end",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, suppress(KeyboardInterrupt):
        app = create_app(Path(options.database or Path(temporary) / "core.sqlite3"))
        config = uvicorn.Config(app, host=options.host, port=options.port)
        with config.bind_socket() as listener:
            host, port = listener.getsockname()[:2]
            print(commands(f"http://{host}:{port}"), flush=True)
            uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
