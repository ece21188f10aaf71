"""Asking nvidia-smi where nothing but Docker's API leads: one lasting container that it runs in.

A container for each reading would cost a third of a second and flood the daemon's events; this one
stays, bears a label of its own, and is found again by it after abm's start. It ends by itself when
it was not asked for an hour, so that nothing stays behind on a host that abm lost. It has no port,
no network and no rights; it counts processes as the host does, as nvidia-smi names them so.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.errors import ImageNotFound as NoSuchImage
from docker.types import DeviceRequest, LogConfig

from hosts.gpu.asking import ANSWER_SECONDS, LONGEST, Said
from hosts.runners.base import HostNotReady, RunnerError
from hosts.runners.docker.errors import explain, mapped
from hosts.runners.docker.hijack import hijacked
from hosts.runners.docker.labels import CARDS, SPEC, digest_of

PROGRAM = "nvidia-smi"
AGAIN_SECONDS = 60.0
"""How long a container that could not be started is not tried again."""
CHUNK_BYTES = 2**16
HEAD_BYTES = 8
"""Before each piece: its stream and its length, as `POST /containers/{id}/attach` says."""
NOT_FOUND = 127
PLACE = "/abm-cards"
STAY = f": > {PLACE}/asked; while rm {PLACE}/asked; do sleep 3600; done"
ASK = f': > {PLACE}/asked; exec "$@"'
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/usr/lib/wsl/lib"
"""Images have a short one now and then, and nvidia-smi comes into /usr/bin or WSL's folder."""
CDI_ALL = "nvidia.com/gpu=all"


log = logging.getLogger(__name__)


class CardHelper:
    """An `Ask` of one host, for one thread. Raises RunnerError where the host itself fails.

    `images` are ids of images to make it of, the best first; those that are not there are passed
    over. `by_cdi` hands the cards to it by CDI, for a daemon without the nvidia runtime.
    """

    def __init__(
        self,
        client: docker.APIClient,
        *,
        deployment: str,
        images: Callable[[], Iterable[str]],
        host_name: str,
        by_cdi: bool = False,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._images = images
        self._host_name = host_name
        self._by_cdi = by_cdi
        self._seconds = seconds
        self._id = self._stuck = ""
        self._failed_at = float("-inf")
        self._failure: RunnerError | None = None

    def __call__(self, command: Sequence[str]) -> Said:
        if command[0] != PROGRAM:
            return Said()  # its cards are NVIDIA's alone
        with mapped(self._host_name):
            if self._is_stuck():
                return Said(is_late=True)
            try:
                return self._asked(command)
            except APIError as error:
                if error.status_code not in {404, 409}:
                    raise
            self._id = ""  # somebody ended it
            return self._asked(command)

    def _is_stuck(self) -> bool:
        """Whether the program of an answer that was late is still at it."""
        if not self._stuck:
            return False
        try:
            if self._client.exec_inspect(self._stuck)["Running"]:
                return True
        except NotFound:
            log.info("the program that was late ended with its container")
        self._stuck = ""
        return False

    def _asked(self, command: Sequence[str]) -> Said:
        there, inside = self._there(), ["sh", "-c", ASK, "sh", *command]
        made = self._client.exec_create(there, inside)["Id"]
        wire, begun = hijacked(self._client, f"/exec/{made}/start", {"Tty": False, "Detach": False})
        with contextlib.closing(wire):
            read = _until_end(wire, begun, self._seconds)
        if read is None:
            self._stuck = str(made)
            return Said(is_late=True)
        code = self._client.exec_inspect(made)["ExitCode"]
        return Said() if code == NOT_FOUND else Said(_joined(read), code)

    def _there(self) -> str:
        """The id of the container, which is made where it is not there. Raises RunnerError."""
        if self._id:
            return self._id
        found = self._client.containers(filters={"label": f"{CARDS}={self._deployment}"})
        fits = [row for row in found if row["Labels"].get(SPEC) == self._digest]
        if fits:
            self._id = str(fits[0]["Id"])
            return self._id
        if self._failure and time.monotonic() - self._failed_at < AGAIN_SECONDS:
            raise self._failure
        end_card_helpers(self._client, self._deployment)  # of another version of abm
        self._failure = None
        self._id = self._made()
        return self._id

    def _made(self) -> str:
        """Raises RunnerError, and the same for a while where Docker could not start it."""
        for image in dict.fromkeys(self._images()):
            try:
                return self._started(image)
            except NoSuchImage:
                continue
            except APIError as error:
                why = explain(str(error.explanation or error), host_name=self._host_name)
                self._failed_at = time.monotonic()
                self._failure = HostNotReady(
                    f"The container that reads the cards of {self._host_name} cannot be started. "
                    f"{why.message}",
                    detail=why.detail,
                )
        raise self._failure or HostNotReady(
            f"The cards of {self._host_name} are read in a container, and no image of abm is there "
            "to make it of. Install an engine there first."
        )

    def _started(self, image: str) -> str:
        body = self._body()
        config = self._client.create_host_config(**body["host"])
        made = self._client.create_container(
            image,
            entrypoint=body["entrypoint"],
            command=[],
            user="0",
            environment=body["environment"],
            labels={CARDS: self._deployment, SPEC: self._digest},
            healthcheck=body["healthcheck"],
            host_config=config,
        )["Id"]
        try:
            self._client.start(made)
        except APIError:
            _remove(self._client, str(made))
            raise
        return str(made)

    def _body(self) -> dict[str, Any]:
        wanted = (
            DeviceRequest(driver="cdi", device_ids=[CDI_ALL])
            if self._by_cdi
            else DeviceRequest(count=-1, capabilities=[["gpu", "utility"]])
        )
        return {
            "entrypoint": ["sh", "-c", STAY],
            # The image's own would ask for an abm, which does not run in here.
            "healthcheck": {"test": ["NONE"]},
            # Images name the CUDA that they need, which nvidia-smi does not.
            "environment": {"NVIDIA_DISABLE_REQUIRE": "1", "PATH": PATH},
            "host": {
                "auto_remove": True,
                "cap_drop": ["ALL"],
                "device_requests": [wanted],
                "log_config": LogConfig(type="none"),
                "network_mode": "none",
                "pid_mode": "host",
                "read_only": True,
                "security_opt": ["no-new-privileges"],
                "tmpfs": {PLACE: "size=64k"},
            },
        }

    @property
    def _digest(self) -> str:
        return digest_of(self._body())


def end_card_helpers(client: docker.APIClient, deployment: str, *, image: str = "") -> int:
    """Remove the helper of this abm, only one made of this `image` (by id) where it is named.

    How many there were. Raises what docker-py raises.
    """
    rows = client.containers(all=True, filters={"label": f"{CARDS}={deployment}"})
    rows = [row for row in rows if image in {"", row["ImageID"]}]
    for row in rows:
        _remove(client, str(row["Id"]))
    return len(rows)


def _remove(client: docker.APIClient, container: str) -> None:
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # the daemon removes it already, since it ended
            raise


def _until_end(wire: Any, begun: bytes, seconds: float) -> bytes | None:
    """All that comes until the other side closes; None where it does not within `seconds`."""
    read, end = bytearray(begun), time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        waiting.register(wire, selectors.EVENT_READ)
        while len(read) < LONGEST:
            # A TLS socket may hold bytes that the system's one no longer shows.
            holds = isinstance(wire, ssl.SSLSocket) and wire.pending() > 0
            left = end - time.monotonic()
            if left <= 0 or not (holds or waiting.select(left)):
                return None
            try:
                chunk = wire.recv(CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            if not chunk:
                break
            read += chunk
    return bytes(read)


def _joined(read: bytes) -> str:
    """The pieces of both streams, as they came, without their heads."""
    pieces = bytearray()
    while len(read) > HEAD_BYTES:
        size = int.from_bytes(read[4:HEAD_BYTES], "big")
        pieces += read[HEAD_BYTES : HEAD_BYTES + size]
        read = read[HEAD_BYTES + size :]
    return pieces.decode(errors="replace")
