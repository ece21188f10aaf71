"""`python -m lab up | down | status | can | env`, and `paste HOST`."""

from __future__ import annotations

import argparse
import sys
import time

from lab.fleet import Lab
from lab.kernel import check_kernel
from lab.place import LabError, the_place

VERBS = {
    "up": "start what does not run and make what is missing",
    "down": "end what up has started; images stay for the next time",
    "status": "say what runs; ends with 1 if something does not",
    "can": "say whether this machine can have it; ends with 1 if it cannot",
    "env": "print the variables that abm needs to use it",
}


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m lab", description="abm's test lab.")
    verbs = words.add_subparsers(dest="verb", required=True)
    for verb, meaning in VERBS.items():
        verbs.add_parser(verb, help=meaning)
    paste = verbs.add_parser("paste", help="type on a remote host what comes in on this input")
    paste.add_argument("host", help="gpu1 or cpu1")
    said = words.parse_args()
    try:
        if said.verb == "paste":
            print(Lab(the_place()).paste(said.host, sys.stdin.read()), end="")
            return 0
        return _do(said.verb, Lab(the_place()))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1


def _do(verb: str, lab: Lab) -> int:
    begun = time.monotonic()
    if verb == "up":
        lab.up()
        print(f"The lab is up after {time.monotonic() - begun:.1f} s.\n{lab.environment()}", end="")
    elif verb == "down":
        lab.down()
        print(f"The lab is down after {time.monotonic() - begun:.1f} s.")
    elif verb == "can":
        check_kernel(lab.place)
    elif verb == "env":
        lab.require_up()
        print(lab.environment(), end="")
    else:
        faults = lab.faults()
        print("\n".join(faults) or f"The lab is up.\n{lab.environment()}".rstrip())
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
