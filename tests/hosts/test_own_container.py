"""What abm in a container finds out of itself: its id, and where its folders lie outside."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hosts.runners.docker.own_container import (
    Place,
    inside_of,
    moved,
    outside_of,
    own_id,
    places_of,
)

ID = "8a8ae2ee7498672d04228c1f0151fb8ea6d6016184a512232d57e8b7e8519f33"
MOUNTS = f"""\
601 600 0:51 / / ro,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/AB
611 601 254:0 /var/lib/docker/volumes/home_data/_data /app/data rw - ext4 /dev/vda rw
612 601 254:0 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf ro - ext4 /dev/vda rw
613 601 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname ro - ext4 /dev/vda rw
"""
INSPECTED = {
    "Mounts": [
        {
            "Type": "volume",
            "Name": "home_data",
            "Destination": "/app/data",
            "Source": "/var/lib/docker/volumes/home_data/_data",
        },
        {"Type": "bind", "Destination": "/app/data/models", "Source": "/srv/models"},
        {"Type": "tmpfs", "Destination": "/tmp", "Source": ""},
    ]
}


def test_its_id_is_in_the_kernels_list_of_mounts() -> None:
    assert own_id(MOUNTS) == ID


def test_a_machine_that_is_no_container_has_none() -> None:
    assert own_id("25 30 0:22 / /sys rw shared:7 - sysfs sysfs rw\n") == ""


def test_a_folder_is_named_by_the_mount_that_says_most() -> None:
    pairs = [(place.inside, place.outside) for place in places_of(INSPECTED)]

    assert moved(Path("/app/data/samples"), pairs) == PurePosixPath(
        "/var/lib/docker/volumes/home_data/_data/samples"
    )
    assert moved(Path("/app/data/models/tone"), pairs) == PurePosixPath("/srv/models/tone")
    assert moved(Path("/etc"), pairs) is None


def test_what_is_not_mounted_is_left_out() -> None:
    assert Place(PurePosixPath("/tmp"), PurePosixPath("")) not in places_of(INSPECTED)


def test_without_a_container_every_folder_is_where_it_is() -> None:
    assert outside_of(Path("/srv/abm/samples")) == Path("/srv/abm/samples")
    assert inside_of(Path("/srv/abm/samples")) is None
