"""Where a daemon is looked for, and a connection that never waits without end."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hosts.runners.base import HostNotReady
from hosts.runners.docker.connection import (
    ApiTooOld,
    DockerAddress,
    Source,
    candidates,
    connect,
)
from tests.hosts.spoken_daemon import Answers, folder_for_sockets, speaking, speaking_tls


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_sockets() as made:
        yield made


def urls(environ: dict[str, str], home: Path, platform: str = "linux") -> list[str]:
    return [found.url for found in candidates(environ, home=home, platform=platform)]


def write_context(home: Path, name: str, endpoint: dict[str, object]) -> Path:
    """A context as `docker context create` writes it, in use; gives the folder for its TLS."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    text = json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}})
    (meta / "meta.json").write_text(text)
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))
    return home / ".docker" / "contexts" / "tls" / key / "docker"


def test_docker_host_alone_is_asked_when_it_is_set(tmp_path: Path) -> None:
    write_context(tmp_path, "other", {"Host": "unix:///other.sock"})

    [found] = candidates({"DOCKER_HOST": "unix:///mine.sock"}, home=tmp_path, platform="linux")

    assert (found.url, found.source) == ("unix:///mine.sock", Source.VARIABLE)
    assert found.path == Path("/mine.sock")


def test_the_context_in_use_comes_before_the_usual_places(tmp_path: Path) -> None:
    write_context(tmp_path, "desktop-linux", {"Host": "unix:///home/ann/desktop.sock"})

    assert urls({}, tmp_path)[:2] == [
        "unix:///home/ann/desktop.sock",
        "unix:///var/run/docker.sock",
    ]


def test_a_context_chosen_by_a_variable_comes_before_the_stored_one(tmp_path: Path) -> None:
    write_context(tmp_path, "stored", {"Host": "unix:///stored.sock"})
    write_context(tmp_path, "chosen", {"Host": "unix:///chosen.sock"})
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "stored"}')

    assert urls({"DOCKER_CONTEXT": "chosen"}, tmp_path)[0] == "unix:///chosen.sock"


def test_a_context_brings_its_certificates(tmp_path: Path) -> None:
    secrets = write_context(tmp_path, "far", {"Host": "tcp://gpu-box:2376", "SkipTLSVerify": False})
    secrets.mkdir(parents=True)
    (secrets / "ca.pem").touch()

    far = candidates({}, home=tmp_path, platform="linux")[0]

    assert far.certificates is not None
    assert far.certificates.authority == secrets / "ca.pem"
    assert far.certificates.certificate is None
    assert far.certificates.is_verified


@pytest.mark.parametrize("host", ["ssh://ann@gpu-box", "nonsense", ""])
def test_a_context_that_leads_elsewhere_is_passed_over(tmp_path: Path, host: str) -> None:
    write_context(tmp_path, "far", {"Host": host})

    assert urls({}, tmp_path)[0] == "unix:///var/run/docker.sock"


def test_broken_files_of_docker_do_not_hide_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{")

    assert urls({}, tmp_path)[0] == "unix:///var/run/docker.sock"


def test_linux_looks_for_rootless_desktop_and_podman_sockets(tmp_path: Path) -> None:
    found = urls({"XDG_RUNTIME_DIR": "/run/user/1000"}, tmp_path)

    assert found[:2] == ["unix:///var/run/docker.sock", "unix:///run/user/1000/docker.sock"]
    assert f"unix://{tmp_path}/.docker/desktop/docker.sock" in found
    assert "unix:///run/user/1000/podman/podman.sock" in found


def test_macos_looks_for_desktop_and_colima(tmp_path: Path) -> None:
    found = urls({}, tmp_path, "darwin")

    assert f"unix://{tmp_path}/.docker/run/docker.sock" in found
    assert f"unix://{tmp_path}/.colima/default/docker.sock" in found


def test_windows_looks_for_pipes(tmp_path: Path) -> None:
    found = candidates({}, home=tmp_path, platform="win32")

    assert [place.pipe for place in found] == ["docker_engine", "dockerDesktopLinuxEngine"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("unix:///a/b.sock", "unix:///a/b.sock"),
        ("tcp://10.0.0.5:2375", "tcp://10.0.0.5:2375"),
        ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ("http://box:2375/", "tcp://box:2375"),
        ("npipe:////./pipe/docker_engine", "npipe:////./pipe/docker_engine"),
    ],
)
def test_docker_host_is_taken_in_every_form(tmp_path: Path, text: str, url: str) -> None:
    assert urls({"DOCKER_HOST": text}, tmp_path) == [url]


@pytest.mark.parametrize(
    "text",
    ["nonsense", "tcp://box", "tcp://", "unix://", "fd://", "tcp://box:99999", "tcp://b:1/x"],
)
def test_a_docker_host_that_names_nothing_is_told_with_the_way_to_write_it(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(HostNotReady, match=r"DOCKER_HOST is .*tcp://name:2376"):
        candidates({"DOCKER_HOST": text}, home=tmp_path)


def test_a_docker_host_by_ssh_is_sent_to_the_hosts_of_abm(tmp_path: Path) -> None:
    with pytest.raises(HostNotReady, match="Add it to abm as a host of its own"):
        candidates({"DOCKER_HOST": "ssh://ann@gpu-box"}, home=tmp_path)


def test_tls_without_files_names_the_folder(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://box:2376", "DOCKER_TLS_VERIFY": "1"}

    with pytest.raises(HostNotReady, match=rf"{tmp_path}/\.docker holds none of ca\.pem"):
        candidates(environ, home=tmp_path)


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.41", "1.12", "1.41"), ("1.52", "1.44", "1.45"), ("1.60", "1.50", "1.50")],
)
def test_the_newest_api_that_both_sides_know_is_spoken(
    folder: Path, newest: str, oldest: str, spoken: str
) -> None:
    answers = Answers()
    answers.version |= {"ApiVersion": newest, "MinAPIVersion": oldest}

    with speaking(folder / "d.sock", answers):
        client = connect(DockerAddress(f"unix://{folder}/d.sock"))
        client.info()
        client.close()

    assert answers.asked[-1] == f"/v{spoken}/info"
    assert ("/version" in answers.asked) == (newest != spoken)  # which is dear for the daemon


def test_an_api_that_cannot_ask_for_a_gpu_is_too_old(folder: Path) -> None:
    answers = Answers()
    answers.version |= {"ApiVersion": "1.39", "Version": "18.09.1"}

    with speaking(folder / "d.sock", answers), pytest.raises(ApiTooOld) as told:
        connect(DockerAddress(f"unix://{folder}/d.sock"))

    assert "Docker 18.09.1 speaks API 1.39; abm needs 1.40" in told.value.message


def test_a_silent_socket_is_given_up_in_time(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "d.sock"))
        silent.listen()
        before = time.monotonic()
        with pytest.raises(requests.Timeout):
            connect(DockerAddress(f"unix://{folder}/d.sock"), timeout=0.2)

    assert time.monotonic() - before < 1


def test_a_socket_whose_queue_is_full_is_given_up_in_time(folder: Path) -> None:
    """There even connecting waits, not only the answer."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(folder / "d.sock"))
        busy.listen(0)
        first.connect(str(folder / "d.sock"))
        before = time.monotonic()
        with pytest.raises(requests.RequestException):
            connect(DockerAddress(f"unix://{folder}/d.sock"), timeout=0.2)

    assert time.monotonic() - before < 1


def test_a_proxy_for_the_internet_is_not_asked_for_a_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    with speaking_tls(None, Answers()) as port:
        client = connect(DockerAddress(f"tcp://127.0.0.1:{port}"), timeout=5)
        client.close()


class Authority:
    """A certificate authority that writes the three files Docker wants."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.certificate = self._signed(self.name, self.key, is_authority=True)

    def write(self, folder: Path, names: str = "ca cert key") -> Path:
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "daemon")])
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        made = {
            "ca": self.certificate.public_bytes(serialization.Encoding.PEM),
            "cert": self._signed(own, key).public_bytes(serialization.Encoding.PEM),
            "key": secret,
        }
        for name in names.split():
            (folder / f"{name}.pem").write_bytes(made[name])
        return folder

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([here]), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def daemon_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    """TLS as dockerd has it with --tlsverify: whoever comes must show a certificate."""
    authority.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def over_tls(port: int, folder: Path) -> docker.APIClient:
    environ = {
        "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(folder),
    }
    [address] = candidates(environ)
    return connect(address, timeout=5)


def test_both_sides_prove_themselves_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, answers = Authority(), Answers()
    mine = authority.write(tmp_path / "mine")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority().write(tmp_path / "x") / "ca.pem"))

    with speaking_tls(daemon_context(authority, tmp_path / "daemon"), answers) as port:
        over_tls(port, mine).close()

    assert answers.asked == ["/_ping"]


def test_a_daemon_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    mine = Authority().write(tmp_path / "mine")

    with (
        speaking_tls(daemon_context(Authority(), tmp_path / "daemon"), Answers()) as port,
        pytest.raises(requests.exceptions.SSLError),
    ):
        over_tls(port, mine)
