"""Where a Docker daemon may be, and one connection to it that never waits without end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import docker
from docker.tls import TLSConfig

from hosts.runners.base import HostNotReady
from hosts.runners.docker.opener import ClientOpener
from hosts.runners.docker.places import exists, named_pipes, read_object

MINIMUM_API = (1, 40)
"""Docker 19.03: the first whose API can ask for a GPU."""
KNOWN_API = (1, 45)
"""The newest that docker-py 7.2 was written for; a newer daemon is spoken to in this one."""
CONNECT_SECONDS = 10.0
ROOT = Path("/")
PIPES = ("docker_engine", "dockerDesktopLinuxEngine")
WAY_TO_WRITE = "Write it as unix:///path/to/docker.sock or tcp://name:2376."


class Source(StrEnum):
    """Who says that a daemon may be at an address."""

    VARIABLE = "DOCKER_HOST"
    CONTEXT = "context"
    USUAL = "usual"


class ApiTooOld(HostNotReady):
    """The daemon answers, but its API lacks what abm needs."""

    code = "API_TOO_OLD"


class NotDocker(HostNotReady):
    """Something else answers where Docker was looked for."""

    code = "NOT_DOCKER"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files for TLS; None where there is none."""

    authority: Path | None
    certificate: Path | None
    key: Path | None
    is_verified: bool = True


@dataclass(frozen=True, slots=True)
class DockerAddress:
    """One place where a daemon may answer."""

    url: str
    """`unix:///path`, `tcp://name:port`, `npipe:////./pipe/name`, or `ssh://` with `opened_by`."""
    source: Source = Source.USUAL
    label: str = ""
    """How a user knows it: `Docker Desktop`, `the Docker context desktop-linux`."""
    certificates: Certificates | None = None
    opened_by: ClientOpener | None = None
    """What makes the clients, for a daemon that is reached through something else."""

    @property
    def path(self) -> Path | None:
        """The socket's file, where the address is one."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None

    @property
    def is_tcp(self) -> bool:
        """It may be another machine's."""
        return self.url.startswith("tcp://")

    @property
    def pipe(self) -> str:
        """The name of a Windows pipe, or empty."""
        return self.url.rpartition("/")[2] if self.url.startswith("npipe:") else ""

    @property
    def is_there(self) -> bool:
        """Whether its file or pipe exists; always so for an address in a network."""
        if self.path:
            return exists(self.path, unseen=self.source is not Source.USUAL)
        return self.pipe in named_pipes() if self.pipe else True


def candidates(
    environ: Mapping[str, str] = os.environ,
    *,
    home: Path | None = None,
    platform: str = sys.platform,
    root: Path = ROOT,
) -> tuple[DockerAddress, ...]:
    """Where to look, best first: DOCKER_HOST alone, or the context in use and the usual places.

    `root` is the folder that the system's own places are below. Follows
    https://docs.docker.com/reference/cli/docker/#environment-variables. Raises HostNotReady for a
    DOCKER_HOST that names no daemon.
    """
    home = home or Path.home()
    if environ.get("DOCKER_HOST", "").strip():
        return (_named(environ["DOCKER_HOST"].strip(), environ, home),)
    found = [*_of_context(environ, home), *_usual(environ, home, platform, root)]
    return tuple({address.url: address for address in reversed(found)}.values())[::-1]


def connect(address: DockerAddress, *, timeout: float = CONNECT_SECONDS) -> docker.APIClient:
    """A client that speaks the newest API both sides know; `timeout` seconds bound every wait.

    What fails is raised as docker, requests and the sockets raise it (`errors.mapped` puts it in
    words), but for ApiTooOld. Streams that may be silent pass `timeout=None` themselves.
    """
    asking = _client(address, MINIMUM_API, timeout)
    try:
        spoken = _pinged(asking) or _told(asking, address)
    finally:
        asking.close()
    return _client(address, spoken, timeout)


def _pinged(client: docker.APIClient) -> tuple[int, ...] | None:
    """The API to speak by the header of a ping, which costs a daemon nothing; None if it is not so
    easy. `/version` asks containerd and runc for theirs, which takes several milliseconds.
    """
    answer = client.get(f"{client.base_url}/_ping", timeout=client.timeout)
    newest = version_of(answer.headers.get("Api-Version"))
    return newest if answer.ok and MINIMUM_API <= newest <= KNOWN_API else None


def _told(client: docker.APIClient, address: DockerAddress) -> tuple[int, ...]:
    """The same by all that a daemon says of itself. Raises NotDocker and ApiTooOld."""
    said = client.version(api_version=False)
    if not isinstance(said, dict) or not said.get("ApiVersion"):
        raise NotDocker(f"What answers at {address.url} is not Docker. Check the address.")
    newest, oldest = version_of(said["ApiVersion"]), version_of(said.get("MinAPIVersion"))
    if newest < MINIMUM_API:
        raise ApiTooOld(
            f"Docker {said.get('Version', '')} speaks API {written(newest)}; abm needs "
            f"{written(MINIMUM_API)}, which came with Docker 19.03. Update Docker."
        )
    return max(min(newest, KNOWN_API), oldest)


def version_of(text: object) -> tuple[int, ...]:
    """`1.41` as numbers; (0,) for what is no version."""
    parts = str(text or "").split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (0,)


def written(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _client(address: DockerAddress, api: tuple[int, ...], timeout: float) -> docker.APIClient:
    if address.opened_by is not None:
        return address.opened_by.client(api=written(api), timeout=timeout)
    client = docker.APIClient(
        base_url=address.url,
        version=written(api),
        timeout=timeout,  # type: ignore[arg-type]  # typed as int, but fractions work
        tls=_tls(address),
    )
    # A proxy meant for the internet does not lead to a daemon, and REQUESTS_CA_BUNDLE would
    # push aside the daemon's own authority.
    client.trust_env = False
    return client


def _tls(address: DockerAddress) -> TLSConfig | bool:
    files = address.certificates
    if files is None:
        return False
    pair = (str(files.certificate), str(files.key)) if files.certificate and files.key else None
    return TLSConfig(
        client_cert=pair,
        ca_cert=str(files.authority) if files.authority else None,
        verify=files.is_verified,
    )


def _named(text: str, environ: Mapping[str, str], home: Path) -> DockerAddress:
    """The address of DOCKER_HOST, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH."""
    url = _checked(text, says=f"DOCKER_HOST is {text}")
    is_verified = bool(environ.get("DOCKER_TLS_VERIFY"))
    folder = environ.get("DOCKER_CERT_PATH", "")
    certificates = None
    if url.startswith("tcp:") and (is_verified or folder or text.startswith("https:")):
        certificates = _certificates(
            Path(folder) if folder else _config(environ, home), is_verified=is_verified
        )
    return DockerAddress(url, Source.VARIABLE, "DOCKER_HOST", certificates)


def _checked(text: str, *, says: str) -> str:
    """`text` in one of the three forms. Raises HostNotReady with what `says` it and the way out."""
    scheme, mark, rest = text.partition("://")
    if scheme == "ssh":
        raise HostNotReady(
            f"{says}: that is another machine, reached by SSH. Add it to abm as a host of its own "
            "and take the setting away."
        )
    if scheme in {"unix", "http+unix"} and rest.startswith("/"):
        return f"unix://{rest}"
    if scheme == "npipe" and rest.startswith("//./pipe/"):
        return f"npipe://{rest}"
    if scheme in {"tcp", "http", "https"} and mark and _has_port(rest):
        return f"tcp://{rest.rstrip('/')}"
    raise HostNotReady(f"{says}, which is no address of a Docker daemon. {WAY_TO_WRITE}")


def _has_port(rest: str) -> bool:
    try:
        parts = urlsplit(f"//{rest}")
        return bool(parts.hostname and parts.port) and parts.path in {"", "/"}
    except ValueError:
        return False


def _certificates(folder: Path, *, is_verified: bool) -> Certificates:
    authority, certificate, key = (
        file if exists(file := folder / name) else None
        for name in ("ca.pem", "cert.pem", "key.pem")
    )
    if not (authority or certificate or key):
        raise HostNotReady(
            f"TLS is asked for, but {folder} holds none of ca.pem, cert.pem and key.pem. "
            "Put them there or set DOCKER_CERT_PATH to the folder that has them."
        )
    return Certificates(authority, certificate, key, is_verified)


def _config(environ: Mapping[str, str], home: Path) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def _of_context(environ: Mapping[str, str], home: Path) -> Iterator[DockerAddress]:
    """The context that `docker context use` or DOCKER_CONTEXT chose, if it leads to a daemon here.

    Files as https://docs.docker.com/engine/manage-resources/contexts/ describes them: each lies
    in a folder named by the SHA-256 of its name. One that leads elsewhere (by SSH) is passed
    over: it is for the command line, and abm has hosts of its own for other machines.
    """
    folder = _config(environ, home)
    chosen = environ.get("DOCKER_CONTEXT") or read_object(folder / "config.json").get(
        "currentContext"
    )
    if not isinstance(chosen, str) or chosen in {"", "default"}:
        return
    key = hashlib.sha256(chosen.encode()).hexdigest()
    endpoints = read_object(folder / "contexts" / "meta" / key / "meta.json").get("Endpoints")
    endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    if not isinstance(endpoint, dict):
        return
    label = f"the Docker context {chosen}"
    secrets = folder / "contexts" / "tls" / key / "docker"
    certificates = None
    with contextlib.suppress(HostNotReady):
        url = _checked(str(endpoint.get("Host") or ""), says=label)
        if url.startswith("tcp:") and exists(secrets):
            is_verified = not endpoint.get("SkipTLSVerify")
            certificates = _certificates(secrets, is_verified=is_verified)
        yield DockerAddress(url, Source.CONTEXT, label, certificates)


def _usual(
    environ: Mapping[str, str], home: Path, platform: str, root: Path
) -> Iterator[DockerAddress]:
    """Where installers put the socket: Docker Engine, rootless, Docker Desktop, Colima, Podman."""
    if platform == "win32":
        for pipe in PIPES:
            yield DockerAddress(f"npipe:////./pipe/{pipe}", label="Docker Desktop")
        return
    places = [(PurePosixPath(root, "var/run/docker.sock"), "Docker")]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime:
        places += [(PurePosixPath(runtime, "docker.sock"), "rootless Docker")]
    places += [
        (PurePosixPath(home, ".docker/run/docker.sock"), "Docker Desktop"),
        (PurePosixPath(home, ".docker/desktop/docker.sock"), "Docker Desktop"),
        (PurePosixPath(home, ".orbstack/run/docker.sock"), "OrbStack"),
        (PurePosixPath(home, ".colima/default/docker.sock"), "Colima"),
        (PurePosixPath(home, ".rd/docker.sock"), "Rancher Desktop"),
    ]
    if runtime:
        places += [(PurePosixPath(runtime, "podman/podman.sock"), "Podman")]
    places += [(PurePosixPath(root, "run/podman/podman.sock"), "Podman")]
    for path, label in places:
        yield DockerAddress(f"unix://{path}", label=label)
