"""A simulated nvidia-smi: prints the outputs of a folder of lab/cards. There is no card behind it.

`apps.csv` beside the program, where a test writes one, stands for who holds memory right now.
"""

from __future__ import annotations

import shlex
from pathlib import Path

CARDS = Path(__file__).resolve().parent / "cards"
SCRIPT = """#!/bin/sh
# The lab's simulated nvidia-smi: prints answers out of files.
{before}
cd {folder} || exit 9
case "$*" in
  *--query-compute-apps*) [ -f {apps} ] && exec cat {apps}; cat apps.csv ;;
  *--query-gpu*) cat gpus.csv ;;
  "-q -x") cat query.xml ;;
  -L) cat list.txt ;;
  *) echo "Invalid combination of input arguments."; exit 2 ;;
esac
exit {code}
"""


def write(folder: Path, machine: str = "two-equal", *, code: int = 0, before: str = "") -> Path:
    """Put a program `nvidia-smi` into `folder` that answers as `machine`, and return it.

    `before` are lines of shell that run first, such as `sleep 60` for a driver that hangs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nvidia-smi"
    quoted = {
        "folder": shlex.quote(str(CARDS / machine)),
        "apps": shlex.quote(str(folder / "apps.csv")),
    }
    file.write_text(SCRIPT.format(**quoted, code=code, before=before))
    file.chmod(0o755)
    return file
