"""What the daemon says becomes a sentence of the right kind, with its own text below."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.runners.base import (
    DiskFull,
    EngineFailed,
    HostNotReady,
    HostUnreachable,
    ImageNotFound,
    InstallFailed,
    NoGpu,
    PortTaken,
    RunnerError,
    StartFailed,
)
from hosts.runners.docker.connection import Certificates, DockerAddress, connect
from hosts.runners.docker.errors import explain, mapped
from tests.hosts.spoken_daemon import Answers, folder_for_sockets, speaking

RECORDED = [
    # Recorded from Docker 20.10.24, runc 1.1.5 and the registry 2.8.2.
    ("No such container: nobody", EngineFailed, "removed outside of abm"),
    ("No such image: nobody:1", ImageNotFound, "nobody:1 is not on gpu-box"),
    (
        'could not select device driver "" with capabilities: [[gpu]]',
        NoGpu,
        "the NVIDIA Container Toolkit is not installed there",
    ),
    ("Unknown runtime specified nvidia", NoGpu, "NVIDIA Container Toolkit is not installed"),
    (
        'invalid mount config for type "bind": bind source path does not exist: /nonexist/y',
        StartFailed,
        "/nonexist/y does not exist on gpu-box",
    ),
    (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to "
        'start container process: exec: "server": executable file not found in $PATH: unknown',
        StartFailed,
        "no program server",
    ),
    (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to "
        'start container process: exec: "/app/server": stat /app/server: no such file or '
        "directory: unknown",
        StartFailed,
        "no program /app/server",
    ),
    (
        "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        StartFailed,
        "gpu-box has 2 CPUs",
    ),
    ("Minimum memory limit allowed is 6MB", StartFailed, "below 6MB"),
    (
        'Conflict. The container name "/abm-x" is already in use by container "fb98fe50". You have '
        "to remove (or rename) that container to be able to reuse that name.",
        StartFailed,
        "A container of the name abm-x is on gpu-box already",
    ),
    (
        'conflict: unable to remove repository reference "tiny:1" (must force) - container '
        "fb98fe505883 is using its referenced image 47de80275a71",
        RunnerError,
        "still used by a container",
    ),
    ("network nonet not found", StartFailed, "gpu-box has no network nonet"),
    (
        "invalid reference format: repository name must be lowercase",
        ImageNotFound,
        "no name of an image",
    ),
    (
        'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        InstallFailed,
        "no good connection to the registry 127.0.0.1:9",
    ),
    (
        'Get "https://no-such-registry.invalid/v2/": dial tcp: lookup no-such-registry.invalid on '
        "192.0.2.53:53: no such host",
        InstallFailed,
        "does not find no-such-registry.invalid in the network",
    ),
    (
        "manifest for 127.0.0.1:5991/x/y:1 not found: manifest unknown: manifest unknown",
        ImageNotFound,
        "does not have 127.0.0.1:5991/x/y:1",
    ),
    (
        'Head "http://127.0.0.1:5992/v2/x/y/manifests/1": no basic auth credentials',
        InstallFailed,
        "wants a login",
    ),
    ("unauthorized: authentication required", InstallFailed, "wants a login"),
    # From the sources of moby and of the NVIDIA toolkit, and from reports of their users.
    (
        "driver failed programming external connectivity on endpoint abm-x (1f): Bind for "
        "127.0.0.1:8766 failed: port is already allocated",
        PortTaken,
        "Port 8766 of gpu-box is in use",
    ),
    (
        "driver failed programming external connectivity on endpoint abm-x (1f): Error starting "
        "userland proxy: listen tcp4 127.0.0.1:8767: bind: address already in use",
        PortTaken,
        "Port 8767 of gpu-box is in use",
    ),
    (
        "failed to register layer: Error processing tar file(exit status 1): write /a: no space "
        "left on device",
        DiskFull,
        "The disk of gpu-box is full",
    ),
    (
        "toomanyrequests: You have reached your pull rate limit.",
        InstallFailed,
        "too many requests",
    ),
    (
        "pull access denied for nobody/nothing, repository does not exist or may require 'docker "
        "login': denied: requested access to the resource is denied",
        ImageNotFound,
        "nobody/nothing does not exist or may only be pulled with a login",
    ),
    ("error from registry: denied", InstallFailed, "refuses this login"),
    (
        "image with reference x/y:1 was found but does not match the specified platform: wanted "
        "linux/arm64, actual: linux/amd64",
        ImageNotFound,
        "x/y:1 is made for linux/amd64, not for linux/arm64",
    ),
    (
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        ImageNotFound,
        "not made for linux/arm64/v8",
    ),
    (
        'Get "https://10.0.0.5:5000/v2/": http: server gave HTTP response to HTTPS client',
        InstallFailed,
        "insecure-registries",
    ),
    (
        'Get "https://r/v2/": tls: failed to verify certificate: x509: certificate signed by '
        "unknown authority",
        InstallFailed,
        "does not trust the certificate",
    ),
    ("filesystem layer verification failed for digest sha256:1f", InstallFailed, "arrived changed"),
    ("exec /usr/bin/python: exec format error", StartFailed, "made for another architecture"),
    (
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update "
        "your driver",
        NoGpu,
        "needs a driver for CUDA 12.4 or newer",
    ),
    (
        "nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown",
        NoGpu,
        "Run nvidia-smi there",
    ),
    (
        'error gathering device information while adding custom device "/dev/kfd": no such file '
        "or directory",
        NoGpu,
        "has no /dev/kfd, by which",
    ),
    ("mounts denied: the path /data is not shared from the host", StartFailed, "File sharing"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_sockets() as made:
        yield made


@pytest.mark.parametrize(("text", "kind", "words"), RECORDED)
def test_a_text_of_the_daemon_becomes_a_sentence(
    text: str, kind: type[RunnerError], words: str
) -> None:
    told = explain(text, host_name="gpu-box")

    assert type(told) is kind
    assert words in told.message
    assert told.detail == text


@pytest.mark.parametrize(("text", "kind", "words"), RECORDED)
def test_a_sentence_is_whole_and_keeps_names_as_they_are(
    text: str, kind: type[RunnerError], words: str
) -> None:
    told = explain(text, host_name="this machine").message

    assert told.endswith(".")
    assert "{" not in told
    assert not told.startswith("this ")


def test_permission_denied_inside_a_container_is_not_taken_for_a_registry() -> None:
    told = explain("mkdir /data/x: permission denied", host_name="gpu-box", otherwise=StartFailed)

    assert type(told) is StartFailed
    assert "could not do this" in told.message


def test_an_unknown_text_is_kept_below_a_sentence() -> None:
    told = explain("flux capacitor", host_name="gpu-box", otherwise=InstallFailed)

    assert type(told) is InstallFailed
    assert told.message == "Docker on gpu-box could not do this. What it said stands below."
    assert told.detail == "flux capacitor"


def test_what_the_daemon_refuses_is_told_in_words(folder: Path) -> None:
    answers = Answers()
    with speaking(folder / "d.sock", answers):
        client = connect(DockerAddress(f"unix://{folder}/d.sock"))
        answers.status, answers.body = 404, b'{"message": "No such container: abm-xtts"}'
        with pytest.raises(EngineFailed, match="no longer on gpu-box"), mapped("gpu-box"):
            client.inspect_container("abm-xtts")
        client.close()


def test_a_daemon_that_is_gone_is_unreachable(folder: Path) -> None:
    with pytest.raises(HostUnreachable, match="is not running") as told, mapped("gpu-box"):
        connect(DockerAddress(f"unix://{folder}/none.sock"))

    assert "No such file" in told.value.detail


def test_a_silent_daemon_is_unreachable(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "d.sock"))
        silent.listen()
        with pytest.raises(HostUnreachable, match="did not answer in time"), mapped("gpu-box"):
            connect(DockerAddress(f"unix://{folder}/d.sock"), timeout=0.1)


def test_an_answer_that_breaks_off_is_unreachable(folder: Path) -> None:
    """As when the daemon is ended in the middle of an answer."""
    answers = Answers()
    with speaking(folder / "d.sock", answers):
        client = connect(DockerAddress(f"unix://{folder}/d.sock"))
        answers.is_cut = True
        with pytest.raises(HostUnreachable, match="gpu-box broke"), mapped("gpu-box"):
            client.info()
        client.close()


def test_an_answer_that_is_not_json_is_not_docker(folder: Path) -> None:
    answers = Answers(body=b"<html>It works!</html>")

    with (
        speaking(folder / "d.sock", answers),
        pytest.raises(HostUnreachable, match="is not Docker"),
        mapped("gpu-box"),
    ):
        connect(DockerAddress(f"unix://{folder}/d.sock"))


def test_tls_files_that_cannot_be_read_are_told_with_their_variable(tmp_path: Path) -> None:
    files = Certificates(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")

    with pytest.raises(HostNotReady, match="Check DOCKER_CERT_PATH"), mapped("gpu-box"):
        connect(DockerAddress("tcp://127.0.0.1:2376", certificates=files))


def test_an_error_of_abm_itself_is_not_hidden() -> None:
    with pytest.raises(KeyError), mapped("gpu-box"):
        raise KeyError("bug")
