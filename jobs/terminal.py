"""What commands write: rows for people or JSON for programs, and a job as it goes on."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from pydantic import BaseModel
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)

from jobs.api_answers import (
    job_answer,
    shown,
)
from jobs.models import Job
from jobs.when_away import FAIL, WAIT

LOOK_SECONDS = 0.25
NOBODY_SECONDS = 30.0
"""How long a job may wait for nothing but a worker before its command gives up on it."""
GAP = "  "


def verb(verbs: Any, name: str, help: str) -> ArgumentParser:
    """One more verb of a command; each can answer in JSON."""
    parser: ArgumentParser = verbs.add_parser(name, help=help)
    parser.add_argument("--json", action="store_true", help="the words of the REST API")
    return parser


def job_verb(verbs: Any, name: str, help: str) -> ArgumentParser:
    """A verb that a worker does; it is waited for unless that is not wanted."""
    parser = verb(verbs, name, help)
    parser.add_argument("--no-wait", action="store_true", help="end as soon as it is asked for")
    parser.add_argument(
        "--when-away",
        choices=[WAIT, FAIL],
        help="what it does while its host by SSH is away, if not what the host's page says",
    )
    return parser


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a command writes, and in which form."""

    out: OutputWrapper
    error: OutputWrapper
    is_json: bool = False
    waits: bool = True

    def rows(self, shapes: Iterable[BaseModel], columns: Mapping[str, str]) -> None:
        """A table of `columns` (field -> heading), or all fields as JSON."""
        found = [shape.model_dump(mode="json", by_alias=self.is_json) for shape in shapes]
        if self.is_json:
            self.out.write(json.dumps(found, indent=1, ensure_ascii=False))
            return
        cells = [[_text(row[name]) for name in columns] for row in found]
        for line in _lined_up([list(columns.values()), *cells]):
            self.out.write(line)

    def one(self, shape: BaseModel) -> None:
        """One thing, field by field."""
        if self.is_json:
            self.out.write(shape.model_dump_json(by_alias=True, indent=1))
            return
        found = shape.model_dump(mode="json")
        for line in _lined_up([[f"{name}:", _text(value)] for name, value in found.items()]):
            self.out.write(line)

    def say(self, text: str) -> None:
        """A sentence; for programs a success."""
        self.out.write(json.dumps({"success": True, "message": text}) if self.is_json else text)

    def job(self, job: Job | None, *, said: str = "There is nothing to do.") -> None:
        """Wait for a job's end and tell it. Raises CommandError if it failed or was cancelled."""
        if job is None:
            self.say(said)
            return
        ended = self._ended(job) if self.waits else shown(job.pk)
        if self.is_json:
            self.out.write(job_answer(ended).model_dump_json(by_alias=True, indent=1))
        if ended.status == Job.Status.FAILED:
            raise CommandError(f"{ended}: {ended.error}")
        if ended.status == Job.Status.CANCELLED:
            raise CommandError(f"{ended}: cancelled.")
        if not self.is_json:
            self.out.write(f"{ended}: {ended.get_status_display().lower()} (job {ended.pk})")

    def _ended(self, job: Job) -> Job:
        bar = Bar.of(job) if self.error.isatty() and not self.is_json else None
        step, since = "", time.monotonic()
        with bar.progress if bar else nullcontext():
            while (found := shown(job.pk)).is_open:
                if bar:
                    bar.show(found)
                elif not self.is_json and found.step_title not in ("", step):
                    step = found.step_title
                    self.error.write(f"{step} …")
                if found.status == Job.Status.RUNNING or found.waiting_for:
                    since = time.monotonic()
                if time.monotonic() - since > NOBODY_SECONDS:
                    raise CommandError(
                        f"No worker took “{found}”. Start abm, or take the job back: "
                        f"manage.py abm jobs cancel {found.pk}"
                    )
                time.sleep(LOOK_SECONDS)
            if bar:
                bar.show(found)
        return found


@dataclass(frozen=True, slots=True)
class Bar:
    """A job's progress, drawn on the standard error."""

    progress: Progress
    row: Any

    @classmethod
    def of(cls, job: Job, *, console: Console | None = None) -> Bar:
        """A bar of its own; bytes where the job counts them."""
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[bytes]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            console=console or Console(stderr=True),
            refresh_per_second=8,
        )
        return cls(progress, progress.add_task(str(job), total=100.0, bytes="", left=""))

    def show(self, job: Job) -> None:
        """As the row says now."""
        step = (job.waiting_for and f"waits for {job.waiting_for}") or job.step_title
        has_bytes = job.progress_unit == "bytes" and job.progress_total
        self.progress.update(
            self.row,
            completed=100.0 if job.status == Job.Status.SUCCEEDED else job.percent,
            description=f"{job}: {step}" if step else str(job),
            bytes=f"{_megabytes(job.progress_done)} of {_megabytes(job.progress_total or 0)}"
            if has_bytes
            else "",
            left=f"{round(job.seconds_left)} s left" if job.is_open and job.seconds_left else "",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value) or "-"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _lined_up(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest cell; the last one ends where it ends."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    return [
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
