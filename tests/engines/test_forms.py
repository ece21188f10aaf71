"""Ports, volumes and limits of a container, as people type them into a form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.http import QueryDict

from accounts.refused import Refused
from engines.forms import PortRow, Table, ports_shown, read_ports
from engines.limits import limits_shown, read_limits, size_written
from engines.mounts import mounts_shown, read_mounts
from hosts.runners.container import Mount, PortBinding

Ports = Table[PortRow, PortBinding]


def posted(**fields: str | list[str]) -> QueryDict:
    query = QueryDict(mutable=True)
    for name, value in fields.items():
        query.setlist(name.replace("__", "-"), [value] if isinstance(value, str) else value)
    return query


def ports(*rows: tuple[str, str, str, str], may_open: bool = False, **options: object) -> Ports:
    columns = [list(column) for column in zip(*rows, strict=True)]
    names = ("port__container", "port__address", "port__host", "port__protocol")
    form = posted(**dict(zip(names, columns, strict=True)))
    return read_ports(form, may_open=may_open, **options)  # type: ignore[arg-type]


def mounts(
    source: str, target: str = "/data", *, roots: tuple[str, ...] = ("/srv",)
) -> tuple[Mount, ...]:
    form = posted(mount__source=source, mount__target=target, mount__mode="rw")
    return read_mounts(form, roots=roots).require()


class TestPorts:
    def test_a_row_becomes_a_binding_and_an_empty_one_is_left_out(self) -> None:
        table = ports(("8080", "", "9090", "tcp"), ("", "127.0.0.1", "", "tcp"))

        assert table.require() == (PortBinding(8080, 9090, "127.0.0.1", "tcp"),)
        assert len(table.rows) == 1

    def test_without_a_port_of_the_host_the_runner_chooses(self) -> None:
        assert ports(("53", "", "", "udp")).require() == (PortBinding(53, None, protocol="udp"),)

    @pytest.mark.parametrize(
        ("row", "field", "words"),
        [
            (("", "", "80", "tcp"), "container", "port of the container is missing"),
            (("0", "", "", "tcp"), "container", "0 is no port"),
            (("65536", "", "", "tcp"), "container", "from 1 to 65535"),
            (("http", "", "", "tcp"), "container", "http is no port"),
            (("80", "", "-1", "tcp"), "host", "-1 is no port"),
            (("80", "", "٣", "tcp"), "host", "is no port"),
            (("80", "gpu-box", "", "tcp"), "address", "gpu-box is no address"),
            (("80", "", "", "sctp"), "protocol", "choose tcp or udp"),
        ],
    )
    def test_what_does_not_fit_is_said_at_its_field_and_kept(
        self, row: tuple[str, str, str, str], field: str, words: str
    ) -> None:
        table = ports(row, ("8081", "127.0.0.1", "", "tcp"))

        cell = getattr(table.rows[0], field)
        assert words in cell.error
        assert [table.rows[0].container.text, table.rows[0].host.text] == [row[0], row[2]]
        assert table.rows[1].container.text == "8081"
        with pytest.raises(Refused, match=words) as refused:
            table.require()
        assert refused.value.code == "PORTS_INVALID"

    @pytest.mark.parametrize("address", ["0.0.0.0", "*", "192.168.1.5", "::", "[::]"])
    def test_another_address_than_loopback_is_for_admins(self, address: str) -> None:
        row = ("80", address, "", "tcp")

        assert "would be open to the network" in ports(row).errors[0]
        assert ports(row, may_open=True).rows[0].is_open

    @pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.0.0.9", "::1"])
    def test_loopback_is_for_everybody_and_not_called_open(self, address: str) -> None:
        table = ports(("80", address, "", "tcp"))

        assert table.require()
        assert not table.rows[0].is_open

    def test_what_an_admin_opened_stays_when_somebody_else_saves(self) -> None:
        kept = [PortBinding(80, 8080, "0.0.0.0")]

        assert ports(("80", "0.0.0.0", "8080", "tcp"), kept=kept).require() == tuple(kept)
        assert ports(("81", "0.0.0.0", "8080", "tcp"), kept=kept).errors

    @pytest.mark.parametrize(
        ("second", "is_refused"),
        [
            (("80", "127.0.0.1", "9090", "tcp"), True),
            (("81", "127.0.0.1", "9090", "tcp"), True),
            (("81", "0.0.0.0", "9090", "tcp"), True),
            (("81", "127.0.0.1", "9090", "udp"), False),
            (("81", "127.0.0.2", "9090", "tcp"), False),
            (("80", "127.0.0.1", "9091", "tcp"), False),
            (("81", "127.0.0.1", "", "tcp"), False),
        ],
    )
    def test_two_rows_do_not_want_the_same_port(
        self, second: tuple[str, str, str, str], is_refused: bool
    ) -> None:
        table = ports(("80", "127.0.0.1", "9090", "tcp"), second, may_open=True)

        assert bool(table.errors) is is_refused

    def test_too_many_rows_are_refused(self) -> None:
        table = ports(*[(str(port), "", "", "tcp") for port in range(1, 60)])

        assert "59 rows are too many" in table.errors[0]

    def test_what_is_stored_is_shown_and_read_again_the_same(self) -> None:
        values = (PortBinding(80, 8080), PortBinding(90, None, "0.0.0.0", "udp"))

        shown = ports_shown(values, pages={80: "http://127.0.0.1:8080/"})
        rows = [
            (row.container.text, row.address.text, row.host.text, row.protocol.text)
            for row in shown.rows
        ]

        assert ports(*rows, may_open=True).require() == values
        assert tuple(PortBinding(**row) for row in shown.stored) == values
        assert [row.page for row in shown.rows] == ["http://127.0.0.1:8080/", ""]
        assert [row.is_open for row in shown.rows] == [False, True]

    def test_columns_of_different_length_do_no_harm(self) -> None:
        table = read_ports(posted(port__container=["80", "81"]), may_open=False)

        assert table.require() == (PortBinding(80), PortBinding(81))


class TestMounts:
    def test_a_volume_by_name(self) -> None:
        assert mounts("xtts-models", "/app/models/") == (Mount("xtts-models", "/app/models"),)

    def test_a_folder_below_an_allowed_one_in_its_shortest_form(self) -> None:
        assert mounts("/srv//voices/./me/") == (Mount("/srv/voices/me", "/data"),)

    def test_a_folder_of_windows(self) -> None:
        assert mounts("C:\\voices\\me", roots=("c:\\Voices",)) == (
            Mount("C:\\voices\\me", "/data"),
        )

    def test_read_only(self) -> None:
        form = posted(mount__source="voices", mount__target="/v", mount__mode="ro")

        assert read_mounts(form, roots=()).require() == (Mount("voices", "/v", is_read_only=True),)

    @pytest.mark.parametrize(
        "source",
        [
            "",
            "x",
            "-x",
            "a b",
            "über",
            "../x",
            "./x",
            "x/y",
            "/etc",
            "/srvother",
            "/",
            "//",
            "C:\\x",
        ],
    )
    def test_neither_a_name_nor_an_allowed_folder(self, source: str) -> None:
        with pytest.raises(Refused):
            mounts(source)

    @pytest.mark.parametrize(
        "source",
        [
            "/",
            "//",
            "/var",
            "/run",
            "/var/run/docker.sock",
            "//var/run/docker.sock",
            "/srv/elsewhere/docker.sock",
            "/run/user/1000",
            "/var/lib/docker/volumes",
            "/proc/1",
            "/dev",
            "/sys",
            "/srv/../etc",
            "/srv/x/..",
        ],
    )
    def test_what_would_be_root_is_refused_wherever_the_roots_are(self, source: str) -> None:
        with pytest.raises(Refused):
            mounts(source, roots=("/", "//"))

    def test_a_refusal_names_the_folders_that_may_be_mounted(self) -> None:
        with pytest.raises(
            Refused, match=r"/etc is not below /srv or /data\. Choose a folder there"
        ):
            mounts("/etc", roots=("/srv", "/data"))

    def test_without_allowed_folders_the_way_out_is_an_admin(self) -> None:
        with pytest.raises(Refused, match="An admin can allow folders"):
            mounts("/srv", roots=())

    def test_a_link_of_this_machine_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "out").symlink_to("/etc")
        (tmp_path / "in").mkdir()
        root = os.path.realpath(tmp_path)

        def read(name: str) -> tuple[str, ...]:
            form = posted(mount__source=f"{root}/{name}", mount__target="/data")
            return read_mounts(form, roots=[root], is_here=True).errors

        assert read("in") == ()
        assert "/etc is not below" in read("out")[0]

    @pytest.mark.parametrize(
        "target", ["", "data", "/", "//", "/a/../b", "/proc", "/proc/self", "/dev/shm", "/a\nb"]
    )
    def test_a_place_in_the_container_that_cannot_be(self, target: str) -> None:
        with pytest.raises(Refused):
            mounts("voices", target)

    def test_two_volumes_do_not_share_a_place(self) -> None:
        form = posted(mount__source=["one", "two"], mount__target=["/data", "/data/"])

        table = read_mounts(form, roots=())

        assert "/data/ is the place of another volume" in table.rows[1].target.error
        assert table.rows[1].source.text == "two"

    def test_what_is_stored_is_shown_again(self) -> None:
        table = mounts_shown([Mount("voices", "/v", is_read_only=True)])

        row = table.rows[0]
        assert (row.source.text, row.target.text, row.mode.text) == ("voices", "/v", "ro")
        assert Mount(**table.stored[0]) == Mount("voices", "/v", is_read_only=True)


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("4 GB", 4_000_000_000),
            ("512 MB", 512_000_000),
            ("512mb", 512_000_000),
            ("1.5GiB", 1_610_612_736),
            ("1,5 GiB", 1_610_612_736),
            ("4g", 4 * 2**30),
            ("64m", 64 * 2**20),
            ("10000000 B", 10_000_000),
        ],
    )
    def test_a_size_is_read_as_it_is_written(self, text: str, size: int) -> None:
        stored = read_limits(posted(memory=text)).require()

        assert stored == {"memory_bytes": size}
        again = size_written(size)
        assert read_limits(posted(memory=again)).require() == stored

    @pytest.mark.parametrize("text", ["4", "GB", "-1 GB", "4 XB", "1e9 B", "4 GB GB", "٤ GB"])
    def test_what_is_no_size_is_said_and_kept(self, text: str) -> None:
        form = read_limits(posted(memory=text))

        assert form.fields["memory"].text == text
        assert "write it like 4 GB" in form.fields["memory"].error

    @pytest.mark.parametrize("text", ["5 MB", "1 B", "9999999 TB"])
    def test_what_docker_would_refuse_is_refused_before(self, text: str) -> None:
        assert "at least 6 MiB" in read_limits(posted(memory=text)).errors[0]

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (4_000_000_000, "4 GB"),
            (4 * 2**30, "4 GiB"),
            (1_500_000_000, "1.5 GB"),
            (2**20 + 1, "1048577 B"),
        ],
    )
    def test_a_size_is_written_exactly_and_short(self, size: int, text: str) -> None:
        assert size_written(size) == text


class TestLimits:
    def test_a_form_left_alone_stores_nothing(self) -> None:
        form = posted(entrypoint_mode="inherit", restart_policy="no", restart_count="", cpus="")

        assert read_limits(form).require() == {}

    def test_everything_is_shown_and_read_again_the_same(self) -> None:
        stored = {
            "cpus": 1.5,
            "memory_bytes": 4_000_000_000,
            "shm_bytes": 2**30,
            "user": "1000:1000",
            "entrypoint": ["python", "-m", "engine"],
            "command": ["--name", "a b", "it's"],
            "extra_hosts": {"nas": "192.168.1.20", "host.docker.internal": "host-gateway"},
            "restart_policy": "on-failure:3",
        }

        shown = limits_shown(stored)
        fields = {name: cell.text for name, cell in shown.fields.items()}

        assert read_limits(posted(**fields)).require() == stored

    def test_no_entrypoint_is_another_thing_than_the_image_s_own(self) -> None:
        none = read_limits(posted(entrypoint_mode="none")).require()

        assert none == {"entrypoint": []}
        assert limits_shown(none).fields["entrypoint_mode"].text == "none"
        assert limits_shown({}).fields["entrypoint_mode"].text == "inherit"

    @pytest.mark.parametrize(
        ("field", "text", "words"),
        [
            ("cpus", "many", "no number of processors"),
            ("cpus", "0", "at least 0.01"),
            ("cpus", "9", "this host has 8"),
            ("shm", "64", "no size"),
            ("user", "root; rm", "no user"),
            ("user", "-1", "no user"),
            ("user", "a:b:c", "no user"),
            ("command", "echo 'open", "not closed"),
            ("extra_hosts", "nas", "Line 1"),
            ("extra_hosts", "nas 10.0.0.1\nbox 300.1.1.1", "Line 2: 300.1.1.1 is no address"),
            ("restart_policy", "sometimes", "sometimes is none"),
        ],
    )
    def test_what_does_not_fit_is_said_at_its_field_and_kept(
        self, field: str, text: str, words: str
    ) -> None:
        form = read_limits(posted(**{field: text, "memory": "4 GB"}), cpu_count=8)

        assert words in form.fields[field].error
        assert form.fields[field].text == text.strip()
        assert form.fields["memory"].text == "4 GB"
        with pytest.raises(Refused) as refused:
            form.require()
        assert refused.value.code == "LIMITS_INVALID"

    def test_an_entrypoint_of_one_s_own_needs_words(self) -> None:
        assert "missing" in read_limits(posted(entrypoint_mode="list")).errors[0]

    @pytest.mark.parametrize("count", ["0", "x", "1001"])
    def test_a_number_of_times_that_cannot_be(self, count: str) -> None:
        form = read_limits(posted(restart_policy="on-failure", restart_count=count))

        assert form.fields["restart_count"].error

    @pytest.mark.parametrize(
        "line", ["nas 192.168.1.20", "nas:192.168.1.20", "nas=192.168.1.20", "  nas\t192.168.1.20 "]
    )
    def test_a_host_s_name_and_address_in_any_usual_form(self, line: str) -> None:
        assert read_limits(posted(extra_hosts=line)).require() == {
            "extra_hosts": {"nas": "192.168.1.20"}
        }

    def test_an_address_of_ipv6(self) -> None:
        assert read_limits(posted(extra_hosts="nas [fe80::1]")).require() == {
            "extra_hosts": {"nas": "fe80::1"}
        }
