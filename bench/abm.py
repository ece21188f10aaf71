"""The abm that is measured: a real `manage.py serve` with an admin who is signed in."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import httpx

from tests.browser.server import Served

NAME, PASSWORD = "bench", "bench bench bench"


class Bench:
    """One server with one data directory for all measures, started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._served: Served | None = None

    @property
    def served(self) -> Served:
        if self._served is None:
            self._served = Served(self.folder, ADMIN_USERNAME=NAME, ADMIN_PASSWORD=PASSWORD)
            self._served.start()
        return self._served

    @cached_property
    def http(self) -> httpx.Client:
        """A signed-in client."""
        client = httpx.Client(base_url=self.served.url, follow_redirects=True, timeout=60)
        page = client.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None, page.text[:500]
        answer = client.post(
            "/accounts/login/",
            data={"csrfmiddlewaretoken": token[1], "username": NAME, "password": PASSWORD},
        )
        answer.raise_for_status()
        assert "/login" not in str(answer.url), "the bench could not sign in"
        return client

    def post(self, path: str, **data: str) -> httpx.Response:
        """A form as the page would send it."""
        token = self.http.cookies["csrftoken"]
        answer = self.http.post(path, data=data, headers={"X-CSRFToken": token})
        answer.raise_for_status()
        return answer

    def close(self) -> None:
        if self._served is not None:
            self._served.end_engines()
            self._served.kill()
