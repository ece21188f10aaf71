"""Which images a Dockerfile begins with. Grammar: docs.docker.com/reference/dockerfile/#from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

NOTHING = "scratch"
CONTINUED = re.compile(r"\\[ \t]*\n")
COMMENT = re.compile(r"^[ \t]*#.*\n?", re.MULTILINE)
ARGUMENT = re.compile(r"""(?P<name>\w+)(?:=(?P<value>"[^"]*"|'[^']*'|\S*))?""")
VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?::(?P<kind>[-+])(?P<word>[^}]*))?\})")


def base_images(text: str, build_args: Mapping[str, str]) -> list[str]:
    """Names as the Dockerfile gives them, each once; not earlier stages, nor `scratch`.

    One whose name or platform hangs on a variable without a value is left out: only the builder
    can know it.
    """
    values, found, stages = dict[str, str](), list[str](), {NOTHING}
    for instruction, rest in _instructions(text):
        if instruction == "ARG" and not (found or len(stages) > 1):
            for given in ARGUMENT.finditer(rest):
                default = (given["value"] or "").strip("\"'")
                values[given["name"]] = build_args.get(given["name"], _filled(default, values))
        elif instruction == "FROM":
            words = _filled(rest, values).split()
            flags = [word for word in words if word.startswith("--")]
            name, *alias = [word for word in words if not word.startswith("--")] or [""]
            if not flags and name and name.lower() not in stages and "$" not in _held(rest, values):
                found.append(name)
            stages.add(alias[1].lower() if len(alias) == 2 else f"#{len(stages)}")
    return list(dict.fromkeys(found))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = CONTINUED.sub(" ", COMMENT.sub("", text.replace("\r\n", "\n"))).splitlines()
    for line in lines:
        instruction, _, rest = line.strip().partition(" ")
        yield instruction.upper(), rest.strip()


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        given = values.get(found["bare"] or found["name"], "")
        if found["kind"] == "-":
            return given or found["word"]
        return (found["word"] if given else "") if found["kind"] == "+" else given

    return VARIABLE.sub(value, text)


def _held(text: str, values: Mapping[str, str]) -> str:
    """`text` with a `$` left where a variable has no value and no default."""
    return VARIABLE.sub(lambda found: _filled(found[0], values) or "$", text)
