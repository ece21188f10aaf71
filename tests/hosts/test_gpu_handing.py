"""How engines get cards, by who made them, as Docker and processes are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hosts.gpu.handing import ALL, Handed, cdi_names, node_groups
from hosts.gpu.values import Vendor
from hosts.runners.docker.found import cards_in

RADEON, OTHER = "GPU-18f68e602b8a790f", "GPU-00a1b2c3d4e5f607"


def node(path: str) -> dict[str, str]:
    return {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}


def test_amds_nodes_are_given_and_one_is_chosen_by_uuid() -> None:
    cards = Handed((RADEON, OTHER), Vendor.AMD, groups=(44, 992))

    assert cards.host_config() == {
        "Devices": [node("/dev/kfd"), node("/dev/dri")],
        "GroupAdd": ["44", "992"],
    }
    assert cards.container_variables() == {
        "ROCR_VISIBLE_DEVICES": f"{RADEON},{OTHER}",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }
    assert cards.process_variables() == {"ROCR_VISIBLE_DEVICES": f"{RADEON},{OTHER}"}


def test_intels_are_chosen_by_number_in_the_order_of_the_bus() -> None:
    cards = Handed(("1",), Vendor.INTEL)

    assert cards.host_config() == {"Devices": [node("/dev/dri")]}
    assert cards.process_variables() == {
        "ZE_AFFINITY_MASK": "1",
        "ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1",
        "ZE_FLAT_DEVICE_HIERARCHY": "COMPOSITE",
    }


def test_all_cards_need_no_choice() -> None:
    for vendor in (Vendor.AMD, Vendor.INTEL):
        assert Handed(ALL, vendor).process_variables() == {}
        assert "Devices" in Handed(ALL, vendor).host_config()


def test_none_is_none_whoever_made_them() -> None:
    for vendor in Vendor:
        cards = Handed((), vendor)

        assert cards.host_config() == {}
        assert cards.container_variables() == {"NVIDIA_VISIBLE_DEVICES": "void"}
        assert cards.process_variables()["CUDA_VISIBLE_DEVICES"] == ""


class TestCdi:
    def test_a_daemon_without_the_runtime_is_asked_by_cdi(self) -> None:
        facts = {"runtimes": ["runc"], "gpu_devices": ["nvidia.com/gpu=all", "nvidia.com/gpu=0"]}
        names = cdi_names(facts, Vendor.NVIDIA, ("GPU-a",))
        cards = Handed(("GPU-a",), Vendor.NVIDIA, cdi=names)

        assert cards.host_config() == {
            "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]
        }
        assert cards.container_variables() == {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": "GPU-a",
            "NVIDIA_VISIBLE_DEVICES": "void",
        }

    def test_one_with_the_runtime_goes_its_own_way(self) -> None:
        facts = {"runtimes": ["nvidia"], "gpu_devices": ["nvidia.com/gpu=all"]}

        assert cdi_names(facts, Vendor.NVIDIA, ALL) == ()

    def test_what_it_lists_by_uuid_is_asked_for_alone(self) -> None:
        listed = ["amd.com/gpu=all", f"amd.com/gpu={RADEON}", "nvidia.com/gpu=0"]

        assert cdi_names({"gpu_devices": listed}, Vendor.AMD, (RADEON,)) == (listed[1],)
        assert cdi_names({"gpu_devices": listed}, Vendor.AMD, (OTHER,)) == (listed[0],)
        assert cdi_names({"gpu_devices": listed}, Vendor.NVIDIA, ALL) == (listed[2],)
        assert cdi_names({"gpu_devices": listed}, Vendor.INTEL, ALL) == ()


@pytest.mark.parametrize(
    ("cards", "read"),
    [
        (Handed((RADEON,), Vendor.AMD), (RADEON,)),
        (Handed(ALL, Vendor.AMD), ALL),
        (Handed(("1",), Vendor.INTEL), ALL),  # a number is no key
        (Handed(("GPU-a",), cdi=("nvidia.com/gpu=all",)), ("GPU-a",)),
        (Handed(("GPU-a", "GPU-b")), ("GPU-a", "GPU-b")),
        (Handed(ALL), ALL),
        (Handed(), ()),
    ],
)
def test_what_a_container_was_given_is_read_back_from_it(
    cards: Handed, read: tuple[str, ...]
) -> None:
    lines = [f"{name}={value}" for name, value in cards.container_variables().items()]
    found = {"HostConfig": cards.host_config(), "Config": {"Env": lines}}

    assert cards_in(found) == read


@pytest.mark.skipif(os.geteuid() != 0, reason="not as root: a file is given to another group")
def test_groups_are_those_of_the_nodes(tmp_path: Path) -> None:
    (tmp_path / "dev/dri").mkdir(parents=True)
    for name, group in (("kfd", 992), ("dri/renderD128", 992), ("dri/renderD129", 0)):
        (tmp_path / "dev" / name).touch()
        os.chown(tmp_path / "dev" / name, -1, group)

    assert node_groups(tmp_path) == (992,)
