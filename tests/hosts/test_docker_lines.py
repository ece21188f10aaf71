"""Events by SSH: a body in chunks is the same however its bytes come."""

from __future__ import annotations

import pytest

from hosts.link.docker_lines import Pieces

BODY = b'{"a": 1}\n' * 3
FRAMED = b"9\r\n" + BODY[:9] + b"\r\n12;x=y\r\n" + BODY[9:] + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_body_is_the_same_however_it_comes(size: int) -> None:
    pieces, body = Pieces(), b""
    for at in range(0, len(FRAMED), size):
        body += pieces.joined(FRAMED[at : at + size])

    assert body == BODY
    assert pieces.are_all
