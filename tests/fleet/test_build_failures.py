"""Builds that fail or are ended on a real daemon: what is said, and that nothing runs on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hosts.runners.base import DiskFull, InstallFailed, Progress
from jobs.outcome import Cancelled, CancelToken
from tests.fleet.building import Builder, builder, lines
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
__all__ = ["builder"]


class TestHowItFails:
    def test_a_failing_run_is_named_with_its_number_and_last_words(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN echo first\nRUN echo the reason >&2; exit 3")

        failure = builder.failure()

        assert failure.message.startswith("Step 3 of 4 (RUN echo the reason")
        assert "ended with code 3" in failure.message
        assert "the reason" in failure.detail
        assert "\x1b" not in failure.detail

    def test_a_killed_step_is_explained_by_memory(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN exit 137")

        assert "memory of lab ran out" in builder.failure().message

    def test_a_missing_file_is_named(self, builder: Builder) -> None:
        builder.write("FROM BASE\nCOPY nothing.txt /")

        said = builder.failure().message

        assert "Step 2 of 3" in said
        assert "copies nothing.txt, which is not in the build's context" in said

    def test_an_ignored_file_is_not_in_the_context(self, builder: Builder) -> None:
        builder.write(
            "FROM BASE\nCOPY secret.txt /", {"secret.txt": "x", ".dockerignore": "secret.txt"}
        )

        assert ".dockerignore does not leave it out" in builder.failure().message

    def test_a_wrong_line_is_named(self, builder: Builder) -> None:
        builder.write("FROM BASE\n\nRUNN echo")

        assert "Line 3 of the Dockerfile is wrong: unknown instruction: RUNN" in (
            builder.failure().message
        )

    def test_what_only_buildkit_knows_is_said_to_be_so(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN --mount=type=cache,target=/x echo")

        assert "only BuildKit knows (mount)" in builder.failure().message

    def test_an_unknown_base_is_named(self, builder: Builder, registry_address: str) -> None:
        builder.write(f"FROM {registry_address}/lab/no-such-base:9\nRUN echo")

        said = builder.failure().message

        assert said.startswith(f"The base image {registry_address}/lab/no-such-base:9 was not")

    def test_no_network_in_a_step_is_explained(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN busybox wget -q -O- http://127.0.0.1:9/")

        said = builder.failure().message

        assert "Step 2 of 3" in said
        assert "could not reach the network" in said

    def test_a_program_of_another_architecture_is_explained(
        self, builder: Builder, registry_address: str
    ) -> None:
        builder.write(f'FROM {registry_address}/lab/foreign-arch:latest\nRUN ["/engine"]')

        assert "another architecture" in builder.failure().message

    def test_an_unknown_stage_is_told(self, builder: Builder) -> None:
        builder.write("FROM BASE")

        assert "no stage of the name" in builder.failure(stage="nowhere").message

    def test_a_missing_dockerfile_is_told_before_anything_is_sent(self, builder: Builder) -> None:
        assert "There is no file Dockerfile" in builder.failure().message

    def test_a_full_disk_is_explained(
        self, make_daemon: Callable[..., Any], registry_address: str, tmp_path: Path
    ) -> None:
        with contextlib.closing(make_daemon(data_megabytes=60).client()) as client:
            builder = Builder(client, f"{registry_address}/lab/tiny:latest", tmp_path)
            builder.write("FROM BASE\nRUN busybox dd if=/dev/zero of=/big bs=1M count=200")

            failure = builder.failure()

        assert isinstance(failure, DiskFull)
        assert "disk of lab" in failure.message

    def test_a_failed_build_can_be_tried_again_and_goes_on_from_its_steps(
        self, builder: Builder
    ) -> None:
        builder.write("FROM BASE\nRUN echo slow part\nRUN exit 1")
        builder.failure()
        builder.write("FROM BASE\nRUN echo slow part\nRUN exit 0")

        told, _ = builder.run()

        assert any("Using cache" in line for line in lines(told))


class TestCancel:
    def cancelled_when(
        self, builder: Builder, is_time: Callable[[Progress], bool], **how: Any
    ) -> float:
        """Cancel from another thread once it is time; seconds until the build had ended."""
        cancel, seen, outcome = CancelToken(), threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                for progress in builder.steps(cancel=cancel, **how):
                    if is_time(progress):
                        seen.set()
            except (Cancelled, InstallFailed) as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert seen.wait(30)
        begun = time.monotonic()
        cancel.cancel("No longer wanted.")
        thread.join(10)
        assert [str(error) for error in outcome] == ["No longer wanted."]
        return time.monotonic() - begun

    def test_a_silent_step_is_ended_and_nothing_of_it_runs_on(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN busybox sleep 300")

        seconds = self.cancelled_when(builder, lambda progress: progress.stalled_for > 0.4)

        assert seconds < 2
        until(lambda: not builder.client.containers.list(all=True, ignore_removed=True), 15)

    def test_a_step_may_be_silent_for_longer_than_any_wait_for_the_daemon(
        self, builder: Builder
    ) -> None:
        builder.write("FROM BASE\nRUN busybox sleep 11; echo done sleeping")

        told, _ = builder.run()

        assert "done sleeping" in lines(told)
        assert max(progress.stalled_for for progress in told) > 10

    def test_it_can_be_ended_while_the_files_are_sent(self, builder: Builder) -> None:
        builder.write("FROM BASE\nCOPY . /x")
        for number in range(4):
            with (builder.context / f"{number}.bin").open("wb") as file:
                file.truncate(300_000_000)

        seconds = self.cancelled_when(builder, lambda progress: "context has" in progress.line)

        assert seconds < 2

    def test_closing_the_generator_ends_the_build(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN busybox sleep 301")
        steps = builder.steps()
        for progress in steps:
            if progress.stalled_for > 0.4:
                break

        steps.close()

        until(lambda: not builder.client.containers.list(all=True, ignore_removed=True), 15)
