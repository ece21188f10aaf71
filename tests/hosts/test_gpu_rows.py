"""What the rows of cards say: of the host, in words, and as a bar."""

from __future__ import annotations

from typing import Any

import pytest

from hosts.gpu.words import gib
from hosts.gpus import has_gpu
from hosts.models import Host
from tests.engines.cards import GIB, make_gpu
from tests.engines.factories import make_host

pytestmark = pytest.mark.django_db

SEEN = [{"name": "RTX 3090", "has_driver": True}]
PLUGGED = [{"name": "NVIDIA GPU", "has_driver": False}]


def docker(**facts: Any) -> Host:
    known = {"is_on_this_machine": True, "has_gpu_runtime": True, "cards": [], **facts}
    return make_host(host_type=Host.Type.DOCKER_LOCAL, facts=known)


def test_a_runtime_called_nvidia_is_no_gpu() -> None:
    assert has_gpu(docker()) is False


def test_a_runtime_where_nobody_can_look_is_unknown() -> None:
    assert has_gpu(docker(cards=None, is_on_this_machine=False)) is None
    assert has_gpu(make_host(host_type=Host.Type.DOCKER_LOCAL)) is None


def test_a_card_that_was_read_and_a_runtime_are_a_gpu() -> None:
    host = docker()
    make_gpu(host)

    assert has_gpu(host) is True


def test_a_card_without_a_runtime_is_none_for_containers() -> None:
    host = docker(has_gpu_runtime=False, cards=SEEN)
    make_gpu(host)

    assert has_gpu(host) is False


def test_processes_need_no_runtime() -> None:
    host = make_host()
    assert has_gpu(host) is None

    make_gpu(host)
    assert has_gpu(host) is True


def test_a_card_with_a_driver_counts_although_its_figures_cannot_be_read() -> None:
    host = docker(cards=SEEN)
    host.gpu_text = "An NVIDIA card is in this machine, but abm's own container does not see it."

    assert has_gpu(host) is True


def test_a_card_without_a_driver_is_not_claimed() -> None:
    host = docker(cards=PLUGGED)
    host.gpu_text = "nvidia-smi is not installed."

    assert has_gpu(host) is None


def test_the_bar_never_grows_wider_than_it_is() -> None:
    rows = [{"engine": number, "name": f"E{number}", "memory": 10 * GIB} for number in range(5)]
    card = make_gpu(make_host(), total=24, used=20, holders=rows)

    segments = card.segments

    assert sum(piece.width for piece in segments) <= 100.01
    assert [piece.kind for piece in segments] == [
        "holder-1",
        "holder-2",
        "holder-3",
        "holder-4",
        "holder-1",
        "free",
    ]


def test_holders_that_tell_no_size_are_named_beside_the_bar() -> None:
    rows = [{"engine": 1, "name": "Whisper", "memory": None}]
    card = make_gpu(make_host(), used=6, holders=rows)

    assert card.silent_holders == ["Whisper"]
    assert [piece.name for piece in card.segments] == ["others", "free"]


def test_unknown_memory_is_no_bar_and_is_said() -> None:
    card = make_gpu(make_host(), memory_used=None)

    assert card.segments == []
    assert card.memory_text == "free memory unknown, 24 GiB in all"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (24 * GIB, "24 GiB"),
        (int(9.84 * GIB), "9.8 GiB"),
        (18 * 2**20, "18 MiB"),
        (0, "0 MiB"),
        (None, "unknown"),
        (141 * GIB, "141 GiB"),
    ],
)
def test_memory_is_written_as_nvidia_smi_counts_it(size: int | None, words: str) -> None:
    assert gib(size) == words
