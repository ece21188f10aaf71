"""Testing an engine that runs, and writing down how it went."""

from __future__ import annotations

from django.utils import timezone

from engines.functional import functional_test
from engines.models import Engine
from hosts.runners.base import RunnerError
from jobs.events import announce
from jobs.work import JobRun


def prove(run: JobRun, engine: Engine) -> None:
    """The functional test as a step. Raises RunnerError where it is not passed."""
    run.step("test", "Test it")
    try:
        said = functional_test(engine)
    except RunnerError as error:
        _write_test(engine, passed=False, text=error.message)
        raise
    run.line(said)
    _write_test(engine, passed=True, text=said)


def _write_test(engine: Engine, *, passed: bool, text: str) -> None:
    Engine.objects.filter(pk=engine.pk).update(
        tested_at=timezone.now(), test_passed=passed, test_text=text
    )
    words = "passed its test" if passed else "did not pass its test"
    announce("engines", "engine.changed", text=f"{engine} {words}", pk=engine.pk)
