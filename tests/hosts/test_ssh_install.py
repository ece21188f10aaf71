"""The pasted commands, run for real in homes of their own by the shells that systems have."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosts.ssh.install_command import FarSystem, guides, install_command, removal_command
from hosts.ssh.key_line import ENGINE_PORTS, key_line, windows_key_line
from hosts.ssh.keys import fresh_key
from tests.hosts.spoken_daemon import folder_for_sockets

KEY = fresh_key().public
SHELLS = {
    name: found
    for name, program in {
        "dash": "dash",
        "bash": "bash",
        "busybox": "busybox",
        "zsh": "zsh",
    }.items()
    if (found := shutil.which(program))
}
CLI = """#!/bin/sh
case "$*" in
  *DockerRootDir*) echo "{root}" ;;
  *"context inspect"*) echo "{host}" ;;
esac
"""


BSD = """#!/bin/sh
# {name} as macOS has it: it knows no option of GNU's, and no text in another encoding.
for word
do case "$word" in {unknown}) echo "{name}: illegal option $word" >&2; exit 64 ;; esac
done
{more}
exec {program} "$@"
"""
"""What is asked of a program that macOS has otherwise than GNU's, by the options it has not."""
STRICT = {
    "sed": "-i | -r | -z | -s | --*",
    "stat": "-c* | --*",
    "grep": "-P* | --perl*",
    "readlink": "-e | -m | --*",
    "base64": "-w* | --*",
    "mktemp": "--*",
    "tail": "--*",
    "head": "-n-* | --*",
    "df": "-B* | --*",
    "ls": "--*",
    "id": "--*",
    "cp": "-a | --*",
    "date": "-d* | --*",
}
SED = """if [ "$LC_ALL" != C ] && LC_ALL=C grep -q "$(printf '\\351')" "$2" 2>/dev/null
then echo "sed: RE error: illegal byte sequence" >&2; exit 1; fi
{program} "$@" | awk 1
exit"""
"""BSD's stops at bytes that are no text, and ends the last line with a newline."""


class Home:
    """A user's home folder with programs of its own."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder, self.shell = folder, shell
        self.programs = folder / "programs"
        self.programs.mkdir()
        (self.programs / "sh").symlink_to(SHELLS[shell])
        self.keys = folder / ".ssh" / "authorized_keys"
        self.variables = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}

    def paste(self, command: str) -> str:
        words = [SHELLS[self.shell], *(["sh"] if self.shell == "busybox" else [])]
        path = f"{self.programs}:{os.environ['PATH']}"
        done = subprocess.run(
            words,
            input=command,
            env={"PATH": path, **self.variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout

    def docker(self, *, root: Path | str = "", host: str = "") -> Path:
        """A docker program of this user's that says where things are."""
        program = self.programs / "docker"
        program.write_text(CLI.format(root=root, host=host))
        program.chmod(0o755)
        return program

    def become_macos(self) -> None:
        """Put programs with macOS's limits before this system's own."""
        for name, unknown in STRICT.items():
            found = shutil.which(name)
            assert found is not None
            more = SED.format(program=found) if name == "sed" else ""
            file = self.programs / name
            file.write_text(BSD.format(name=name, unknown=unknown, program=found, more=more))
            file.chmod(0o755)

    def lines(self) -> list[str]:
        return self.keys.read_text().splitlines()


@pytest.fixture(params=sorted(SHELLS))
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    with folder_for_sockets() as folder:
        yield Home(folder, request.param)


@pytest.fixture
def quick_home() -> Iterator[Home]:
    with folder_for_sockets() as folder:
        yield Home(folder, sorted(SHELLS)[-1])


@contextmanager
def listening(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        yield path


def expected(home: Home, *, sock: Path | str, root: Path | str, docker: Path | str) -> str:
    return key_line(KEY, "docker:gpu", socket=str(sock), root=str(root), docker=str(docker))


class TestInstall:
    def test_it_writes_the_very_line_that_abm_shows(self, home: Home) -> None:
        (root := home.folder / "images").mkdir()
        with listening(home.folder / "run" / "docker.sock") as sock:
            docker = home.docker(root=root, host=f"unix://{sock}")
            said = home.paste(install_command(KEY, "docker:gpu"))

        assert home.lines() == [expected(home, sock=sock, root=root, docker=docker)]
        assert f"Docker listens at {sock} and keeps its images below {root}." in said

    def test_the_folder_and_file_are_for_the_user_alone(self, home: Home) -> None:
        home.paste(install_command(KEY, "docker:gpu"))

        assert stat.S_IMODE(home.keys.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.keys.stat().st_mode) == 0o600
        assert [file.name for file in home.keys.parent.iterdir()] == ["authorized_keys"]

    def test_it_can_be_run_twice(self, home: Home) -> None:
        home.paste(install_command(KEY, "docker:gpu"))
        once = home.keys.read_text()
        home.paste(install_command(KEY, "docker:gpu"))

        assert home.keys.read_text() == once

    def test_a_file_without_a_trailing_newline_stays_whole(self, home: Home) -> None:
        home.keys.parent.mkdir()
        home.keys.write_text("# mine\nssh-ed25519 AAAA anna@laptop")

        home.paste(install_command(KEY, "docker:gpu"))

        assert home.lines()[:2] == ["# mine", "ssh-ed25519 AAAA anna@laptop"]
        assert home.lines()[2].endswith(f"{KEY} abm:docker:gpu")
        assert len(home.lines()) == 3

    def test_a_new_key_replaces_the_old_one_and_no_other_hosts(self, home: Home) -> None:
        other = fresh_key().public
        home.paste(install_command(KEY, "docker:gpu"))
        home.paste(install_command(KEY, "docker:gpu-2"))
        home.paste(install_command(other, "docker:gpu"))

        assert [" ".join(line.split()[-3:]) for line in home.lines()] == [
            f"{KEY} abm:docker:gpu-2",
            f"{other} abm:docker:gpu",
        ]

    def test_a_link_to_a_file_elsewhere_stays_a_link(self, quick_home: Home) -> None:
        home = quick_home
        home.keys.parent.mkdir()
        (home.folder / "dotfile").write_text("# mine\n")
        home.keys.symlink_to(home.folder / "dotfile")

        home.paste(install_command(KEY, "docker:gpu"))

        assert home.keys.is_symlink()
        assert len((home.folder / "dotfile").read_text().splitlines()) == 2

    def test_an_empty_file_gets_no_empty_line(self, quick_home: Home) -> None:
        quick_home.keys.parent.mkdir()
        quick_home.keys.touch()

        quick_home.paste(install_command(KEY, "docker:gpu"))

        assert len(quick_home.lines()) == 1

    @pytest.mark.parametrize("name", ["run/docker.sock", ".docker/run/docker.sock"])
    def test_a_socket_in_the_usual_places_is_found(self, quick_home: Home, name: str) -> None:
        if Path("/var/run/docker.sock").exists():
            pytest.skip("this machine has a Docker of its own, which comes first")
        quick_home.docker()
        with listening(quick_home.folder / name) as sock:
            quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f'permitopen="[{sock}]:*"' in quick_home.lines()[0]

    def test_podman_is_found_where_there_is_no_docker(self, quick_home: Home) -> None:
        if Path("/var/run/docker.sock").exists():
            pytest.skip("this machine has a Docker of its own, which comes first")
        quick_home.docker()
        with listening(quick_home.folder / "run" / "podman" / "podman.sock") as sock:
            quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f'permitopen="[{sock}]:*"' in quick_home.lines()[0]

    def test_docker_host_comes_before_all_else(self, quick_home: Home) -> None:
        with (
            listening(quick_home.folder / "mine.sock") as mine,
            listening(quick_home.folder / "run" / "docker.sock") as usual,
        ):
            quick_home.docker(host=f"unix://{usual}")
            quick_home.variables["DOCKER_HOST"] = f"unix://{mine}"
            quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f"sock={mine} " in quick_home.lines()[0]

    def test_a_docker_elsewhere_in_the_network_is_not_taken(self, quick_home: Home) -> None:
        quick_home.docker(host="tcp://10.0.0.9:2376")

        quick_home.paste(install_command(KEY, "docker:gpu"))

        assert "10.0.0.9" not in quick_home.lines()[0]

    def test_the_images_of_snap_and_rootless_docker_are_found(self, quick_home: Home) -> None:
        if Path("/var/lib/docker").exists():
            pytest.skip("this machine has a Docker of its own, which comes first")
        (root := quick_home.folder / ".local/share/docker").mkdir(parents=True)
        quick_home.docker()

        quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f"df -Pk {root} " in quick_home.lines()[0]

    def test_without_docker_it_says_so_and_names_the_usual_socket(self, home: Home) -> None:
        if Path("/var/run/docker.sock").exists():
            pytest.skip("this machine has a Docker of its own")
        said = home.paste(install_command(KEY, "docker:gpu"))

        assert "No Docker was found." in said
        assert 'permitopen="[/var/run/docker.sock]:*"' in home.lines()[0]

    @pytest.mark.skipif(os.geteuid() == 0, reason="not as root: root may use every socket")
    def test_a_socket_of_somebody_else_comes_with_the_way_out(self, quick_home: Home) -> None:
        with listening(quick_home.folder / "run" / "docker.sock") as sock:
            sock.chmod(0)
            said = quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f"sudo usermod -aG docker {getpass.getuser()}" in said

    def test_a_home_that_others_may_write_to_is_pointed_out(self, home: Home) -> None:
        home.folder.chmod(0o775)

        assert "chmod go-w" in home.paste(install_command(KEY, "docker:gpu"))

    def test_a_path_that_would_break_out_of_the_line_is_refused(self, home: Home) -> None:
        with listening(home.folder / "a'; id #.sock") as sock:
            home.docker(host=f"unix://{sock}")
            said = home.paste(install_command(KEY, "docker:gpu"))

        assert "cannot stand in authorized_keys" in said
        assert not home.keys.exists()


class TestMacos:
    def test_run_twice_it_leaves_one_line_and_all_others_as_they_were(self, home: Home) -> None:
        home.become_macos()
        home.keys.parent.mkdir()
        mine = b"# no newline at the end\nssh-ed25519 AAAA Ren\351 at home"
        home.keys.write_bytes(mine)

        home.paste(install_command(KEY, "docker:gpu"))
        once = home.keys.read_bytes()
        home.paste(install_command(KEY, "docker:gpu"))

        assert home.keys.read_bytes() == once
        assert once.startswith(mine + b"\n")
        assert once.count(b"\n") == 3 and once.endswith(b" abm:docker:gpu\n")
        home.paste(removal_command("docker:gpu"))
        assert home.keys.read_bytes() == mine + b"\n"

    def test_the_socket_of_docker_desktop_is_found(self, quick_home: Home) -> None:
        quick_home.become_macos()
        with listening(quick_home.folder / ".docker/run/docker.sock") as sock:
            quick_home.docker(host=f"unix://{sock}")
            said = quick_home.paste(install_command(KEY, "docker:gpu"))

        assert f"Docker listens at {sock}" in said

    def test_what_is_no_option_there_would_be_noticed(self, quick_home: Home) -> None:
        quick_home.become_macos()

        with pytest.raises(AssertionError, match="illegal option -i"):
            quick_home.paste("sed -i s/a/b/ file")


class TestRemoval:
    def test_it_takes_away_that_line_alone(self, home: Home) -> None:
        home.keys.parent.mkdir()
        home.keys.write_text("ssh-ed25519 AAAA anna@laptop\n")
        home.paste(install_command(KEY, "docker:gpu"))
        home.paste(removal_command("docker:gpu"))

        assert home.keys.read_text() == "ssh-ed25519 AAAA anna@laptop\n"

    def test_it_says_that_nothing_is_there(self, quick_home: Home) -> None:
        assert "There is no" in quick_home.paste(removal_command("docker:gpu"))


class TestGuides:
    def test_lines_are_short_enough_for_any_shell_to_take_typed(self) -> None:
        for guide in guides(KEY, "docker:gpu"):
            assert max(map(len, guide.command.splitlines())) < 110
            # A tab completes and an exclamation mark recalls, in a shell that is typed into.
            assert not {"\t", "!"} & set(guide.command + guide.removal)

    def test_each_system_has_its_own(self) -> None:
        assert [guide.system for guide in guides(KEY, "docker:gpu")] == list(FarSystem)

    def test_windows_gets_its_line_in_the_file_for_administrators(self) -> None:
        guide = guides(KEY, "docker:gpu")[-1]
        quoted = [
            line.partition("'")[2].rpartition("'")[0]
            for line in guide.command.splitlines()
            if line.startswith("$line ")
        ]

        assert "".join(quoted) == windows_key_line(KEY, "docker:gpu")
        assert "administrators_authorized_keys" in guide.command
        assert "S-1-5-18" in guide.command

    def test_windows_gets_one_statement_that_may_come_line_by_line(self) -> None:
        for text in (guides(KEY, "docker:gpu")[-1].command, guides(KEY, "docker:gpu")[-1].removal):
            lines, depth, ends = text.splitlines(), 0, []
            for number, line in enumerate(lines):
                code = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
                depth += code.count("{") - code.count("}")
                ends += [number] if depth == 0 else []

            assert ends == [len(lines) - 1]

    @pytest.mark.parametrize("host_id", ["", "a b", "a'b", "a\nb", "x" * 65, "-a", "a/b"])
    def test_an_id_that_could_break_out_is_refused(self, host_id: str) -> None:
        with pytest.raises(ValueError, match="cannot mark a line"):
            guides(KEY, host_id)

    @pytest.mark.parametrize(
        "public",
        ["", f"{KEY} x", f"{KEY}\n", "ssh-rsa AAAA"],
        ids=["none", "two", "with a line", "rsa"],  # a fresh key would give each worker other names
    )
    def test_a_key_that_could_break_out_is_refused(self, public: str) -> None:
        with pytest.raises(ValueError, match="Ed25519"):
            key_line(public, "docker:gpu")

    def test_every_engine_port_is_named(self) -> None:
        line = key_line(KEY, "docker:gpu")

        assert line.count('permitopen="127.0.0.1:') == len(ENGINE_PORTS) == 32
