"""PostgreSQL and Redis as images, for abm's compose file: Debian's packages, no image registry.

They stand in for Docker Hub's `postgres` and `redis` and take what the compose file uses of those:
POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD_FILE, `/var/lib/postgresql/data`, and redis-server
with arguments. The versions are Debian's, whatever their tags say.
"""

from __future__ import annotations

from lab.base_image import KEY, PATH
from lab.debian import debian_with
from lab.place import LabError
from lab.pushing import Image, Layer, Pusher, digest_of
from lab.steps import step

PACKAGES = "ca-certificates,postgresql,redis-server,util-linux"
IMAGES = {
    "library/postgres": ("17-alpine", "lab-postgres", "postgres"),
    "library/redis": ("8-alpine", "lab-redis", "redis-server"),
}
"""Repository -> tag of the compose file, entrypoint, command."""
BASE = "lab/servers"
POSTGRES = """#!/bin/bash
# What Docker Hub's docker-entrypoint.sh does, as far as abm's compose file needs it.
set -euo pipefail
export PATH="$(echo /usr/lib/postgresql/*/bin):$PATH" PGDATA="${PGDATA:-/var/lib/postgresql/data}"
password="${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}"
mkdir -p "$PGDATA" /var/run/postgresql
chown postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  install -m 600 -o postgres /dev/null /tmp/password
  echo "$password" >/tmp/password
  as_postgres initdb -D "$PGDATA" -U "$POSTGRES_USER" -E UTF8 --auth-local=trust \
    --auth-host=scram-sha-256 --pwfile=/tmp/password >/dev/null
  rm /tmp/password
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  as_postgres pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=" start >/dev/null
  if [ "${POSTGRES_DB:-$POSTGRES_USER}" != postgres ]; then
    as_postgres createdb -U "$POSTGRES_USER" "${POSTGRES_DB:-$POSTGRES_USER}"
  fi
  as_postgres pg_ctl -D "$PGDATA" -w -m fast stop >/dev/null
fi
[ "${1:-postgres}" = postgres ] && shift || true
exec setpriv --reuid=postgres --regid=postgres --init-groups \
  postgres -D "$PGDATA" -c "listen_addresses=*" "$@"
"""
REDIS = """#!/bin/bash
set -euo pipefail
[ "${1:-redis-server}" = redis-server ] && shift || true
exec setpriv --reuid=redis --regid=redis --init-groups redis-server --protected-mode no "$@"
"""
PROGRAM = """#!/bin/bash
# Debian keeps them out of the PATH.
exec "$(echo /usr/lib/postgresql/*/bin)/$(basename "$0")" "$@"
"""


def ensure(pusher: Pusher) -> None:
    """Both images in the registry, made now if they are not there. Raises LabError."""
    key = digest_of("\0".join((PACKAGES, POSTGRES, REDIS, PROGRAM)).encode())
    found = [pusher.find(name, tag) for name, (tag, _, _) in IMAGES.items()]
    if all(image and image.labels.get(KEY) == key for image in found):
        return
    with step("images of PostgreSQL and Redis"):
        base = _base(pusher)
        scripts = {
            "usr/local/bin/lab-postgres": POSTGRES.encode(),
            "usr/local/bin/lab-redis": REDIS.encode(),
            "usr/local/bin/pg_isready": PROGRAM.encode(),
        }
        layer = Layer.of_files(scripts, executable=scripts)
        for name, (tag, entrypoint, command) in IMAGES.items():
            run = {"Entrypoint": [entrypoint], "Cmd": [command], "Labels": {KEY: key}}
            pusher.push(name, tag, [layer], base=(BASE, base), run=run)


def _base(pusher: Pusher) -> Image:
    """Debian with both servers, from the registry if it is there."""
    key = digest_of(PACKAGES.encode())
    there = pusher.find(BASE)
    if there is None or there.labels.get(KEY) != key:
        run = {"Env": [f"PATH={PATH}", "LANG=C.UTF-8"], "Labels": {KEY: key}}
        pusher.push(BASE, "latest", [Layer.of_gzip(_bootstrap())], run=run)
        there = pusher.find(BASE)
    if there is None:
        raise LabError(f"The registry took {BASE} and does not have it.")
    return there


def _bootstrap() -> bytes:
    """Debian with both servers. Raises LabError."""
    options = [
        "--aptopt=APT::Install-Recommends false",
        # The package's own cluster: the image makes one of its own.
        "--customize-hook=rm -rf $1/var/lib/postgresql/*",
    ]
    return debian_with(PACKAGES, options, made="the images of the stack")
