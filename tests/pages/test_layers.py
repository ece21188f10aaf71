"""The bar of a pull: two phases, speed, time left, silence, and its layers on demand."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from engines.fetching import follow_install
from hosts.runners.base import EngineSpec, LayerProgress, Progress
from hosts.runners.docker.runner import DockerRunner
from jobs.events import hint
from jobs.models import Job
from jobs.outcome import WorkFailed
from jobs.transfer import LAYERS_SHOWN, Layer, Transfer
from jobs.work import JobRun, running
from tests.pages.factories import make_job, make_user
from tests.pages.test_live import do, opened

HALFWAY = Transfer(
    done=40_000_000,
    total=100_000_000,
    unpacked=12_000_000,
    cached=300_000_000,
    bytes_per_second=6_000_000,
    seconds_left=10,
    layers=(
        Layer("0123456789ab", "extracting", 12_000_000, 40_000_000),
        Layer("ba9876543210", "downloading", 3_000_000, 60_000_000),
        Layer("cccccccccccc", "cached", 0, 300_000_000),
    ),
)


def make_pull(status: str = "running", *, percent: float = 30, **changes: Any) -> Job:
    """A job that pulls, as its work would have left it."""
    transfer = replace(HALFWAY, **changes)
    return make_job(status, percent=percent, **transfer.columns)


def bar_of(client: Client, job: Job) -> str:
    """The text of the job's bar."""
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    found = re.search(rf'<div id="job-bar-{job.pk}".*?</div>', page, re.S)
    assert found
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


@pytest.mark.django_db
class TestBar:
    def test_it_tells_both_phases_speed_and_time_left(self, viewer: Client) -> None:
        text = bar_of(viewer, make_pull())

        for words in (
            "30 %",
            "40 MB of 100 MB downloaded",
            "12 MB of 100 MB unpacked",
            "300 MB were here already",
            "6.0 MB/s",
            "10 s left",
        ):
            assert words in text, words

    def test_there_is_one_bar(self, viewer: Client) -> None:
        job = make_pull()
        head = viewer.get(f"/jobs/{job.pk}/").content.decode()

        bar = head.split(f'id="job-bar-{job.pk}"')[1].split(f'id="job-steps-{job.pk}"')[0]
        assert bar.count("<progress") == 1

    def test_a_size_that_nobody_knows_is_not_made_up(self, viewer: Client) -> None:
        text = bar_of(viewer, make_pull(total=None, seconds_left=None))

        assert "40 MB downloaded" in text
        assert "left" not in text

    def test_a_speed_foretells_no_end_that_the_pull_does_not(self, viewer: Client) -> None:
        assert "left" not in bar_of(viewer, make_pull(seconds_left=None))

    def test_silence_is_told_after_a_minute(self, viewer: Client) -> None:
        assert "Nothing has come" not in bar_of(viewer, make_pull(stalled_for=59))
        text = bar_of(viewer, make_pull(stalled_for=62))

        assert re.search(r"Nothing has come for 1 min [23] s *: the registry or the network", text)
        assert "cancel and retry" in text

    def test_silence_counts_on_by_itself(self, viewer: Client) -> None:
        job = make_pull(stalled_for=62)

        since = job.moved.stalled_since
        assert since is not None
        assert timedelta(seconds=61) < timezone.now() - since < timedelta(seconds=65)
        page = viewer.get(f"/jobs/{job.pk}/").content.decode()
        assert f'data-elapsed="{since.isoformat()}"' in page

    def test_what_has_ended_is_not_silent(self, viewer: Client) -> None:
        assert "Nothing has come" not in bar_of(viewer, make_pull("failed", stalled_for=62))

    def test_a_download_without_layers_looks_as_it_did(self, viewer: Client) -> None:
        job = make_job(percent=5, progress_unit="bytes", progress_done=1000, progress_total=4000)

        text = bar_of(viewer, job)

        assert "1.0 kB of 4.0 kB" in text
        assert "unpacked" not in text


@pytest.mark.django_db
class TestLayers:
    def test_each_says_what_it_does(self, viewer: Client) -> None:
        page = viewer.get(f"/jobs/{make_pull().pk}/").content.decode()

        assert re.search(r"0123456789ab.*?Unpacks.*?12 MB of.*?40 MB", page, re.S)
        assert re.search(r"ba9876543210.*?Downloads.*?3.0 MB of.*?60 MB", page, re.S)
        assert re.search(r"cccccccccccc.*?Was here.*?300 MB", page, re.S)

    def test_they_are_folded_up(self, viewer: Client) -> None:
        page = viewer.get(f"/jobs/{make_pull().pk}/").content.decode()

        assert re.search(r"<details>\s*<summary>Layers</summary>", page)

    def test_a_job_without_layers_has_nothing_to_fold_out(self, viewer: Client) -> None:
        assert "<summary>Layers" not in viewer.get(f"/jobs/{make_job().pk}/").content.decode()

    def test_a_list_shows_the_small_bar_only(self, viewer: Client) -> None:
        job = make_pull()

        page = viewer.get("/jobs/").content.decode()

        assert f'id="job-progress-{job.pk}"' in page
        assert "0123456789ab" not in page
        assert "unpacked" not in page

    def test_hundreds_of_layers_are_too_many_for_a_row(self) -> None:
        layers = tuple(Layer(f"{number:012}", "waiting", 0, 1) for number in range(500))

        assert len(replace(HALFWAY, layers=layers).columns["transfer"]["layers"]) == LAYERS_SHOWN


@pytest.mark.django_db(transaction=True)
class TestWork:
    def test_the_numbers_are_written_with_the_bar(self) -> None:
        job = make_job("queued")
        with running(job.pk) as run:
            assert run
            run.progress(30, transfer=HALFWAY)
            run.flush()
            row = Job.objects.get(pk=job.pk)

        assert (row.percent, row.progress_done, row.progress_total) == (30, 40_000_000, 100_000_000)
        assert (row.rate, row.seconds_left, row.moved.unpacked) == (6_000_000, 10, 12_000_000)
        assert row.moved.layers == list(HALFWAY.layers)

    def test_the_next_step_has_none_of_them(self) -> None:
        job = make_job("queued")
        with running(job.pk) as run:
            assert run
            run.progress(30, transfer=HALFWAY)
            run.progress(95)
            run.flush()
            row = Job.objects.get(pk=job.pk)

        assert (row.transfer, row.progress_unit, row.progress_total) == ({}, "steps", None)

    def test_a_failed_pull_keeps_its_layers_and_no_forecast(self) -> None:
        job = make_job("queued")
        with running(job.pk) as run:
            assert run
            break_off(run)

        job.refresh_from_db()
        assert job.moved.layers == list(HALFWAY.layers)
        assert (job.seconds_left, job.moved.stalled_since) == (None, None)

    def test_a_done_pull_keeps_nothing(self) -> None:
        job = make_job("queued")
        with running(job.pk) as run:
            assert run
            run.progress(30, transfer=HALFWAY)

        job.refresh_from_db()
        assert job.transfer == {}

    def test_what_a_runner_tells_stands_on_the_job(self) -> None:
        seen = watched(
            Progress("resolve", line="Looking."),
            Progress(
                "pull",
                fraction=0.5,
                bytes_done=40,
                bytes_total=100,
                bytes_unpacked=20,
                bytes_cached=7,
                bytes_per_second=5.0,
                seconds_left=12.0,
                layers=(LayerProgress("0123456789ab", "downloading", 40, 100),),
            ),
            Progress("pull", bytes_done=40, bytes_total=100, stalled_for=61.0),
            Progress("ready"),
        )

        looking, pulling, silent, ready = seen
        assert looking.transfer == ready.transfer == {}
        assert pulling.moved.layers == [Layer("0123456789ab", "downloading", 40, 100)]
        assert (pulling.progress_done, pulling.moved.cached, pulling.rate) == (40, 7, 5.0)
        assert silent.moved.stalled_since is not None
        percents = [row.percent for row in seen]
        assert percents == sorted(percents)


def break_off(run: JobRun) -> None:
    run.progress(30, transfer=replace(HALFWAY, stalled_for=62))
    raise WorkFailed("The registry went away.")


def watched(*told: Progress) -> list[Job]:
    """The job's row after each thing that a runner of such steps told."""
    rows: list[Job] = []
    job = make_job("queued")

    class Telling(DockerRunner):
        def install(self, spec: EngineSpec, cancel: object) -> Any:
            for one in told:
                yield one
                run.flush()
                rows.append(Job.objects.get(pk=job.pk))

    with running(job.pk) as claimed:
        assert claimed
        run: JobRun = claimed
        follow_install(run, Telling(Path("nowhere")), EngineSpec("x"), whole=100)
    return rows


@pytest.mark.django_db(transaction=True)
async def test_bar_and_layers_move_on_the_open_page() -> None:
    job = await do(make_pull)
    async with opened(f"/ws/jobs/{job.pk}/", await do(make_user, "viewer")) as page:
        await page.settle()
        moved = replace(HALFWAY, done=50_000_000).columns
        await do(Job.objects.filter(pk=job.pk).update, **moved)
        await do(hint, "jobs", "job.progressed", pk=job.pk)

        assert "50 MB of 100 MB downloaded" in await page.part(f"job-bar-{job.pk}")
        assert "0123456789ab" in await page.part(f"job-layers-{job.pk}")
