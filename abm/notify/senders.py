"""Handing a message over: to a service by Apprise, or to a program by a signed webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import httpx

from abm.notify.models import Delivery, NotifyTarget
from accounts.secrets import SecretUnreadable, decrypted

TIMEOUT_SECONDS = 10.0
SIGNATURE, STAMP, EVENT, NUMBER = (
    "X-ABM-Signature",
    "X-ABM-Timestamp",
    "X-ABM-Event",
    "X-ABM-Delivery",
)


class NotSent(Exception):
    """The other side did not take it; the message says why, without the address's secrets."""


def send(target: NotifyTarget, deliveries: Sequence[Delivery]) -> None:
    """Hand these over as one message. Raises NotSent."""
    try:
        url, secret = decrypted(target.url), decrypted(target.secret) if target.secret else ""
    except SecretUnreadable as error:
        raise NotSent(str(error)) from error
    if target.type == NotifyTarget.Type.WEBHOOK:
        _post(url, secret, deliveries)
    else:
        _tell(url, deliveries)


@cache
def _apprise() -> Any:
    """The library, on first use: it takes 46 MB and 1.5 s, and many an abm never sends."""
    return import_module("apprise")


def readable(url: str) -> str | None:
    """The service that an address of Apprise means; None if it means none."""
    found = _apprise().Apprise.instantiate(url, suppress_exceptions=True)
    return str(found.service_name) if found is not None else None


def _tell(url: str, deliveries: Sequence[Delivery]) -> None:
    library = _apprise()
    service = library.Apprise()
    if not service.add(url):
        raise NotSent("This address is none that can be used. Enter it again.")
    title, body = words_of(deliveries)
    # What Apprise logs of a failure may name the address with its password, so it is not kept.
    if not service.notify(title=title, body=body, notify_type=library.NotifyType.INFO):
        raise NotSent(
            f"{service[0].service_name} did not take it. Check the address and what it needs; "
            "abm tries again by itself."
        )


def words_of(deliveries: Sequence[Delivery]) -> tuple[str, str]:
    """Title and text of one message; several at once become a list."""
    if len(deliveries) == 1:
        one = deliveries[0]
        return f"abm: {one.title}", one.text or one.title
    lines = [f"- {one.title}" + (f": {one.text}" if one.text else "") for one in deliveries]
    return f"abm: {len(deliveries)} messages", "\n".join(lines)


def body_of(deliveries: Sequence[Delivery]) -> bytes:
    """What a webhook gets; `events` has one row a message."""
    rows: list[dict[str, Any]] = [
        {
            "id": one.pk,
            "event": one.kind,
            "trouble": one.key,
            "isOver": one.is_over,
            "title": one.title,
            "text": one.text,
            "at": one.created_at.isoformat().replace("+00:00", "Z"),
        }
        for one in deliveries
    ]
    return json.dumps({"source": "abm", "events": rows}, ensure_ascii=False).encode()


def signature(secret: str, stamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body."""
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def _post(url: str, secret: str, deliveries: Sequence[Delivery]) -> None:
    body, stamp = body_of(deliveries), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "abm",
        EVENT: deliveries[0].kind if len(deliveries) == 1 else "several",
        NUMBER: str(deliveries[0].pk),
        STAMP: stamp,
        SIGNATURE: signature(secret, stamp, body),
    }
    try:
        answer = httpx.post(
            url, content=body, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False
        )
    except httpx.TimeoutException as error:
        raise NotSent(f"It gave no answer in {TIMEOUT_SECONDS:.0f} s.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotSent("It could not be reached. Is its address right, and does it run?") from error
    if not answer.is_success:
        raise NotSent(f"It answered {answer.status_code} instead of 2xx.")
