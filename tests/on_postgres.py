"""`python -m tests.on_postgres ARGS`: pytest with ARGS on PostgreSQL, where one is to be had.

That is the one of DATABASE_URL, or one of its own that lives as long as the run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from tests.servers import NO_POSTGRES, has_postgres, postgres


def main(arguments: list[str]) -> int:
    given = os.environ.get("DATABASE_URL", "")
    if not given and not has_postgres():
        line = f"the fast tests on PostgreSQL skipped: {NO_POSTGRES}"
        print(line)
        if os.environ.get("ABM_SKIPPED"):
            with Path(os.environ["ABM_SKIPPED"]).open("a") as file:
                file.write(f"{line}\n")
        return 1 if os.environ.get("ABM_CI") == "1" else 0
    with contextlib.nullcontext(given) if given else postgres() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "pytest", "--reuse-db", *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
