"""What the vendors' programs print of cards, as values; what cannot be read is unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hosts.gpu import parsing
from hosts.gpu.parsing_amd import cards_of_amd, cards_of_rocm, processes_of_amd
from hosts.gpu.parsing_intel import card_of_intel, numbers_of, processes_of_intel
from hosts.gpu.values import GpuProcess, Unreadable, Vendor
from lab.simulated_smi import CARDS

MIB = 2**20
GPU = "NVIDIA GeForce RTX 3090 (simulated)"


def recorded(machine: str, file: str) -> str:
    return (CARDS / machine / file).read_text()


def test_two_equal_cards_are_told_apart_by_their_uuid() -> None:
    first, second = parsing.cards_of_csv(recorded("two-equal", "gpus.csv")).cards

    assert first.name == second.name == GPU
    assert first.uuid != second.uuid
    assert (first.index, second.index) == (0, 1)


def test_every_field_of_a_card_is_read() -> None:
    card = parsing.cards_of_csv(recorded("two-equal", "gpus.csv")).cards[0]

    assert (card.memory_total, card.memory_used) == (24576 * MIB, 8704 * MIB)
    assert (card.utilization, card.temperature) == (37, 54)
    assert (card.power, card.power_limit) == (141.27, 350)
    assert (card.driver, card.compute_capability) == ("550.144.03", "8.6")
    assert card.is_mig is None


def test_a_field_that_is_not_available_is_unknown_and_takes_no_other_along() -> None:
    (card,) = parsing.cards_of_csv(recorded("one-busy", "gpus.csv")).cards

    assert (card.utilization, card.power, card.power_limit) == (None, None, None)
    assert (card.temperature, card.memory_used) == (47, 512 * MIB)


@pytest.mark.parametrize(
    "word",
    ["[N/A]", "N/A", "[Not Supported]", "[Unknown Error]", "ERR!", "[GPU requires reset]", ""],
)
def test_no_word_for_nothing_becomes_a_number(word: str) -> None:
    line = f"0, GPU-1, {word}, {word}, {word}, {word}, {word}, {word}, {word}, {word}, {word}, RTX"

    (card,) = parsing.cards_of_csv(line).cards

    assert card.memory_total is card.memory_used is card.utilization is card.temperature is None
    assert (card.driver, card.compute_capability, card.is_mig) == ("", "", None)
    assert card.name == "RTX"


def test_a_card_without_a_uuid_goes_by_its_number() -> None:
    (card,) = parsing.cards_of_csv("3, [N/A], 1, 1, 1, 1, 1, 1, 1, 1, N/A, GRID, old").cards

    assert (card.uuid, card.name) == ("index-3", "GRID, old")


def test_no_device_is_an_answer_and_an_empty_one_is_none() -> None:
    assert parsing.cards_of_csv(recorded("none", "gpus.csv")).cards == ()
    assert parsing.processes_of_csv("") == ()
    with pytest.raises(Unreadable):
        parsing.cards_of_csv("")


@pytest.mark.parametrize(
    ("machine", "way_out"),
    [("mismatch", "Restart the machine"), ("no-driver", "Install the driver")],
)
def test_a_driver_that_fails_is_told_with_the_way_out(machine: str, way_out: str) -> None:
    for read in (parsing.cards_of_csv, parsing.processes_of_csv, parsing.cards_of_xml):
        with pytest.raises(Unreadable, match=way_out) as raised:
            read(recorded(machine, "gpus.csv"))
        assert raised.value.detail


def test_a_lost_card_beside_one_that_works_loses_nothing_else() -> None:
    lost = "Unable to determine the device handle for GPU0000:02:00.0: GPU is lost.\n"

    told = parsing.cards_of_csv(recorded("two-equal", "gpus.csv") + lost)

    assert len(told.cards) == 2
    assert "no longer answers its driver" in told.problem


def test_an_unknown_field_of_an_old_program_is_named() -> None:
    text = 'Field "compute_cap" is not a valid field to query.\n\nRun nvidia-smi --help-query-gpu'

    assert parsing.refused_field(text) == "compute_cap"
    assert parsing.refused_field("No devices were found") == ""


def test_processes_are_read_with_commas_in_their_names() -> None:
    first, second = parsing.processes_of_csv(recorded("two-equal", "apps.csv"))

    assert (first.pid, first.memory) == (4001, 4300 * MIB)
    assert second.name == "/usr/bin/ffmpeg, -i, in.wav"


def test_processes_that_may_not_be_seen_are_there_all_the_same() -> None:
    told = parsing.processes_of_csv(recorded("one-busy", "apps.csv"))

    assert [(process.pid, process.memory) for process in told] == [(812, None), (None, None)]


def test_the_long_answer_tells_cuda_and_processes() -> None:
    cards, processes = parsing.cards_of_xml(recorded("two-equal", "query.xml"))

    assert [card.cuda for card in cards] == ["12.4", "12.4"]
    assert (cards[0].memory_used, cards[0].power) == (8704 * MIB, 141.27)
    assert processes == (GpuProcess(cards[0].uuid, 4001, 4300 * MIB, "/app/venv/bin/python3"),)


def test_both_answers_agree_on_a_card() -> None:
    short = parsing.cards_of_csv(recorded("two-equal", "gpus.csv")).cards
    long, _ = parsing.cards_of_xml(recorded("two-equal", "query.xml"))

    for one, other in zip(short, long, strict=True):
        for field in ("uuid", "name", "memory_total", "memory_used", "utilization", "temperature"):
            assert getattr(one, field) == getattr(other, field)


def test_a_card_cut_by_mig_has_parts_and_the_whole_one_beside_it_none() -> None:
    cut, whole = parsing.cards_of_xml(recorded("mig", "query.xml"))[0]
    named = parsing.partitions_of_list(recorded("mig", "list.txt"))

    assert (cut.is_mig, whole.is_mig) == (True, False)
    assert [part.memory_total for part in cut.partitions] == [19968 * MIB, 4864 * MIB]
    assert [part.memory_used for part in cut.partitions] == [7170 * MIB, None]
    assert whole.partitions == ()
    assert [part.name for part in named[cut.uuid]] == ["3g.20gb", "1g.5gb"]
    assert all(part.uuid.startswith("MIG-") for part in named[cut.uuid])


def test_the_long_answer_cannot_blow_up() -> None:
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><nvidia_smi_log>&b;</nvidia_smi_log>'
    )

    with pytest.raises(Unreadable):
        parsing.cards_of_xml(bomb)


AMD_LIST = [{"gpu": 0, "bdf": "0000:03:00.0", "uuid": "22ff744c-0000-1000-8059-7b4f2cd0e001"}]
AMD_STATIC = [
    {
        "gpu": 0,
        "asic": {"market_name": "Radeon RX 7900 XTX", "target_graphics_version": "gfx1100"},
        "vram": {"type": "GDDR6", "size": {"value": 24560, "unit": "MB"}},
        "driver": {"name": "amdgpu", "version": "6.10.5"},
        "limit": {"max_power": {"value": 339, "unit": "W"}},
    }
]
AMD_METRIC = [
    {
        "gpu": 0,
        "usage": {"gfx_activity": {"value": 73, "unit": "%"}},
        "power": {"socket_power": {"value": 142, "unit": "W"}},
        "temperature": {"edge": {"value": 45, "unit": "C"}, "hotspot": "N/A"},
        "mem_usage": {
            "total_vram": {"value": 24560, "unit": "MB"},
            "used_vram": {"value": 4096, "unit": "MB"},
        },
    }
]


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_cards_of_amd_are_read_in_both_forms(is_wrapped: bool) -> None:
    def said(rows: object) -> str:
        return "WARNING: one\n" + json.dumps({"gpu_data": rows} if is_wrapped else rows)

    (card,) = cards_of_amd(listed=said(AMD_LIST), static=said(AMD_STATIC), metric=said(AMD_METRIC))

    assert (card.vendor, card.name) == (Vendor.AMD, "Radeon RX 7900 XTX")
    assert (card.memory_total, card.memory_used) == (24560 * MIB, 4096 * MIB)
    assert (card.utilization, card.temperature, card.power) == (73, 45, 142)
    assert (card.uuid, card.driver) == (AMD_LIST[0]["uuid"], "6.10.5")
    assert card.power_limit == 339


def test_a_card_of_amd_that_tells_its_serial_is_called_as_rocm_calls_it() -> None:
    static = [{"gpu": 0, "asic": {"asic_serial": "0x8F68E602B8A790F"}}]

    (card,) = cards_of_amd(
        listed=json.dumps(AMD_LIST), static=json.dumps(static), metric='[{"gpu": 0}]'
    )

    assert card.uuid == "GPU-08f68e602b8a790f"


def test_fields_that_amd_leaves_out_are_unknown() -> None:
    listed, static = json.dumps(AMD_LIST), json.dumps([{"gpu": 0, "asic": "N/A"}])

    (card,) = cards_of_amd(listed=listed, static=static, metric='[{"gpu": 0, "usage": "N/A"}]')

    assert (card.name, card.memory_total, card.utilization) == ("AMD GPU", None, None)


def test_processes_of_amd_hold_bytes() -> None:
    cards = cards_of_amd(listed=json.dumps(AMD_LIST), static="[]", metric="[]")
    info = {"name": "python3", "pid": 4242, "memory_usage": {"vram_mem": {"value": 7, "unit": "B"}}}
    nobody = [{"gpu": 0, "process_list": [{"process_info": "No running processes detected"}]}]

    told = processes_of_amd(
        json.dumps([{"gpu": 0, "process_list": [{"process_info": info}]}]), cards
    )

    assert told == (GpuProcess(cards[0].uuid, 4242, 7, "python3"),)
    assert processes_of_amd(json.dumps(nobody), cards) == ()


def test_rocm_smi_is_read_whatever_the_case_of_its_keys() -> None:
    row = {
        "Unique ID": "0x18f68e602b8a790f",
        "Temperature (Sensor edge) (C)": "33.0",
        "Average Graphics Package Power (W)": "36.0",
        "GPU use (%)": "0",
        "VRAM Total Memory (B)": "34342961152",
        "VRAM Total Used Memory (B)": "10850304",
        "Card series": "Instinct MI100",
    }
    told = {"card0": row, "system": {"Driver version": "6.3.6"}}

    (card,) = cards_of_rocm(json.dumps(told))

    assert (card.uuid, card.name) == ("GPU-18f68e602b8a790f", "Instinct MI100")
    assert (card.memory_total, card.memory_used) == (34342961152, 10850304)
    assert (card.utilization, card.temperature, card.power) == (0, 33, 36)
    assert card.driver == "6.3.6"


def test_cards_of_intel_are_read() -> None:
    details = {
        "device_id": 0,
        "device_name": "Intel(R) Arc(TM) A770 Graphics",
        "uuid": "00000000-0000-0000-0000-020056a08086",
        "memory_physical_size_byte": "16225243136",
        "driver_version": "I915_1.23",
    }
    rows = {
        "XPUM_STATS_GPU_UTILIZATION": 12.5,
        "XPUM_STATS_MEMORY_USED": 1024.0,
        "XPUM_STATS_GPU_CORE_TEMPERATURE": 41,
    }
    stats = {"device_level": [{"metrics_type": key, "value": v} for key, v in rows.items()]}
    processes = [{"device_id": 0, "process_id": 77, "process_name": "python3", "mem_size": 2048}]

    card = card_of_intel(details=json.dumps(details), stats=json.dumps(stats))
    told = processes_of_intel(json.dumps({"device_util_by_proc_list": processes}), (card,))

    assert numbers_of(json.dumps({"device_list": [{"device_id": 0}]})) == (0,)
    assert (card.vendor, card.memory_total) == (Vendor.INTEL, 16225243136)
    assert (card.memory_used, card.utilization, card.temperature) == (1024 * MIB, 12.5, 41)
    assert card.power is None
    assert told == (GpuProcess(card.uuid, 77, 2 * MIB, "python3"),)


@pytest.mark.parametrize("text", ["", "Segmentation fault", "{", '{"error": "no level zero"}'])
def test_an_answer_that_is_no_json_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        numbers_of(text)


def test_the_files_of_the_lab_say_that_they_are_simulated() -> None:
    for file in Path(CARDS).glob("*/gpus.csv"):
        for card in file.read_text().splitlines():
            assert not card.startswith(("0,", "1,")) or card.endswith("(simulated)")
