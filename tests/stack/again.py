"""`python -m tests.stack.again ARGS`: pytest with ARGS on the files in which a test failed last.

A file of this folder is one story: no test of it can be asked without those before it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.browser.server import ROOT

LAST_FAILED = Path(".pytest_cache", "v", "cache", "lastfailed")
FOLDER = Path(__file__).parent.relative_to(ROOT)


def failed_files(root: Path) -> list[str]:
    """As pytest wrote them down: those of this folder that are still there, each once."""
    try:
        failed = json.loads((root / LAST_FAILED).read_text())
    except FileNotFoundError:
        return []
    files = {name.split("::")[0] for name in failed}
    return sorted(
        file for file in files if FOLDER in Path(file).parents and (root / file).is_file()
    )


def main(arguments: list[str]) -> int:
    files = failed_files(ROOT)
    # Without a name pytest would ask everything.
    return int(pytest.main([*arguments, "-n", "0", *files])) if files else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
