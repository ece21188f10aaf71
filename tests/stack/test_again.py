"""What failed in a story is asked once more from the story's beginning."""

from __future__ import annotations

import json
from pathlib import Path

from tests.stack.again import LAST_FAILED, failed_files


def write_failed(root: Path, *names: str) -> None:
    file = root / LAST_FAILED
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(dict.fromkeys(names, True)))
    for name in ("tests/stack/test_whole.py", "tests/stack/test_compose.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_each_file_of_the_stack_in_which_a_test_failed_is_asked_once(tmp_path: Path) -> None:
    write_failed(
        tmp_path,
        "tests/stack/test_whole.py::test_a",
        "tests/stack/test_whole.py::test_b[one]",
        "tests/stack/test_compose.py::test_c",
        "tests/stack/test_former.py::test_of_a_file_that_was_renamed",
        "tests/fleet/test_docker.py::test_d",
    )

    assert failed_files(tmp_path) == ["tests/stack/test_compose.py", "tests/stack/test_whole.py"]


def test_nothing_is_asked_when_nothing_failed(tmp_path: Path) -> None:
    assert failed_files(tmp_path) == []
