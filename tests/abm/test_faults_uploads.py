"""Web is killed while a speaker sample is uploaded and written: none is half there."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.abm.apart import NAME, PASSWORD, Apart, Part, apart, wait_until
from tests.engines.recordings import recording
from tests.fleet.soak import IS_SOAK
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

pytestmark = [
    pytest.mark.process,
    pytest.mark.faults,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]

ROUNDS = 10 if IS_SOAK else 2
BACK_SECONDS, ASK_SECONDS = 15.0, 30.0


class Person:
    """Somebody who has signed in and uploads samples."""

    def __init__(self, abm: Apart) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{abm.port}", timeout=ASK_SECONDS)
        self.http.get("/accounts/login/")
        form = {"username": NAME, "password": PASSWORD, **self.token}
        assert self.http.post("/accounts/login/", data=form).status_code == 302

    @property
    def token(self) -> dict[str, str]:
        return {"csrfmiddlewaretoken": self.http.cookies["csrftoken"]}

    def upload(self, name: str, wav: bytes) -> int:
        form = {"name": name, **self.token}
        files = {"audio": ("anna.wav", wav, "audio/wav")}
        return self.http.post("/engines/samples/", data=form, files=files).status_code


@pytest.fixture(scope="module")
def wav() -> bytes:
    """Of 23 MB, so that it does not come or get written in a moment."""
    return recording(119.0, rate=48_000, channels=2)


@pytest.fixture
def abm(tmp_path: Path) -> Iterator[Apart]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with apart(tmp_path, TMPDIR=str(temporary)) as made:
        made.begin("web")
        yield made


def files(abm: Apart) -> set[str]:
    """What an engine would take for samples."""
    return {path.name for path in (abm.folder / "data" / "samples").glob("*.wav")}


def rows(abm: Apart) -> set[str]:
    with psycopg.connect(abm.database.url) as connection:
        return {file for (file,) in connection.execute("SELECT file FROM engines_sample")}


def kill_and_begin(abm: Apart, web: Part) -> Part:
    web.kill()
    began = time.monotonic()
    begun = abm.begin("web")
    assert time.monotonic() - began < BACK_SECONDS
    return begun


def test_killed_while_a_sample_comes_in_nothing_is_left(abm: Apart, wav: bytes) -> None:
    person = Person(abm)
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(len(wav))}
    line = http.client.HTTPConnection("127.0.0.1", abm.port, timeout=ASK_SECONDS)
    line.putrequest("POST", "/engines/samples/")
    for name, value in headers.items():
        line.putheader(name, value)
    line.endheaders()
    line.send(wav[: len(wav) // 2])

    kill_and_begin(abm, abm.parts[-1])

    assert list((abm.folder / "temporary").iterdir()) == []
    assert files(abm) == rows(abm) == set()
    assert person.upload("Anna", wav) == 302
    assert len(files(abm)) == 1
    assert files(abm) == rows(abm)


def test_killed_while_a_sample_is_written_none_is_half_there(abm: Apart, wav: bytes) -> None:
    folder = abm.folder / "data" / "samples"
    folder.mkdir(exist_ok=True)
    for number in range(ROUNDS):
        person = Person(abm)
        before = len(list(folder.iterdir()))

        def upload(person: Person = person, number: int = number) -> None:
            with contextlib.suppress(httpx.TransportError):
                person.upload(f"Anna {number}", wav)

        asking = threading.Thread(target=upload)
        asking.start()
        until = time.monotonic() + ASK_SECONDS
        while len(list(folder.iterdir())) == before and time.monotonic() < until:
            pass  # its file is there for some milliseconds only
        kill_and_begin(abm, abm.parts[-1])
        asking.join()

        assert files(abm) == rows(abm)

    assert list((abm.folder / "temporary").iterdir()) == []
    assert Person(abm).upload("Anna at last", wav) == 302
    wait_until(lambda: files(abm) == rows(abm), "each sample has its row")
