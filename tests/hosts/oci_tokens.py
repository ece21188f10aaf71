"""Services that hand out tokens for registries: one that plays along, one that really signs."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hosts.oci.reference import ImageReference
from tests.hosts.oci_server import Asked, SmallServer, Told, certificate, small_server

DIGEST = "sha256:" + "5" * 64


@dataclass
class Dance:
    """A registry that wants tokens, and the service that hands them out, in one server."""

    life: float | None = 300
    private: frozenset[str] = frozenset()
    given: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    address: str = ""

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/token":
            return self.give(asked)
        token = asked.login.removeprefix("Bearer ")
        scope = f"repository:{'/'.join(asked.path.split('/')[2:4])}:pull"
        is_good = token in self.given and token not in self.revoked
        if is_good and (asked.path == "/v2/" or scope in token):
            return Told(200, b"", {"Docker-Content-Digest": DIGEST})
        realm = f'Bearer realm="http://{self.address}/token",service="lab",scope="{scope}"'
        return Told(401, b"", {"WWW-Authenticate": realm})

    def give(self, asked: Asked) -> Told:
        scope = asked.query.get("scope", [""])[0]
        is_known = asked.login == "ada:right horse"
        if (asked.login and not is_known) or (scope in self.private and not is_known):
            return Told(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        token = f"{len(self.given)}:{scope}"
        self.given.append(token)
        answer = {"token": token, "service": asked.query["service"][0]}
        return Told(200, json.dumps({**answer, "expires_in": self.life}).encode())

    def image(self, name: str) -> ImageReference:
        return ImageReference.parse(f"{self.address}/{name}")


@contextlib.contextmanager
def dancing(dance: Dance) -> Iterator[SmallServer]:
    with small_server(dance) as server:
        dance.address = server.address
        yield server


class Issuer:
    """Hands out tokens as a real registry checks them: a JWT signed by a key it knows."""

    def __init__(self, folder: Path) -> None:
        certificate(folder)
        pem = (folder / "server.pem").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self.chain = [b"".join(pem.split(b"-----")[-3].split()).decode()]

    def __call__(self, asked: Asked) -> Told:
        if asked.login and asked.login != "ada:right horse":
            return Told(401)
        _, repository, actions = asked.query["scope"][0].split(":")
        access = [{"type": "repository", "name": repository, "actions": actions.split(",")}]
        is_allowed = bool(asked.login) or not repository.startswith("private/")
        now = int(time.time())
        claims = {"iss": "lab", "aud": "lab", "sub": "", "jti": "1", "iat": now, "nbf": now - 10}
        claims |= {"exp": now + 300, "access": access if is_allowed else []}
        return Told(200, json.dumps({"token": self.sign(claims), "expires_in": 300}).encode())

    def sign(self, claims: dict[str, object]) -> str:
        head = {"typ": "JWT", "alg": "ES256", "x5c": self.chain}
        text = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
        return (text + b"." + _base64(r.to_bytes(32) + s.to_bytes(32))).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
