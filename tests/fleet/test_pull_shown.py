"""A real pull as its job shows it, and the login that a private registry asks for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lab.faults import Fault, Login
from lab.fleet import Lab
from tests.fleet.abm import Ground, Row, ground

pytestmark = pytest.mark.fleet

MB = 10**6


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(it: Ground) -> Iterator[None]:
    yield
    it.door.heal()
    it.door.login = None


def watched(it: Ground, job: int, seconds: float = 60) -> list[Row]:
    """The job's row each time that it changed, until it ended."""
    rows: list[Row] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        row = it.abm.job(job)
        if not rows or row != rows[-1]:
            rows.append(row)
        if row.status not in ("queued", "running"):
            return rows
        time.sleep(0.05)
    raise AssertionError(it.abm.story())


def test_the_row_tells_both_phases_and_every_layer(it: Ground) -> None:
    (name,) = it.offer(4 * MB, 7 * MB)
    it.door.fail(Fault("blobs", method="GET", bytes_per_second=4 * MB))

    rows = watched(it, it.abm.install(name))

    assert rows[-1].status == "succeeded", rows[-1].error
    percents = [row.percent for row in rows]
    assert percents == sorted(percents)
    pulling = [(row, json.loads(row.transfer)) for row in rows if row.transfer != "{}"]
    wanted = {digest.partition(":")[2][:12] for digest in it.layers_of(name)}
    assert all({layer[0] for layer in moved["layers"]} == wanted for _, moved in pulling)
    assert any(0 < row.progress_done < row.progress_total for row, _ in pulling)
    assert any(row.rate and row.rate > 100_000 for row, _ in pulling)
    # Rows are written four times a second: the next step may overtake the last numbers.
    assert any(row.progress_done > 0.8 * row.progress_total > 8 * MB for row, _ in pulling)
    assert max(row.progress_total for row, _ in pulling) > 11 * MB
    unpacked = [moved["unpacked"] for _, moved in pulling]
    assert unpacked == sorted(unpacked)
    assert unpacked[-1] > 0
    assert rows[-1].transfer == "{}"


def test_the_catalog_learns_sizes_in_the_background(it: Ground) -> None:
    (name,) = it.offer(2 * MB)
    entry = it.abm.row("catalog_catalogentry", "name = ?", name)
    # CATALOG_SYNC is off in tests, so it is the open dialog that has the registry asked.
    assert it.abm.http.get(f"/engines/choose/{entry.id}/").is_success

    it.abm.until(lambda: it.abm.row("catalog_variant", "entry_id = ?", entry.id).measured_image)

    variant = it.abm.row("catalog_variant", "entry_id = ?", entry.id)
    assert variant.download_bytes > 2 * MB
    assert variant.disk_bytes > variant.download_bytes / 2
    assert variant.digest.startswith("sha256:")


@pytest.mark.parametrize("gives_tokens", [False, True])
def test_a_private_image_is_pulled_with_the_stored_login(it: Ground, gives_tokens: bool) -> None:
    it.door.login = Login("bob", "right horse", gives_tokens)
    (name,) = it.offer(MB)
    refused = it.abm.ended(it.abm.install(name))
    assert refused.status == "failed"
    assert it.door.address in refused.error

    it.abm.post(
        "/hosts/registries/add/",
        registry=it.door.address,
        username="bob",
        password="right horse",
    )
    where = "registry = ?"
    it.abm.until(lambda: it.abm.row("hosts_registrylogin", where, it.door.address).checked_at)
    login = it.abm.row("hosts_registrylogin", where, it.door.address)
    job = it.abm.ended(it.abm.install(name))

    assert login.error == ""
    assert job.status == "succeeded", job.error
    assert "right horse" not in it.abm.story() + it.abm.served.said() + login.password
    it.abm.post(f"/hosts/registries/{login.id}/delete/")
