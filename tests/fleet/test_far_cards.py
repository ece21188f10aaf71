"""The cards of a remote host, read over SSH by an abm as people run it. The cards are simulated."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from lab.simulated_smi import CARDS
from tests.fleet.far_abm import FarAbm, far_abm

pytestmark = pytest.mark.fleet

ENGINE = "tone"
CARD = "GPU-3f6c1a52-8f07-4d0b-9a5e-0d9b7c1e2a01"
MIB = 2**20


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnRemote]:
    with own_remote(lab.place, has_card=True) as made:
        yield made


@pytest.fixture(scope="module")
def abm(lab: Lab, own: OwnRemote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarAbm]:
    with far_abm(tmp_path_factory.mktemp("far"), lab.place.catalog_url) as made:
        made.add(own)
        made.until(lambda: len(cards(made)) == 2, 20)
        yield made


def cards(abm: FarAbm) -> list[object]:
    return list(abm.rows("hosts_gpu", "host_id = ?", abm.host.pk))


def test_its_cards_are_known_and_it_counts_as_one_with_a_gpu(abm: FarAbm) -> None:
    (card,) = abm.rows("hosts_gpu", "uuid = ?", CARD)

    assert (card.name, card.cuda) == ("NVIDIA GeForce RTX 3090 (simulated)", "12.4")
    assert card.memory_used == 8704 * MIB
    assert abm.host.has_gpu
    assert "15.5 GiB of 24 GiB free" in abm.http.get(f"/hosts/{abm.host.pk}/").text


def test_an_engine_there_holds_its_share(abm: FarAbm, own: OwnRemote) -> None:
    abm.installed(ENGINE, starts=True)
    abm.until_state(ENGINE, "running", seconds=60)
    with contextlib.closing(own.remote.daemon.client()) as client:
        (container,) = client.containers.list(filters={"label": f"abm.engine={ENGINE}"})
        pid = container.attrs["State"]["Pid"]
    text = (CARDS / "two-equal" / "query.xml").read_text()
    file = own.remote.room.programs / "query.xml"
    file.write_text(text.replace("<pid>4001<", f"<pid>{pid}<"))
    file.chmod(0o644)

    def holders() -> list[dict[str, object]]:
        (card,) = abm.rows("hosts_gpu", "uuid = ?", CARD)
        return list(json.loads(card.holders))

    abm.until(holders, 20)

    pk = abm.engine(ENGINE).pk
    assert [(row["engine"], row["memory"]) for row in holders()] == [(pk, 4300 * MIB)]


def test_where_the_key_cannot_ask_docker_is_asked(abm: FarAbm, own: OwnRemote) -> None:
    """Runs last: an engine is there by now, whose image the container is made of."""
    (own.remote.room.programs / "nvidia-smi").unlink()
    (before,) = abm.rows("hosts_gpu", "uuid = ?", CARD)

    def is_read_again() -> bool:
        (card,) = abm.rows("hosts_gpu", "uuid = ?", CARD)
        return bool(card.read_at != before.read_at)

    with contextlib.closing(own.remote.daemon.client()) as client:
        abm.until(lambda: client.containers.list(filters={"label": "abm.cards"}), 40)
        abm.until(is_read_again, 40)

        assert abm.host.gpu_text == ""

        abm.verb(ENGINE, "stop")
        abm.until_state(ENGINE, "stopped")
        abm.post(f"/hosts/{abm.host.pk}/skip/")
        # One that goes between Docker's list and the question about it is gone as well.
        abm.until(
            lambda: not client.containers.list(filters={"label": "abm.cards"}, ignore_removed=True),
            20,
        )
