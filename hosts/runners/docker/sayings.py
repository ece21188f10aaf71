"""What the daemon says when it fails, and what that means for a user.

It gives no codes worth the name, only texts. Those here were read from Docker 20.10 and from the
sources of moby, of the registries and of the NVIDIA toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass

from hosts.runners.base import (
    DiskFull,
    EngineFailed,
    HostNotReady,
    ImageNotFound,
    InstallFailed,
    NoGpu,
    PortTaken,
    RunnerError,
    StartFailed,
)


@dataclass(frozen=True, slots=True)
class Saying:
    """A text of the daemon and what it means. `sentence` may name the pattern's groups and host."""

    pattern: str
    kind: type[RunnerError]
    sentence: str


SAYINGS = (
    Saying(
        r"no space left on device|disk quota exceeded",
        DiskFull,
        "The disk of {host} is full. Free some space there and try again.",
    ),
    Saying(
        r"toomanyrequests|too many requests|\brate limit",
        InstallFailed,
        "The registry has had too many requests from {host} for now. Wait, or store a login for "
        "this registry: it allows more.",
    ),
    Saying(
        r"manifest for (?P<image>\S+) not found|(?P<bare>manifest unknown)",
        ImageNotFound,
        "The registry does not have {image}. Check the tag, or choose another variant.",
    ),
    Saying(
        r"no matching manifest for (?P<platform>\S+)",
        ImageNotFound,
        "This image is not made for {platform}, which is what {host} is. Choose another variant.",
    ),
    Saying(
        r"(?P<image>\S+) was found but does not match the specified platform: "
        r"wanted (?P<platform>[^,\s]+),? actual: (?P<actual>[^,\s]+)",
        ImageNotFound,
        "{image} is made for {actual}, not for {platform}. Choose another variant or platform.",
    ),
    Saying(
        r"pull access denied for (?P<image>[^\s,]+)",
        ImageNotFound,
        "{image} does not exist or may only be pulled with a login. Check the name, or store a "
        "login for its registry.",
    ),
    Saying(
        r"repository name not known|name unknown|repository (?P<image>\S+) not found",
        ImageNotFound,
        "The registry has no repository of the name {image}. Check the name of the image.",
    ),
    Saying(
        r"no basic auth credentials|unauthorized|authentication required|"
        r"incorrect username or password",
        InstallFailed,
        "The registry wants a login, or does not accept the one that is stored. Store a login "
        "for it in the settings of abm.",
    ),
    Saying(
        r"requested access to the resource is denied|(?<!permission )(?<!mounts )\bdenied(?:$|: )|"
        r"403 Forbidden",
        InstallFailed,
        "The registry refuses this login the image. Ask whoever owns the image for the right to "
        "pull it, or store another login.",
    ),
    Saying(
        r"server gave HTTP response to HTTPS client",
        InstallFailed,
        "The registry speaks plain HTTP, which Docker on {host} trusts only by name. Add it to "
        "`insecure-registries` in Docker's daemon.json there and restart Docker.",
    ),
    Saying(
        r"x509: |certificate signed by unknown authority|tls: failed to verify",
        InstallFailed,
        "Docker on {host} does not trust the certificate of the registry. Put its authority in "
        "/etc/docker/certs.d/REGISTRY/ca.crt there.",
    ),
    Saying(
        r"verification failed for digest|digest mismatch|does not match its digest|"
        r"unexpected commit digest",
        InstallFailed,
        "A part of the image arrived changed, so it was thrown away. Try again; if it happens "
        "again, the registry or a proxy in between is broken.",
    ),
    Saying(
        r"unexpected HTTP status:? (?P<answer>5\d\d[\w ]*)",
        InstallFailed,
        "The registry is out of order: it answered {answer}. Try again later.",
    ),
    Saying(
        r"could not select device driver|(?:unknown|invalid) runtime (?:specified |name: )?nvidia",
        NoGpu,
        "Docker on {host} cannot hand out a GPU: the NVIDIA Container Toolkit is not installed "
        "there, or Docker was not restarted since. Install it, or choose a variant for CPU.",
    ),
    Saying(
        r"unsatisfied condition: cuda\s*>=\s*(?P<cuda>[\d.]+)",
        NoGpu,
        "This image needs a driver for CUDA {cuda} or newer, and the driver of {host} is older. "
        "Update the NVIDIA driver or choose another variant.",
    ),
    Saying(
        r"nvidia-container-cli: |nvml error: |unresolvable CDI devices|no such GPU",
        NoGpu,
        "The GPU of {host} could not be given to the container. Run nvidia-smi there: if it "
        "fails, the driver needs repair or a restart of the machine.",
    ),
    Saying(
        r'error gathering device information while adding custom device "(?P<name>[^"]+)"',
        NoGpu,
        "{host} has no {name}, by which an engine reaches its cards. Install the driver of their "
        "maker there, or choose a variant for CPU.",
    ),
    Saying(
        r"Bind for (?P<address>\S+):(?P<port>\d+) failed: port is already allocated|"
        r"listen \w+ \S*?:(?P<other>\d+): bind: address already in use",
        PortTaken,
        "Port {port} of {host} is in use by another program. Choose another port or stop it.",
    ),
    Saying(
        r'container name "/?(?P<name>[^"]+)" is already in use',
        StartFailed,
        "A container of the name {name} is on {host} already. Rename or remove it there; abm "
        "does not touch what is not its own.",
    ),
    Saying(
        r"cannot expose privileged port (?P<port>\d+)",
        StartFailed,
        "Rootless Docker may not open ports below 1024, such as {port}. Choose a higher port.",
    ),
    Saying(
        r"exec format error",
        StartFailed,
        "The image is made for another architecture than that of {host}. Choose a variant for "
        "this machine, or install emulation there.",
    ),
    Saying(
        r'exec: "(?P<program>[^"]+)":.*(?:executable file not found|no such file)',
        StartFailed,
        "The image has no program {program}. Check the entrypoint and command of the engine.",
    ),
    Saying(
        r"bind source path does not exist: (?P<path>\S+)",
        StartFailed,
        "{path} does not exist on {host}. Make the folder there or take the volume away.",
    ),
    Saying(
        r"(?:mounts denied|is not shared from the host)",
        StartFailed,
        "Docker Desktop does not share this folder with its machine. Add it in Docker Desktop's "
        "settings, Resources, File sharing.",
    ),
    Saying(
        r"only (?P<count>\d+) CPUs? available",
        StartFailed,
        "{host} has {count} CPUs, and the engine's limit asks for more. Lower the limit.",
    ),
    Saying(
        r"Minimum memory limit allowed is (?P<size>\w+)",
        StartFailed,
        "The memory limit of the engine is below {size}, the least that Docker takes. Raise it.",
    ),
    Saying(
        r"network (?P<name>\S+) not found",
        StartFailed,
        "{host} has no network {name}. Make it there or choose another for the engine.",
    ),
    Saying(
        r"invalid reference format",
        ImageNotFound,
        "This is no name of an image. Write it like ghcr.io/owner/name:tag, in small letters.",
    ),
    Saying(
        r"cannot allocate memory|out of memory",
        StartFailed,
        "{host} has no memory left for this. Stop another engine or program there.",
    ),
    Saying(
        r"predefined address pools have been fully subnetted",
        StartFailed,
        "Docker on {host} has no network addresses left. Remove networks that nobody uses.",
    ),
    Saying(
        r"No such image: (?P<image>\S+)",
        ImageNotFound,
        "{image} is not on {host}. Install the engine again.",
    ),
    Saying(
        r"No such container: (?P<name>\S+)",
        EngineFailed,
        "The container is no longer on {host}: it was removed outside of abm. Start the engine "
        "to make a new one.",
    ),
    Saying(
        r"is using its referenced image|image is being used by|volume is in use",
        RunnerError,
        "It is still used by a container on {host}. Stop and remove that container first.",
    ),
    Saying(
        r"client version \S+ is too (?:old|new)",
        HostNotReady,
        "Docker on {host} was updated or replaced just now and speaks another API. Try again.",
    ),
    Saying(
        r"\blookup (?P<name>[^\s:]+)",
        InstallFailed,
        "{host} does not find {name} in the network. Check its internet connection and DNS.",
    ),
    Saying(
        r"dial tcp (?P<name>\S+): connect: |TLS handshake timeout|i/o timeout|"
        r"Client\.Timeout exceeded|context deadline exceeded|connection reset by peer|"
        r"\bEOF$|net/http: request canceled",
        InstallFailed,
        "{host} has no good connection to the registry {name}. Check that it runs and its network, "
        "then try again.",
    ),
)
UNNAMED = {
    "image": "this image",
    "name": "it asked for",
    "platform": "this machine",
}
"""What stands for a group that a text does not name."""
