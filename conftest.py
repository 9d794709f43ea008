"""Where the tests find `examples/`, which the wheel does not have.

The end of the path, not its start: an installed `authpi_errors` comes before the checkout's.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

pytest_plugins = ["pytester"]
