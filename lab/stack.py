"""What stands beside abm in its compose files, as images: Debian's packages, no image registry.

They stand in for Docker Hub's images and take what the compose files use of those: of `postgres`
POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE and `/var/lib/postgresql/data`; of `redis`
redis-server with arguments; of `caddy` `/etc/caddy/Caddyfile`, `/data` and `/config`; of
`tecnativa/docker-socket-proxy` its variables. The versions are Debian's, whatever their tags say.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.base_image import KEY, PATH
from lab.debian import debian_with
from lab.place import LabError
from lab.pushing import Image, Layer, Pusher, digest_of
from lab.steps import step

PACKAGES = "caddy,ca-certificates,haproxy,nginx-light,postgresql,redis-server,util-linux"


@dataclass(frozen=True, slots=True)
class Server:
    """An image: its tag in the compose file and what it runs."""

    tag: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


IMAGES = {
    "library/postgres": Server("17-alpine", ("lab-postgres",), ("postgres",)),
    "library/redis": Server("8-alpine", ("lab-redis",), ("redis-server",)),
    "library/caddy": Server(
        "2-alpine",
        (),
        ("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
        ("XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data"),
    ),
    "library/nginx": Server("stable-alpine", ("nginx", "-g", "daemon off;")),
    "tecnativa/docker-socket-proxy": Server("latest", ("lab-socket-proxy",)),
}
"""By repository."""
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
SOCKET_PROXY = """#!/bin/bash
# Docker's API behind a list of paths: a variable of 1 opens the one that it is named after.
set -euo pipefail
path='path,url_dec -m reg -i ^(/v[0-9.]+)?'
{
  printf 'global\\n  log stdout format raw daemon\\n'
  printf 'defaults\\n  mode http\\n  log global\\n  option httplog\\n  timeout connect 10s\\n'
  printf '  timeout client 10m\\n  timeout server 10m\\n  timeout tunnel 1h\\n'
  printf 'backend docker\\n  server socket unix@/var/run/docker.sock\\n'
  printf 'backend events\\n  timeout server 0\\n  server socket unix@/var/run/docker.sock\\n'
  printf 'frontend api\\n  bind :2375\\n'
  methods='GET HEAD'
  for name in POST DELETE PUT PATCH; do
    [ "${!name:-0}" != 1 ] || methods+=" $name"
  done
  printf '  http-request deny unless { method %s }\\n' "$methods"
  for name in ARCHIVE ATTACH EXEC EXPORT KILL LOGS; do
    flag=ALLOW_$name
    [ "${!flag:-0}" = 1 ] ||
      printf '  http-request deny if { %s/containers/[^/]+/%s }\\n' "$path" "${name,,}"
  done
  for name in AUTH BUILD COMMIT CONFIGS CONTAINERS DISTRIBUTION EVENTS=1 EXEC IMAGES INFO NETWORKS \
    NODES PING=1 PLUGINS SECRETS SERVICES SESSION SWARM SYSTEM TASKS VERSION=1 VOLUMES; do
    default=${name#*=}; name=${name%=*}
    [ "$default" != "$name" ] || default=0
    here=${name,,}; [ "$here" != ping ] || here=_ping
    [ "${!name:-$default}" != 1 ] || printf '  http-request allow if { %s/%s }\\n' "$path" "$here"
  done
  printf '  http-request deny\\n  default_backend docker\\n'
  printf '  use_backend events if { %s/events }\\n' "$path"
} >/tmp/haproxy.cfg
exec haproxy -W -db -f /tmp/haproxy.cfg
"""
PROGRAM = """#!/bin/bash
# Debian keeps them out of the PATH.
exec "$(echo /usr/lib/postgresql/*/bin)/$(basename "$0")" "$@"
"""


def ensure(pusher: Pusher) -> None:
    """Every image in the registry, made now if it is not there. Raises LabError."""
    layer = _programs()
    key = digest_of(f"{PACKAGES} {layer.digest} {IMAGES}".encode())
    found = [pusher.find(name, server.tag) for name, server in IMAGES.items()]
    if all(image and image.labels.get(KEY) == key for image in found):
        return
    with step("images of the servers beside abm"):
        base = _base(pusher)
        for name, server in IMAGES.items():
            run = {
                "Entrypoint": list(server.entrypoint),
                "Cmd": list(server.command),
                "Env": [*base.config["config"]["Env"], *server.environment],
                "Labels": {KEY: key},
            }
            pusher.push(name, server.tag, [layer], base=(BASE, base), run=run)


def _programs() -> Layer:
    """What the images run, and the folder in which nginx wants its log."""
    scripts = {
        "usr/local/bin/lab-postgres": POSTGRES.encode(),
        "usr/local/bin/lab-redis": REDIS.encode(),
        "usr/local/bin/lab-socket-proxy": SOCKET_PROXY.encode(),
        "usr/local/bin/pg_isready": PROGRAM.encode(),
    }
    return Layer.of_files({"var/log/nginx/": b"", **scripts}, executable=scripts)


def _base(pusher: Pusher) -> Image:
    """Debian with all the servers, from the registry if it is there."""
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
    """Debian with all servers. Raises LabError."""
    options = [
        "--aptopt=APT::Install-Recommends false",
        # The package's own cluster: the image makes one of its own.
        "--customize-hook=rm -rf $1/var/lib/postgresql/*",
    ]
    return debian_with(PACKAGES, options, made="the images of the stack")
