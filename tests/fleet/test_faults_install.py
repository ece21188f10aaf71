"""Installing through abm: many at once, two of the same, and on a disk that is full."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lab.faults import Fault
from lab.fleet import Lab
from tests.fleet.abm import Ground, ground

pytestmark = pytest.mark.fleet

MB = 10**6
MANY = 20


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


def test_twenty_installs_asked_at_once_wait_with_a_reason_and_all_end_right(it: Ground) -> None:
    names = it.offer(200_000, count=MANY)
    it.door.fail(Fault("/blobs/", method="GET", bytes_per_second=4 * MB))
    with ThreadPoolExecutor(MANY) as pool:
        jobs = list(pool.map(it.abm.install, names))
    most, reasons = 0, set[str]()

    def are_done() -> bool:
        nonlocal most
        rows = [it.abm.job(pk) for pk in jobs]
        most = max(most, sum(row.status == "running" for row in rows))
        reasons.update(row.waiting_for for row in rows if row.status == "queued")
        return all(row.finished_at for row in rows)

    it.abm.until(are_done, 120)
    it.door.heal()

    assert {it.abm.job(pk).status for pk in jobs} == {"succeeded"}
    assert {it.abm.state(name) for name in names} == {"stopped"}
    assert most == 2
    assert "2 other installs on this host" in reasons
    tags = {tag for image in it.client.images.list() for tag in image.tags}
    assert {it.image(name) for name in names} <= tags


def test_two_admins_who_install_the_same_at_once_get_one_job(it: Ground) -> None:
    (name,) = it.offer(MB)
    it.abm.post("/accounts/users/add/", name="grace", password="another fine one", role="admin")
    both = threading.Barrier(2)
    with httpx.Client(base_url=it.abm.served.url, follow_redirects=True, timeout=30) as other:
        it.abm.sign_in(other, name="grace", password="another fine one")

        def install(http: httpx.Client) -> int:
            both.wait(10)
            return it.abm.install(name, http=http)

        with ThreadPoolExecutor(2) as pool:
            jobs = set(pool.map(install, [it.abm.http, other]))

    assert len(jobs) == 1
    assert it.abm.ended(jobs.pop()).status == "succeeded"
    engine = it.abm.engine(name)
    assert len(it.abm.rows("jobs_job", "engine_id = ?", engine.pk)) == 1


def test_on_a_full_disk_the_install_says_so_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    with ground(lab.place, tmp_path, data_megabytes=60) as it:
        before = used(it)
        (name,) = it.offer(5 * MB, 30 * MB, 40 * MB)

        job = it.abm.ended(it.abm.install(name))

        assert job.status == "failed"
        assert job.error_code == "DISK_FULL"
        assert "The disk of this machine is full" in job.error
        assert it.abm.state(name) == "absent"
        assert it.client.api.images(all=True) == []
        it.abm.until(lambda: used(it) < before + MB)


def used(it: Ground) -> int:
    """Bytes in the file system of the daemon's data."""
    os.sync()
    return shutil.disk_usage(it.daemon.daemon.data).used
