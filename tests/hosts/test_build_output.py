"""What is read out of a Dockerfile before a build, and out of the builder's words during it."""

from __future__ import annotations

from typing import Any

import pytest

from hosts.runners.base import DiskFull, InstallFailed, RunnerError
from hosts.runners.docker.build_output import BuildOutput, explained
from hosts.runners.docker.dockerfile import base_images


class TestBaseImages:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("FROM python:3.12-slim", ["python:3.12-slim"]),
            ("# FROM no\nfrom a AS one\nFROM b\nFROM one", ["a", "b"]),
            ("FROM a AS One\nFROM ONE\nFROM a", ["a"]),
            ("FROM scratch", []),
            ("ARG BASE=a:1\nFROM ${BASE}", ["a:1"]),
            ('ARG TAG="1"\nARG BASE=a:$TAG\nFROM $BASE', ["a:1"]),
            ("ARG BASE\nFROM $BASE", []),
            ("ARG T\nFROM a:${T}", []),
            ("ARG T\nFROM a:${T:-9}", ["a:9"]),
            ("FROM a\nARG BASE=b\nFROM ${BASE:-c}", ["a", "c"]),
            ("FROM --platform=$BUILDPLATFORM a\nFROM b", ["b"]),
            ("FROM \\\n  a:1 \\\n  AS x", ["a:1"]),
            ("FROM a\r\nRUN echo FROM b\r\n", ["a"]),
            ("", []),
            ("FROM", []),
        ],
    )
    def test_they_are_found(self, text: str, names: list[str]) -> None:
        assert base_images(text, {}) == names

    def test_a_build_argument_wins_over_its_default(self) -> None:
        text = "ARG BASE=a\nARG OTHER=b\nFROM $BASE\nFROM $OTHER"

        assert base_images(text, {"BASE": "mine:2"}) == ["mine:2", "b"]


def fed(*texts: str) -> tuple[BuildOutput, list[str]]:
    output, lines = BuildOutput(), list[str]()
    for text in texts:
        lines += output.feed({"stream": text})
    return output, [*lines, *output.finish()]


class TestOutput:
    def test_steps_become_a_fraction_that_begins_at_nothing(self) -> None:
        output, _ = fed("Step 1/4 : FROM a\n", " ---> 0123456789ab\n")
        assert output.fraction == 0

        list(output.feed({"stream": "Step 3/4 : RUN x\n"}))
        assert output.fraction == 0.5
        assert output.step == "Step 3 of 4 (RUN x)"

    def test_pieces_are_put_together_to_lines(self) -> None:
        _, lines = fed("Coll", "ecting a", "\nDone\nlast")

        assert lines == ["Collecting a", "Done", "last"]

    def test_colours_and_bars_that_are_overwritten_are_taken_out(self) -> None:
        _, lines = fed("\x1b[91mwarning\x1b[0m\n", " 10%\r 50%\r100%\r\n")

        assert lines == ["warning", "100%"]

    def test_the_id_is_taken_from_where_it_is_whole(self) -> None:
        output, _ = fed("Successfully built 0123456789ab\n")
        assert output.image_id == "0123456789ab"

        list(output.feed({"aux": {"ID": "sha256:" + "a" * 64}}))
        assert output.image_id == "sha256:" + "a" * 64

    def test_bytes_of_a_pull_are_no_lines(self) -> None:
        output = BuildOutput()
        moved: dict[str, Any] = {
            "id": "a",
            "status": "Downloading",
            "progressDetail": {"current": 1},
        }

        assert list(output.feed(moved)) == []
        assert list(output.feed({"id": "a", "status": "Pull complete"})) == ["a: Pull complete"]


class TestFailures:
    @pytest.mark.parametrize(
        ("last", "text", "kind", "sentence"),
        [
            (
                "E: Temporary failure resolving 'deb.debian.org'",
                "The command '/bin/sh -c apt-get update' returned a non-zero code: 100",
                InstallFailed,
                "could not reach the network from inside the build",
            ),
            (
                "WARNING: Retrying after connection broken by 'NewConnectionError: Failed to "
                "establish a new connection: [Errno -3]'",
                "The command '/bin/sh -c pip install x' returned a non-zero code: 1",
                InstallFailed,
                "could not reach the network from inside the build",
            ),
            (
                "write /big: no space left on device",
                "The command '/bin/sh -c dd' returned a non-zero code: 1",
                DiskFull,
                "The disk of box became full in step 2 of 5 (RUN x)",
            ),
            (
                "c++: fatal error: Killed signal terminated program cc1plus",
                "The command '/bin/sh -c make' returned a non-zero code: 1",
                InstallFailed,
                "ran out of memory on box",
            ),
            (
                "exec /bin/sh: exec format error",
                "The command '/bin/sh -c x' returned a non-zero code: 1",
                InstallFailed,
                "another architecture",
            ),
            (
                "ERROR: No matching distribution found for nothing==9",
                "The command '/bin/sh -c pip install nothing==9' returned a non-zero code: 1",
                InstallFailed,
                "Step 2 of 5 (RUN x) ended with code 1",
            ),
            (
                "",
                "COPY failed: file not found in build context or excluded by .dockerignore: stat "
                "app/server.py: file does not exist",
                InstallFailed,
                "copies app/server.py, which is not in",
            ),
            (
                "",
                "Dockerfile parse error line 12: COPY requires at least two arguments, but only "
                "one was provided. Destination could not be determined.",
                InstallFailed,
                "Line 12 of the Dockerfile is wrong: COPY requires at least two arguments",
            ),
            (
                "",
                "something that nobody foresaw",
                InstallFailed,
                "The image was not built: Docker failed in step 2 of 5 (RUN x). Docker on box",
            ),
        ],
    )
    def test_each_has_a_sentence_and_its_raw_text_below(
        self, last: str, text: str, kind: type[RunnerError], sentence: str
    ) -> None:
        output, _ = fed("Step 2/5 : RUN x\n", f"{last}\n")

        failure = explained(text, output, host_name="box")

        assert type(failure) is kind
        assert sentence in failure.message
        assert text in failure.detail
        assert last in failure.detail

    def test_the_words_of_an_earlier_step_are_not_blamed(self) -> None:
        output, _ = fed("Step 1/2 : RUN a\n", "could not connect, going on\n", "Step 2/2 : RUN b\n")
        text = "The command '/bin/sh -c b' returned a non-zero code: 1"

        failure = explained(text, output, host_name="box")

        assert failure.message.startswith("Step 2 of 2 (RUN b) ended with code 1")
