"""How an engine gets its cards, by who made them: variables, and what a container is given.

AMD: https://rocm.docs.amd.com/en/latest/conceptual/gpu-isolation.html. Intel:
https://oneapi-src.github.io/level-zero-spec/level-zero/latest/core/PROG.html#environment-variables.
Their nodes are given whole, as which one is a card's is told by no UUID; the variables choose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosts.gpu.values import Vendor

ALL = ("all",)
NO_CARDS = "void"
"""nvidia-container-runtime's own word: https://github.com/NVIDIA/libnvidia-container."""
CDI_KINDS = {
    Vendor.NVIDIA: "nvidia.com/gpu",
    Vendor.AMD: "amd.com/gpu",
    Vendor.INTEL: "intel.com/gpu",
}
PLATFORMS = {Vendor.NVIDIA: "CUDA", Vendor.AMD: "ROCm", Vendor.INTEL: "oneAPI"}
"""What an engine has to be made for."""
NODES = {Vendor.AMD: ("/dev/kfd", "/dev/dri"), Vendor.INTEL: ("/dev/dri",)}


@dataclass(frozen=True, slots=True)
class Handed:
    """Cards of one maker, `names` as its programs take them: UUIDs of NVIDIA and AMD, numbers of
    Intel, `("all",)`, or none at all.
    """

    names: tuple[str, ...] = ()
    vendor: Vendor = Vendor.NVIDIA
    cdi: tuple[str, ...] = ()
    """Names to ask the daemon for, where it hands cards out by CDI alone."""
    groups: tuple[int, ...] = ()
    """Numbers of the host's groups that may use the nodes."""

    def process_variables(self) -> dict[str, str]:
        """For a process beside abm: by UUID, as CUDA and nvidia-smi count differently."""
        if not self.names:
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ""}  # ROCm's, too
        return self._chosen()

    def container_variables(self) -> dict[str, str]:
        """For a container, also for none: where nvidia's is the default runtime, CUDA's images
        take every card.
        """
        if not self.names or self.vendor is not Vendor.NVIDIA or self.cdi:
            chosen = self._chosen() if self.names else {}
            return {**chosen, "NVIDIA_VISIBLE_DEVICES": NO_CARDS}
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {**order, "NVIDIA_VISIBLE_DEVICES": ",".join(self.names)}

    def host_config(self) -> dict[str, Any]:
        """What `POST /containers/create` is told of it."""
        if not self.names:
            return {}
        if self.cdi:
            return {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": list(self.cdi)}]}
        if self.vendor is Vendor.NVIDIA:
            wanted: dict[str, Any] = (
                {"Count": -1} if self.names == ALL else {"DeviceIDs": list(self.names)}
            )
            return {"DeviceRequests": [{"Driver": "", "Capabilities": [["gpu"]], **wanted}]}
        nodes = [
            {"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rwm"}
            for node in NODES[self.vendor]
        ]
        groups = {"GroupAdd": [str(number) for number in self.groups]} if self.groups else {}
        return {"Devices": nodes, **groups}

    def _chosen(self) -> dict[str, str]:
        names = "" if self.names == ALL else ",".join(self.names)
        if self.vendor is Vendor.AMD:
            return {"ROCR_VISIBLE_DEVICES": names} if names else {}
        if self.vendor is Vendor.INTEL:
            # Whole cards in the order of the bus, however many tiles each has.
            by = {"ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1", "ZE_FLAT_DEVICE_HIERARCHY": "COMPOSITE"}
            return {**by, "ZE_AFFINITY_MASK": names} if names else {}
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return {**order, "CUDA_VISIBLE_DEVICES": names} if names else order


def cdi_names(listed: Mapping[str, Any], vendor: Vendor, names: tuple[str, ...]) -> tuple[str, ...]:
    """What to ask a daemon with these facts for by CDI; none where it has a way of its own."""
    if vendor is Vendor.NVIDIA and "nvidia" in (listed.get("runtimes") or ()):
        return ()
    kind = CDI_KINDS[vendor]
    there = [str(name) for name in listed.get("gpu_devices") or ()]
    there = [name for name in there if name.startswith(f"{kind}=")]
    by_uuid = tuple(f"{kind}={name}" for name in names)
    if by_uuid and set(by_uuid) <= set(there):
        return by_uuid
    return (f"{kind}=all",) if f"{kind}=all" in there else tuple(there)


def node_groups(root: Path = Path("/")) -> tuple[int, ...]:
    """Groups of this machine whose members may use the nodes: images run as other users, too."""
    found = set()
    for node in (root / "dev/kfd", *(root / "dev/dri").glob("renderD*")):
        with contextlib.suppress(OSError):
            found.add(node.stat().st_gid)
    return tuple(sorted(found - {0}))
