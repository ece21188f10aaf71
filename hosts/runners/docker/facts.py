"""What a Docker daemon says of itself and, where it is this machine's, what can be seen here."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import psutil

from hosts.gpu.handing import CDI_KINDS
from hosts.gpu.values import Vendor
from hosts.runners.base import HostFacts
from hosts.runners.docker.connection import DockerAddress, version_of
from hosts.runners.docker.own_identity import knows_own
from hosts.runners.docker.system import System, text_of

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6"}
"""`uname -m`, as /info gives it, to the architecture of an image."""
EMULATORS = {
    "qemu-x86_64": "linux/amd64",
    "rosetta": "linux/amd64",
    "qemu-aarch64": "linux/arm64",
    "qemu-arm": "linux/arm/v7",
    "qemu-riscv64": "linux/riscv64",
    "qemu-ppc64le": "linux/ppc64le",
    "qemu-s390x": "linux/s390x",
}
"""Entries of binfmt_misc by their usual names, and the platform each runs."""
CDI_API = (1, 44)
"""Docker 25: the first that can hand out devices by CDI."""
CONTAINERD_ROOT = Path("var/lib/containerd")
NVIDIA_VENDOR = "0x10de"


@dataclass(frozen=True, slots=True)
class Card:
    """An NVIDIA card of this machine."""

    name: str
    has_driver: bool


@dataclass(frozen=True, slots=True)
class DockerFacts(HostFacts):
    """HostFacts of a Docker host; None is unknown, never zero."""

    product: str = "Docker"
    """`Docker`, `Docker Desktop`, `Podman`, ..."""
    api_version: str = ""
    """The newest API that the daemon speaks."""
    storage_driver: str = ""
    has_containerd_store: bool = False
    """Images lie in containerd's store, whose pulls tell no bytes while they unpack."""
    data_root: str = ""
    """A path of the host, which need not be this machine."""
    runtimes: tuple[str, ...] = ()
    gpu_devices: tuple[str, ...] = ()
    """Names for CDI, such as `nvidia.com/gpu=0`, where the daemon lists them."""
    has_gpu_runtime: bool = False
    """Containers can be given an NVIDIA card, by the nvidia runtime or by CDI."""
    cards: tuple[Card, ...] | None = None
    """NVIDIA cards seen here; None where abm cannot look (another machine, Docker Desktop)."""
    cgroup_version: str = ""
    is_rootless: bool = False
    emulated: tuple[str, ...] | None = None
    """Platforms of other architectures that run by emulation, such as `linux/arm64`."""
    is_on_this_machine: bool = False
    has_our_folders: bool = True
    """A folder of abm's can be mounted by its name; not on another machine, reached by TCP."""
    warnings: tuple[str, ...] = ()
    """What the daemon itself warns of."""


def read_facts(client: docker.APIClient, address: DockerAddress, system: System) -> DockerFacts:
    """Ask the daemon, and look around where it is this machine's.

    Raises what docker-py raises: see `errors.mapped`.
    """
    version, said = client.version(), client.info()
    is_here = _is_here(said, address, system)
    disk_total, disk_free = _disk(said, system) if is_here else (None, None)
    memory = psutil.virtual_memory() if is_here else None
    devices = _devices(said, version, system if is_here else None)
    product = _product(said, version)
    return DockerFacts(
        system=said["OSType"],
        release=said.get("OperatingSystem", ""),
        machine=MACHINES.get(said.get("Architecture", ""), version.get("Arch", "")),
        hostname=said.get("Name", ""),
        cpu_count=said.get("NCPU") or None,
        load=os.getloadavg()[0] if is_here else None,
        memory_total=said.get("MemTotal") or None,
        memory_used=memory.total - memory.available if memory else None,
        disk_total=disk_total,
        disk_free=disk_free,
        versions=_versions(said, version, product),
        product=product,
        api_version=version.get("ApiVersion", ""),
        storage_driver=said.get("Driver", ""),
        has_containerd_store=_has_containerd_store(said),
        data_root=said.get("DockerRootDir", ""),
        runtimes=tuple(sorted(said.get("Runtimes") or ())),
        gpu_devices=devices,
        has_gpu_runtime="nvidia" in (said.get("Runtimes") or ())
        or any(name.startswith(CDI_KINDS[Vendor.NVIDIA]) for name in devices),
        cards=cards_of(system) if is_here else None,
        cgroup_version=said.get("CgroupVersion", ""),
        is_rootless="name=rootless" in (said.get("SecurityOptions") or ()),
        emulated=_emulated(system) if is_here else _emulated_by(product),
        is_on_this_machine=is_here,
        has_our_folders=_has_our_folders(client, said, address, system),
        warnings=tuple(said.get("Warnings") or ()),
    )


def cards_of(system: System) -> tuple[Card, ...]:
    """The NVIDIA cards of this machine: by the driver, by WSL's, else by the PCI bus."""
    told = sorted((system.root / "proc/driver/nvidia/gpus").glob("*/information"))
    if told:
        return tuple(Card(_model(file), has_driver=True) for file in told)
    nodes = sorted((system.root / "dev").glob("nvidia[0-9]*"))
    if nodes:
        return tuple(Card("NVIDIA GPU", has_driver=True) for _ in nodes)
    if (system.root / "dev/dxg").exists():
        if (system.root / "usr/lib/wsl/lib/libcuda.so.1").exists():
            return (Card("NVIDIA GPU of Windows", has_driver=True),)
        return ()
    return tuple(
        Card("NVIDIA GPU", has_driver=False)
        for vendor in sorted((system.root / "sys/bus/pci/devices").glob("*/vendor"))
        if _line(vendor) == NVIDIA_VENDOR and _line(vendor.with_name("class")).startswith("0x03")
    )


def _is_here(said: Mapping[str, Any], address: DockerAddress, system: System) -> bool:
    """Whether the daemon runs on this very system: a socket may also lead into a machine of
    Docker Desktop's, or by a tunnel to another host. A container has another name than its host.
    """
    is_same_kernel = said.get("KernelVersion") == platform.release()
    is_same_name = system.is_container or said.get("Name") == platform.node()
    return address.path is not None and is_same_kernel and is_same_name


def _has_our_folders(
    client: docker.APIClient, said: Mapping[str, Any], address: DockerAddress, system: System
) -> bool:
    """A socket leads to this machine, or to a virtual one that shares its folders. By TCP, such as
    through a proxy, it is this machine's if it knows abm's own container, or has its name.
    """
    if not address.is_tcp:
        return True
    if system.is_container:
        return knows_own(client)
    return said.get("KernelVersion") == platform.release() and said.get("Name") == platform.node()


def _has_containerd_store(said: Mapping[str, Any]) -> bool:
    """`[["driver-type", "io.containerd.snapshotter.v1"]]` says so."""
    return any("containerd" in str(value) for _, value in said.get("DriverStatus") or ())


def _disk(said: Mapping[str, Any], system: System) -> tuple[int | None, int | None]:
    """Total and free bytes of the fullest disk that images and containers lie on."""
    roots = [Path(said["DockerRootDir"])] if said.get("DockerRootDir") else []
    if _has_containerd_store(said):
        roots.append(system.root / CONTAINERD_ROOT)
    found = []
    for root in roots:
        with contextlib.suppress(OSError):
            found.append(shutil.disk_usage(root))
    fullest = min(found, key=lambda disk: disk.free, default=None)
    return (fullest.total, fullest.free) if fullest else (None, None)


def _devices(
    said: Mapping[str, Any], version: Mapping[str, Any], system: System | None
) -> tuple[str, ...]:
    """CDI names of cards: from the daemon (Docker 28.3 on), or from the specs it says it reads."""
    kinds = tuple(CDI_KINDS.values())
    listed = tuple(
        str(device.get("ID"))
        for device in said.get("DiscoveredDevices") or ()
        if str(device.get("ID", "")).partition("=")[0] in kinds
    )
    if listed or system is None or version_of(version.get("ApiVersion")) < CDI_API:
        return listed
    texts = [
        text_of(file)
        for folder in said.get("CDISpecDirs") or ()
        for file in sorted((system.root / str(folder).lstrip("/")).glob("*"))
        if file.suffix in {".yaml", ".json"}
    ]
    return tuple(f"{kind}=all" for kind in kinds if any(kind in text for text in texts))


def _product(said: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    system = str(said.get("OperatingSystem", ""))
    if system in {"Docker Desktop", "OrbStack", "Rancher Desktop WSL Distribution"}:
        return " ".join(system.split()[:2])
    names = [str(part.get("Name", "")) for part in version.get("Components") or ()]
    if any("Podman" in name for name in names):
        return "Podman"
    return "Colima" if said.get("Name") == "colima" else "Docker"


def _versions(said: Mapping[str, Any], version: Mapping[str, Any], product: str) -> dict[str, str]:
    parts = {
        str(part.get("Name")): str(part.get("Version", ""))
        for part in version.get("Components") or ()
    }
    found = {
        product: str(version.get("Version", "")),
        "API": str(version.get("ApiVersion", "")),
        "kernel": str(said.get("KernelVersion", "")),
        "containerd": parts.get("containerd", ""),
        "runc": parts.get("runc", ""),
    }
    return {name: text for name, text in found.items() if text}


def _emulated(system: System) -> tuple[str, ...]:
    """Platforms that the kernel hands to an emulator, in containers as well (flag F)."""
    found = set()
    for name, runs in EMULATORS.items():
        lines = text_of(system.root / "proc/sys/fs/binfmt_misc" / name).splitlines()
        flags = next((line for line in lines if line.startswith("flags:")), "")
        if "enabled" in lines and "F" in flags.removeprefix("flags:"):
            found.add(runs)
    return tuple(sorted(found))


def _emulated_by(product: str) -> tuple[str, ...] | None:
    """Docker Desktop and OrbStack always carry both; of others nothing is known from here."""
    return ("linux/amd64", "linux/arm64") if product in {"Docker Desktop", "OrbStack"} else None


def _model(file: Path) -> str:
    """The line `Model:  NVIDIA GeForce RTX 3090` of the driver's file."""
    for line in text_of(file).splitlines():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return "NVIDIA GPU"


def _line(file: Path) -> str:
    return text_of(file).strip()
