"""An upload of images over abm's API, by somebody who has signed in on a page."""

from __future__ import annotations

import socket
from typing import Any

from playwright.sync_api import Page

from tests.stack.stack import Stack

SECONDS = 60_000


class Upload:
    """One file on its way to the Docker host of this machine."""

    def __init__(self, stack: Stack, page: Page, name: str, size: int) -> None:
        self._stack, self._page = stack, page
        cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
        self._headers = {
            "X-CSRFToken": cookies["csrftoken"],
            "Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items()),
        }
        hosts = self._ask("GET", "/api/engine-hosts")["hosts"]
        (host,) = (one["hostId"] for one in hosts if one["hostType"] == "docker:local")
        wish = {"hostId": host, "name": name, "size": size}
        begun = self._ask("POST", "/api/images/uploads", data=wish)
        self._path = f"/api/images/uploads/{begun['token']}"

    def received(self) -> int:
        return int(self._ask("GET", self._path)["received"])

    def send(self, part: bytes, *, offset: int) -> int:
        told = self._ask(
            "PUT",
            f"{self._path}?offset={offset}",
            data=part,
            headers={"Content-Type": "application/octet-stream"},
        )
        return int(told["received"])

    def send_in_part(self, part: bytes, *, offset: int) -> None:
        """Half of a part, and then nothing more."""
        head = [
            f"PUT {self._path}?offset={offset} HTTP/1.1",
            f"Host: 127.0.0.1:{self._stack.port}",
            "Content-Type: application/octet-stream",
            f"Content-Length: {len(part)}",
            *(f"{name}: {value}" for name, value in self._headers.items()),
        ]
        # It stays open until this process forgets it.
        self._line = socket.create_connection(("127.0.0.1", self._stack.port), timeout=10)
        self._line.sendall("\r\n".join([*head, "", ""]).encode() + part[: len(part) // 2])

    def load(self) -> None:
        """Into the host; waits for the job's end."""
        told = self._ask("POST", f"{self._path}/load?wait=true")
        assert told["job"]["status"] == "succeeded", told

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        headers = {"X-CSRFToken": self._headers["X-CSRFToken"], **more.pop("headers", {})}
        answer = self._page.request.fetch(
            path, method=method, headers=headers, timeout=SECONDS, **more
        )
        assert answer.ok, f"{answer.status} {answer.text()}"
        told: dict[str, Any] = answer.json()
        return told
