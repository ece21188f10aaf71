"""Reading a log that another process writes and rotates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.runners.local_log import follow, tail_of
from jobs.outcome import CancelToken


class Written:
    """A log as the launcher writes one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)

    def turn(self) -> None:
        for number in (2, 1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self.path.touch()


@pytest.fixture
def log(tmp_path: Path) -> Written:
    return Written(tmp_path / "engine.log")


@pytest.fixture
def cancel() -> Iterator[CancelToken]:
    token = CancelToken()
    yield token
    token.cancel()


def take(lines: Iterator[str], count: int) -> list[str]:
    return [next(lines) for _ in range(count)]


def test_the_tail_reaches_back_into_older_pieces(log: Written) -> None:
    log.add("one\ntwo\n")
    log.turn()
    log.add("three\n")
    log.turn()
    log.add("four\nfi")

    assert tail_of(log.path, 4) == ["two", "three", "four", "fi"]
    assert tail_of(log.path, 1) == ["fi"]
    assert tail_of(log.path, 0) == []
    assert tail_of(log.path, 99) == ["one", "two", "three", "four", "fi"]


def test_a_log_that_is_not_there_has_no_lines(log: Written) -> None:
    assert tail_of(log.path, 5) == []


def test_a_line_written_while_the_tail_is_read_is_not_lost(
    log: Written, cancel: CancelToken
) -> None:
    log.add("one\ntwo\n")
    lines = follow(log.path, tail=5, cancel=cancel)
    first = next(lines)
    log.add("three\n")

    assert [first, *take(lines, 2)] == ["one", "two", "three"]


def test_a_line_that_is_half_written_comes_whole(log: Written, cancel: CancelToken) -> None:
    log.add("one\ntw")
    lines = follow(log.path, tail=5, cancel=cancel)
    first = next(lines)
    log.add("o\n")

    assert [first, next(lines)] == ["one", "two"]


def test_following_loses_nothing_when_the_log_is_turned_over(
    log: Written, cancel: CancelToken
) -> None:
    log.add("one\n")
    lines = follow(log.path, tail=5, cancel=cancel)
    first = next(lines)
    log.add("two\n")
    log.turn()
    log.add("three\n")
    log.turn()
    log.add("four\n")

    assert [first, *take(lines, 3)] == ["one", "two", "three", "four"]


def test_a_log_that_begins_later_is_followed_from_its_start(
    log: Written, cancel: CancelToken
) -> None:
    lines = follow(log.path, tail=5, cancel=cancel)
    log.add("one\n")

    assert next(lines) == "one"


def test_a_reader_that_was_too_slow_goes_on_with_what_is_left(
    log: Written, cancel: CancelToken
) -> None:
    log.add("one\n")
    lines = follow(log.path, tail=5, cancel=cancel)
    first = next(lines)
    for number in range(2, 7):
        log.turn()
        log.add(f"{number}\n")

    assert [first, *take(lines, 4)] == ["one", "3", "4", "5", "6"]


def test_a_progress_bar_is_one_line_in_its_last_state(log: Written) -> None:
    log.add("10 %\r50 %\r100 %\ndone\n")

    assert tail_of(log.path, 5) == ["100 %", "done"]


def test_following_ends_when_it_is_cancelled(log: Written, cancel: CancelToken) -> None:
    log.add("one\n")
    lines = follow(log.path, tail=5, cancel=cancel)
    next(lines)
    cancel.cancel()

    assert list(lines) == []
