"""A simulated nvidia-smi: prints the outputs of a folder of lab/cards. There is no card behind it.

A file of the same name beside the program, where a test writes one, is printed instead: `apps.csv`
or `query.xml` for who holds memory right now.
"""

from __future__ import annotations

import shlex
from pathlib import Path

CARDS = Path(__file__).resolve().parent / "cards"
SCRIPT = """#!/bin/sh
# The lab's simulated nvidia-smi: prints answers out of files.
{before}
case "$*" in
  *--query-compute-apps*) answer=apps.csv ;;
  *--query-gpu*) answer=gpus.csv ;;
  "-q -x") answer=query.xml ;;
  -L) answer=list.txt ;;
  *) echo "Invalid combination of input arguments."; exit 2 ;;
esac
cd {folder} || exit 9
[ -f {beside}/$answer ] && cd {beside}
cat $answer
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
        "beside": shlex.quote(str(folder)),
    }
    file.write_text(SCRIPT.format(**quoted, code=code, before=before))
    file.chmod(0o755)
    return file
