"""abm killed with SIGKILL at random moments of an install: each must end right."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.faults import Fault
from lab.fleet import Lab
from tests.fleet.abm import Ground, ground, ours
from tests.fleet.soak import KILLS

pytestmark = pytest.mark.fleet

MB = 10**6
SETTLES = 10.0
"""Seconds from abm's first answer after a kill to a state that is true, with no job open."""


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


def installed_seconds(it: Ground) -> float:
    """How long an install with a start takes when nobody disturbs it, and the base is there."""
    for name in it.offer(MB, MB, count=2):
        began = time.monotonic()
        it.abm.installed(name, starts=True)
    return time.monotonic() - began


def truth(it: Ground, name: str) -> str:
    """The state that Docker's own word allows an engine with no open job to have."""
    tags = {tag for image in it.client.images.list() for tag in image.tags}
    if it.image(name) not in tags:
        return "absent"
    running = [one for one in ours(it.client, name) if one.status == "running"]
    return "running" if running else "stopped"


def test_an_install_ends_right_whenever_abm_is_killed(
    it: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    it.door.fail(Fault("/blobs/", method="GET", bytes_per_second=2 * MB))
    whole = installed_seconds(it)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    ended: Counter[str] = Counter()
    slowest = 0.0

    for number in range(KILLS):
        # One in each stretch of the install, so that few kills meet its end as well.
        moment = whole * (number + moments.random()) / KILLS
        words, took = killed_after(moment, it, f"kill {number} of seed {seed}")
        ended[words] += 1
        slowest = max(slowest, took)

    it.door.heal()
    with capsys.disabled():
        print(
            f"\nabm killed {KILLS} times in installs of {whole:.1f} s: {dict(ended)}; true again "
            f"within {slowest:.2f} s of its next start, every engine runs after a retry"
        )


def killed_after(moment: float, it: Ground, which: str) -> tuple[str, float]:
    """How one install ended that was killed after so many seconds, and how soon that was true."""
    (name,) = it.offer(MB, MB)
    job = it.abm.install(name, starts=True)
    time.sleep(moment)
    steps = it.abm.job(job).steps
    it.abm.served.kill()
    it.abm.start()
    began = time.monotonic()
    it.abm.until(lambda: is_settled(it, name), SETTLES)
    took = time.monotonic() - began

    story = f"{which}, after {moment:.2f} s in {steps}\n{it.abm.story()}"
    state = it.abm.state(name)
    killed = it.abm.job(job)
    assert killed.status in ("failed", "succeeded"), story
    if killed.status == "failed":
        assert "abm was stopped while this ran" in killed.error, story
    finish(it, name, job, story)
    return f"job {killed.status}, engine {state}", took


def is_settled(it: Ground, name: str) -> bool:
    """No job open, and the row says what Docker says."""
    if it.abm.rows("jobs_job", "finished_at IS NULL"):
        return False
    state = it.abm.state(name) or "absent"
    return state == truth(it, name)


def finish(it: Ground, name: str, job: int, story: str) -> None:
    """What a person does next: Retry, or Start; then all is as if nothing had been."""
    state = it.abm.state(name)
    if state == "absent":
        again = it.abm.ended(it.abm.retried(job))
        assert again.status == "succeeded", f"{again.error}\n{story}"
    elif state != "running":
        it.abm.done(name, "start")
    assert it.abm.state(name) == "running", story
    assert [one.status for one in ours(it.client, name)] == ["running"], story
    it.abm.done(name, "uninstall")
    assert it.is_nothing_left(name), story
