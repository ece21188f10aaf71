"""Rows for `bench.api`, written beside a running abm: `python -m bench.api_rows 22 0`.

Prints a token. With a port it makes a remote host at that port of this machine, which is silent.
"""

from __future__ import annotations

import sys

import django


def main(count: int, port: int) -> None:
    django.setup()
    from accounts.models import User  # noqa: PLC0415  settings are read first
    from accounts.tokens import create_token  # noqa: PLC0415
    from engines.models import Engine  # noqa: PLC0415
    from hosts.models import Host, RemoteAccess  # noqa: PLC0415
    from hosts.ssh.keys import fresh_key, sealed  # noqa: PLC0415

    host = Host.objects.get(host_id="local")
    kinds = ("tts", "stt", "text", "audio")
    Engine.objects.bulk_create(
        Engine(
            host=host,
            name=f"engine-{number}",
            display_name=f"Engine {number}",
            engine_type=kinds[number % 4],
            state=Engine.State.STOPPED,
            definition={"supported_languages": ["en", "de", "fr", "es"]},
        )
        for number in range(count - 1)
    )
    if port:
        address = f"ssh://bench@127.0.0.1:{port}"
        far = Host.objects.create(
            host_id="docker:0badcafe",
            display_name="dead",
            host_type=Host.Type.DOCKER_REMOTE,
            ssh_url=address,
        )
        RemoteAccess.objects.create(
            host=far,
            name="dead",
            mark=far.host_id,
            address=address,
            key=sealed(fresh_key()),
            known_keys=[fresh_key().public],
        )
    user = User.objects.create_user("bench", role=User.Role.ADMIN)
    print(create_token(user, name="bench", role="admin", user=None)[1])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
