"""Reading cards by asking real programs, which may be missing, old, or never answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hosts.gpu.asking import Asker
from hosts.gpu.reading import CardReader, inventory_of_long, without_programs
from hosts.gpu.values import Inventory
from hosts.runners.docker.system import Family, System
from lab import simulated_smi

MIB = 2**20
NONE = Inventory((), ())
FILES = ("query.xml", "list.txt")


def reader(folder: Path, *, seconds: float = 5.0) -> CardReader:
    """Of a machine whose programs are those in `folder`."""
    path = f"{folder}:/usr/bin:/bin"
    return CardReader(Asker(path=path, seconds=seconds), without=lambda: NONE)


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}")
    file.chmod(0o755)


def test_cards_processes_and_cuda_come_from_one_reading(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path)

    found = reader(tmp_path).read()

    assert found.cards
    assert [card.cuda for card in found.cards] == ["12.4", "12.4"]
    assert [process.pid for process in found.processes or ()] == [4001, 4777]
    assert found.problem == ""


def test_parts_of_a_cut_card_have_names_uuids_and_sizes(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path, "mig")

    cut, whole = reader(tmp_path).read().cards or ()

    assert [(part.name, part.memory_used) for part in cut.partitions] == [
        ("3g.20gb", 7170 * MIB),
        ("1g.5gb", None),
    ]
    assert cut.partitions[0].uuid.startswith("MIG-")
    assert whole.partitions == ()


def test_a_driver_without_cards_is_no_card(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path, "none", code=6)

    assert reader(tmp_path).read() == NONE


def test_a_driver_that_fails_leaves_cards_unknown(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path, "mismatch", code=18)

    found = reader(tmp_path).read()

    assert found.cards is None
    assert "Restart the machine" in found.problem
    assert "version mismatch" in found.detail


def test_a_program_that_hangs_is_left_and_leaves_nothing_behind(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    simulated_smi.write(tmp_path, before=f"echo $$ > {mark}; sleep 300")
    began = time.monotonic()

    found = reader(tmp_path, seconds=0.3).read()

    assert time.monotonic() - began < 3
    assert found.cards is None
    assert "does not answer" in found.problem
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_an_older_program_is_asked_without_the_field_that_it_does_not_know(tmp_path: Path) -> None:
    refused = 'case "$*" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to'
    rows = "0, GPU-1, 8192, 12, 0, 40, 9.5, 120, 390.157, [N/A], Quadro P4000"
    program(
        tmp_path,
        "nvidia-smi",
        f"{refused} query.'; exit 2;; esac\n"
        f"case \"$*\" in *query-gpu*) echo '{rows}';; *-q*) echo none;; esac",
    )

    (card,) = reader(tmp_path).read().cards or ()

    assert (card.uuid, card.name, card.driver) == ("GPU-1", "Quadro P4000", "390.157")
    assert card.compute_capability == ""


def test_cards_count_although_their_processes_cannot_be_read(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path)
    (tmp_path / "apps.csv").write_text("Failed to initialize NVML: Insufficient Permissions\n")

    found = reader(tmp_path).read()

    assert len(found.cards or ()) == 2
    assert found.processes is None
    assert "video" in found.problem


def test_a_machine_without_programs_is_judged_by_what_is_plugged_in(tmp_path: Path) -> None:
    found = CardReader(
        Asker(path=str(tmp_path)), without=lambda: without_programs(machine(tmp_path))
    ).read()

    assert found == NONE


@pytest.mark.parametrize(
    ("vendor", "words"), [("0x10de", "nvidia-smi is not installed"), ("0x1002", "amd-smi")]
)
def test_a_card_that_is_plugged_in_and_cannot_be_read_is_unknown(
    tmp_path: Path, vendor: str, words: str
) -> None:
    place = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    place.mkdir(parents=True)
    (place / "vendor").write_text(f"{vendor}\n")
    (place / "class").write_text("0x030000\n")

    found = without_programs(machine(tmp_path))

    assert found.cards is None
    assert words in found.problem


def test_of_another_system_nothing_is_claimed() -> None:
    assert without_programs(System(Family.MACOS)).cards is None


def machine(root: Path) -> System:
    return System(Family.DEBIAN, root=root)


def test_one_long_answer_is_enough_for_a_host_that_gives_no_other() -> None:
    answers = {name: (simulated_smi.CARDS / "mig" / name).read_text() for name in FILES}

    found = inventory_of_long(answers["query.xml"], listed=answers["list.txt"])

    cut, whole = found.cards or ()
    assert (cut.cuda, cut.driver, whole.memory_used) == ("12.8", "570.86.10", MIB)
    assert [part.name for part in cut.partitions] == ["3g.20gb", "1g.5gb"]
    assert found.processes == ()
    assert inventory_of_long("NVIDIA-SMI couldn't find libnvidia-ml.so").cards is None


def test_cards_of_two_makers_are_told_together(tmp_path: Path) -> None:
    simulated_smi.write(tmp_path, "one-busy")
    card = '{"card0": {"Unique ID": "0x18f6", "Card Series": "Radeon Pro"}}'
    program(tmp_path, "rocm-smi", f"echo '{card}'")

    found = reader(tmp_path).read()

    assert [one.vendor for one in found.cards or ()] == ["nvidia", "amd"]
    assert found.processes is None, "rocm-smi tells no processes"
