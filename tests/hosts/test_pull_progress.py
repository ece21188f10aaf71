"""The arithmetic of a pull, on streams recorded from Docker 20.10 and on all that could be legal.

`pulls/*.jsonl` are answers of a real daemon to `POST /images/create`, without the drawn bars, and
with `at`: seconds since the request. In `broken_off_and_resumed` the registry's answers were cut
after 5 MB, three times; in `layer_changed` a blob was altered in the registry's storage.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hosts.runners.docker.layers import PullLedger

RECORDED = Path(__file__).parent / "pulls"
WHOLE = ("broken_off_and_resumed", "cold", "some_layers_here", "up_to_date")
BROKEN = ("disk_full", "layer_changed", "registry_gone")
SIZES = {
    "3feb97cb9a73": 113,
    "a7c8e1aefc5b": 3148394,
    "994ac183806f": 12593036,
    "fd05196d3e8a": 8395409,
}
MB = 10**6
EXAMPLES = 3000 if os.environ.get("ABM_SOAK") == "1" else 100
"""Pulls that are made up, for each thing that holds of all of them."""
Stream = list[dict[str, Any]]


def recorded(name: str) -> Stream:
    lines = (RECORDED / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def line(layer: str, status: str, current: int = 0, total: int = 0, **more: Any) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else more
    return {"id": layer, "status": status, "progressDetail": detail}


def downloading(layer: str, current: int, total: int) -> dict[str, Any]:
    return line(layer, "Downloading", current, total)


class Watched:
    """A ledger, looked at after every line: what must hold for each, whatever Docker says."""

    def __init__(self, ledger: PullLedger) -> None:
        self.ledger = ledger
        self.fractions = [0.0]
        self.done = 0

    def feed(self, fed: dict[str, Any], at: float) -> None:
        self.ledger.feed(fed, at)
        self.look()

    def look(self) -> None:
        ledger = self.ledger
        assert self.fractions[-1] <= ledger.fraction <= 1
        assert ledger.bytes_done >= self.done
        assert ledger.bytes_total is None or ledger.bytes_done <= ledger.bytes_total
        assert ledger.bytes_total is None or ledger.bytes_unpacked <= ledger.bytes_total
        assert all(layer.total is None or 0 <= layer.done <= layer.total for layer in ledger.layers)
        assert ledger.stalled_for >= 0
        assert ledger.seconds_left is None or ledger.seconds_left >= 0
        assert ledger.bytes_per_second is None or ledger.bytes_per_second >= 0
        self.fractions.append(ledger.fraction)
        self.done = ledger.bytes_done

    def finish(self) -> None:
        assert self.ledger.fraction < 1, "it ends before the end"
        self.ledger.finish()
        self.look()
        assert self.ledger.fraction == 1
        assert self.ledger.bytes_done == self.ledger.bytes_total
        assert self.ledger.bytes_unpacked == self.ledger.bytes_total


def replayed(stream: Stream, ledger: PullLedger) -> Watched:
    watched = Watched(ledger)
    for told in stream:
        watched.feed(told, told["at"])
    return watched


@pytest.mark.parametrize("sizes", [SIZES, {}], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_recorded_pull_goes_only_forward_and_ends_at_one(
    name: str, sizes: dict[str, int | None]
) -> None:
    replayed(recorded(name), PullLedger(sizes)).finish()


@pytest.mark.parametrize("name", BROKEN)
def test_a_recorded_failure_never_shows_a_full_bar(name: str) -> None:
    watched = replayed(recorded(name), PullLedger(SIZES))

    assert 0 < watched.ledger.fraction < 1


def test_the_bar_moves_in_many_small_steps_where_the_sizes_are_known() -> None:
    watched = replayed(recorded("cold"), PullLedger(SIZES))
    steps = [after - before for before, after in pairwise(watched.fractions)]

    assert max(steps) < 0.4
    assert watched.fractions[-1] == pytest.approx(0.99)


def test_all_bytes_are_known_before_the_first_one_where_the_manifest_was_read() -> None:
    assert PullLedger(SIZES).bytes_total == sum(SIZES.values())


def test_all_bytes_are_known_by_whole_digests_as_well() -> None:
    ledger = PullLedger({f"sha256:{key}{'0' * 52}": size for key, size in SIZES.items()})
    ledger.feed(downloading("fd05196d3e8a", MB, SIZES["fd05196d3e8a"]), 1)

    assert (ledger.bytes_done, ledger.bytes_total) == (MB, sum(SIZES.values()))


def test_the_total_is_not_guessed_while_a_size_is_unknown() -> None:
    ledger = PullLedger()
    ledger.feed(line("a", "Pulling fs layer"), 0)
    ledger.feed(line("b", "Pulling fs layer"), 0)
    ledger.feed(downloading("a", 5, 10), 1)

    assert ledger.bytes_total is None
    assert ledger.seconds_left is None
    assert 0 < ledger.fraction < 0.5


def test_layers_that_are_here_are_taken_off_the_total() -> None:
    ledger = replayed(recorded("some_layers_here"), PullLedger(SIZES)).ledger

    assert ledger.bytes_cached == 113 + 3148394
    assert ledger.bytes_total == ledger.bytes_done == 12593036 + 8395409
    assert [layer.state for layer in ledger.layers] == ["cached", "cached", "done", "done"]


def test_a_layer_that_is_here_is_no_work_done() -> None:
    ledger = PullLedger({"a": 90, "b": 10})
    ledger.feed(line("a", "Already exists"), 1)

    assert ledger.fraction == 0


def test_layers_known_to_be_here_are_taken_off_before_docker_says_so() -> None:
    ledger = PullLedger(SIZES, ["3feb97cb9a73", "a7c8e1aefc5b"])
    assert ledger.bytes_total == 12593036 + 8395409
    ledger = replayed(recorded("some_layers_here"), ledger).ledger

    assert ledger.bytes_total == 12593036 + 8395409
    assert [layer.state for layer in ledger.layers] == ["cached", "cached", "done", "done"]


def test_a_layer_that_should_be_here_and_is_not_is_counted_again() -> None:
    ledger = PullLedger({"a": 10, "b": 10}, ["a"])
    ledger.feed(line("a", "Pulling fs layer"), 0)

    assert (ledger.bytes_total, ledger.bytes_cached) == (20, 0)


def test_an_image_that_is_here_already_needs_no_bytes() -> None:
    ledger = replayed(recorded("up_to_date"), PullLedger(SIZES)).ledger
    ledger.finish()

    assert (ledger.bytes_done, ledger.bytes_total) == (0, 0)
    assert ledger.bytes_cached == sum(SIZES.values())
    assert ledger.closing == "Image is up to date for 127.0.0.1:5000/lab/mid:1"
    assert ledger.digest.startswith("sha256:f2b1acfd")


def test_a_download_that_is_resumed_counts_from_where_it_broke_off() -> None:
    """Docker tells a resumed download from zero again, against the bytes that were missing."""
    ledger = PullLedger(SIZES)
    stream = recorded("broken_off_and_resumed")
    broken_at = max(i for i, told in enumerate(stream) if told["status"] == "Retrying in 1 second")
    for told in stream[: broken_at + 2]:
        ledger.feed(told, told["at"])
    resumed = next(layer for layer in ledger.layers if layer.id == "994ac183806f")

    assert stream[broken_at + 1]["progressDetail"] == {"current": 32287, "total": 2561932}
    assert resumed.done == 12593036 - 2561932 + 32287
    assert ledger.bytes_done < sum(SIZES.values())


def test_a_download_that_starts_over_holds_the_bar_and_shows_its_own_bytes() -> None:
    ledger = PullLedger({"a": 100, "b": 100})
    ledger.feed(downloading("a", 80, 100), 1)
    before = ledger.fraction
    ledger.feed(line("a", "Retrying in 5 seconds"), 2)
    ledger.feed(downloading("a", 10, 100), 7)

    assert ledger.fraction == before
    assert ledger.bytes_done == 80
    assert ledger.layers[0].done == 10
    ledger.feed(downloading("a", 80, 100), 8)
    assert ledger.fraction == before, "the same bytes count once"
    ledger.feed(downloading("a", 90, 100), 8)
    assert ledger.fraction > before


def test_a_break_off_that_docker_calls_complete_is_not_believed() -> None:
    """On a cut connection 20.10 writes `current` = `total` and then "Retrying"."""
    ledger = PullLedger({"a": 100})
    ledger.feed(downloading("a", 20, 100), 1)
    ledger.feed(downloading("a", 100, 100), 2)
    ledger.feed(line("a", "Retrying in 5 seconds"), 2)

    assert ledger.bytes_done == 20


CONTAINERD: Stream = [
    {"status": "Pulling from lab/mid", "id": "1"},
    line("c0ffee000000", "Download complete", hidecounts=True),
    downloading("994ac183806f", 4 * MB, SIZES["994ac183806f"]),
    downloading("fd05196d3e8a", 4 * MB, SIZES["fd05196d3e8a"]),
    line("3feb97cb9a73", "Already exists", hidecounts=True),
    line("a7c8e1aefc5b", "Download complete", hidecounts=True),
    line("994ac183806f", "Download complete", hidecounts=True),
    {"id": "994ac183806f", "status": "Extracting", "progressDetail": {"current": 1, "units": "s"}},
    {"id": "994ac183806f", "status": "Extracting", "progressDetail": {"current": 2, "units": "s"}},
    line("fd05196d3e8a", "Download complete", hidecounts=True),
    line("a7c8e1aefc5b", "Pull complete", hidecounts=True),
    line("994ac183806f", "Pull complete", hidecounts=True),
    line("fd05196d3e8a", "Pull complete", hidecounts=True),
    {"status": "Status: Downloaded newer image for 127.0.0.1:5000/lab/mid:1"},
]
"""The form of Docker 29 with the containerd store (moby, daemon/containerd/progress.go): written
by hand, not recorded. Layers come unannounced, the configuration is among them, unpacking has
seconds and no bytes."""


@pytest.mark.parametrize("sizes", [SIZES, {}], ids=["sizes known", "sizes unknown"])
def test_a_containerd_store_goes_forward_without_bytes_of_unpacking(
    sizes: dict[str, int | None],
) -> None:
    watched = Watched(PullLedger(sizes))
    for at, told in enumerate(CONTAINERD):
        watched.feed(told, at)
    if sizes:
        assert "c0ffee000000" not in {layer.id for layer in watched.ledger.layers}
        assert watched.ledger.bytes_total == sum(SIZES.values()) - 113
    watched.finish()


def test_seconds_of_unpacking_are_a_sign_of_life() -> None:
    ledger = PullLedger({"a": 10})
    for second in range(1, 90):
        fed = {"current": second, "units": "s"}
        ledger.feed({"id": "a", "status": "Extracting", "progressDetail": fed}, second)

    assert ledger.stalled_for == 0
    assert ledger.layers[0].done == 0


def steady(ledger: PullLedger, *, seconds: int, per_second: int, total: int) -> None:
    for tenth in range(1, seconds * 10 + 1):
        ledger.feed(downloading("a", tenth * per_second // 10, total), tenth / 10)


def test_speed_and_time_left_follow_the_bytes() -> None:
    ledger = PullLedger({"a": 100 * MB})
    steady(ledger, seconds=20, per_second=2 * MB, total=100 * MB)

    assert ledger.bytes_per_second == pytest.approx(2 * MB, rel=0.02)
    assert ledger.seconds_left is not None
    assert 30 <= ledger.seconds_left <= 50, "30 s of download, and unpacking"


def test_a_speed_that_drops_is_told_within_a_few_seconds() -> None:
    ledger = PullLedger({"a": 100 * MB})
    steady(ledger, seconds=10, per_second=2 * MB, total=100 * MB)
    for tick in range(1, 41):
        ledger.tick(10 + tick / 4)

    assert ledger.bytes_per_second is not None
    assert ledger.bytes_per_second < 0.4 * MB
    assert ledger.stalled_for == pytest.approx(10)
    assert ledger.seconds_left is None, "nobody knows"


def test_a_byte_ends_a_stall() -> None:
    ledger = PullLedger({"a": 100})
    ledger.feed(downloading("a", 10, 100), 1)
    ledger.tick(100)
    assert ledger.stalled_for == 99
    ledger.feed(downloading("a", 10, 100), 101)
    assert ledger.stalled_for == 100, "a word without a byte is none"
    ledger.feed(downloading("a", 11, 100), 102)

    assert ledger.stalled_for == 0


def test_slow_unpacking_gets_the_larger_part_of_what_is_left() -> None:
    """Download at 10 MB/s, unpacking at 1 MB/s: half of the bytes unpacked is half of the wait."""
    fast, slow = PullLedger({"a": 100 * MB}), PullLedger({"a": 100 * MB, "b": 100 * MB})
    for ledger in (fast, slow):
        steady(ledger, seconds=10, per_second=10 * MB, total=100 * MB)
        ledger.feed(line("a", "Download complete"), 10)
    fast.feed(line("a", "Extracting", 50 * MB, 100 * MB), 10.5)
    slow.feed(line("a", "Extracting", 1, 100 * MB), 10)
    for second in range(1, 101):
        slow.feed(line("a", "Extracting", second * MB, 100 * MB), 10 + second)
    before = slow.fraction
    slow.feed(line("b", "Download complete"), 111)
    gained_by_download = slow.fraction - before

    assert gained_by_download < (1 - before) * 0.25
    assert fast.fraction > 0.75


def test_what_is_no_line_of_a_layer_changes_nothing() -> None:
    ledger = PullLedger({"a": 10})
    odd: Stream = [
        {},
        {"status": "x"},
        {"id": "a"},
        {"id": "a", "status": "Downloading"},
        {"id": "a", "status": "Downloading", "progressDetail": None},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": -5, "total": -1}},
        {"aux": {}},
    ]
    for told in odd:
        ledger.feed(told, 1)

    assert (ledger.fraction, ledger.bytes_done, ledger.bytes_total) == (0, 0, 10)


def test_each_step_of_a_layer_is_one_line_of_the_log() -> None:
    ledger = PullLedger(SIZES)
    said = [words for told in recorded("broken_off_and_resumed") if (words := ledger.feed(told, 1))]

    assert "994ac183806f: Retrying in 5 seconds" in said
    assert "994ac183806f: Retrying in 4 seconds" not in said
    assert len(said) == len(set(said)) + said.count("") < 20
    assert said[-1] == "Status: Downloaded newer image for 127.0.0.1:5000/lab/mid:1"


@st.composite
def lives(draw: st.DrawFn, name: str) -> Stream:
    """All that Docker may say of one layer: breaks, restarts and resumptions included."""
    size = draw(st.integers(1, 200))
    said: Stream = []
    if draw(st.booleans()):
        said.append(line(name, "Pulling fs layer"))
        if draw(st.integers(0, 4)) == 0:
            return [line(name, "Already exists")]
    offset = 0
    for _ in range(draw(st.integers(0, 3))):
        reached = draw(st.integers(offset, size))
        steps = sorted(draw(st.lists(st.integers(0, reached - offset), max_size=4)))
        said += [downloading(name, step, size - offset) for step in steps if size > offset]
        said.append(line(name, f"Retrying in {draw(st.integers(1, 9))} seconds"))
        offset = draw(st.sampled_from([0, reached])) if reached < size else 0
    steps = sorted(draw(st.lists(st.integers(0, size - offset), max_size=6)))
    said += [downloading(name, step, size - offset) for step in steps]
    if draw(st.booleans()):
        said.append(line(name, "Verifying Checksum"))
    said.append(line(name, "Download complete"))
    kind = draw(st.sampled_from(["bytes", "seconds", "silent"]))
    if kind == "bytes":
        unpacked = sorted(draw(st.lists(st.integers(0, size), max_size=5)))
        said += [line(name, "Extracting", step, size) for step in unpacked]
    elif kind == "seconds":
        fed = {"current": 1, "units": "s"}
        said.append({"id": name, "status": "Extracting", "progressDetail": fed})
    return [*said, line(name, "Pull complete")]


@st.composite
def pulls(draw: st.DrawFn) -> tuple[Stream, dict[str, int | None], list[str]]:
    """A stream of several layers, its sizes where known, and layers said to be here."""
    names = [f"{number:012x}" for number in range(draw(st.integers(1, 5)))]
    waiting = [draw(lives(name)) for name in names]
    sizes: dict[str, int | None] = {}
    if draw(st.booleans()):
        for name, life in zip(names, waiting, strict=True):
            told = max((said["progressDetail"].get("total", 0) for said in life), default=0)
            is_known = told and draw(st.booleans())
            sizes[name] = told if is_known else None
    claimed = [name for name in sizes if draw(st.integers(0, 3)) == 0]
    stream: Stream = []
    at = 0.0
    while any(waiting):
        life = draw(st.sampled_from([life for life in waiting if life]))
        at += draw(st.sampled_from([0.0, 0.01, 0.3, 2.0, 40.0]))
        stream.append({**life.pop(0), "at": at})
    return stream, sizes, claimed


@settings(max_examples=EXAMPLES, deadline=None)
@given(pulls())
def test_no_legal_stream_takes_the_bar_back_or_beyond_its_end(
    drawn: tuple[Stream, dict[str, int | None], list[str]],
) -> None:
    stream, sizes, claimed = drawn
    replayed(stream, PullLedger(sizes, claimed)).finish()


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from(["a", "b", "c"]),
                "status": st.sampled_from(
                    [
                        "Pulling fs layer",
                        "Waiting",
                        "Downloading",
                        "Retrying in 3 seconds",
                        "Verifying Checksum",
                        "Download complete",
                        "Extracting",
                        "Pull complete",
                        "Already exists",
                    ]
                ),
                "progressDetail": st.fixed_dictionaries(
                    {"current": st.integers(-1, 120), "total": st.integers(-1, 120)}
                ),
                "at": st.floats(0, 1000),
            }
        ),
        max_size=40,
    ),
    st.dictionaries(st.sampled_from(["a", "b"]), st.none() | st.integers(-1, 100)),
)
def test_nonsense_does_not_take_the_bar_back_either(
    stream: Stream, sizes: dict[str, int | None]
) -> None:
    replayed(stream, PullLedger(sizes)).finish()
