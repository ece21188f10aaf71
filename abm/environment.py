"""Reading the environment: typed, with a sentence for every value that makes no sense."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
import zoneinfo
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from environs import Env


class WrongSetting(Exception):
    """A variable has a value that cannot be used; the message is a sentence that names both."""


class Reader:
    """The process's environment, and below it the lines of a `.env` file."""

    def __init__(self, file: Path) -> None:
        env = Env()
        if file.is_file():
            env.read_env(str(file), recurse=False)
        self._env = env

    def text(self, name: str, default: str) -> str:
        return str(self._env.str(name, default)).strip()

    def words(self, name: str) -> list[str]:
        """A list with commas."""
        return [word.strip() for word in self.text(name, "").split(",") if word.strip()]

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name, "true" if default else "false").lower()
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"0", "false", "no", "off", ""}:
            return False
        raise WrongSetting(f"{name} is “{text}”; it must be true or false.")

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        text = self.text(name, default)
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise WrongSetting(f"{name} is “{text}”; it must be one of {', '.join(choices)}.")

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if text.lstrip("-").isdecimal() and least <= int(text) <= most:
            return int(text)
        raise WrongSetting(f"{name} is “{text}”; it must be a whole number from {least} to {most}.")

    def seconds(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1
        if 0 < value <= 86_400:
            return value
        raise WrongSetting(f"{name} is “{text}”; it must be seconds above 0, at most 86400.")

    def folder(self, name: str, default: Path | None) -> Any:
        """An absolute path, or None where there is neither a value nor a default."""
        text = self.text(name, "")
        if not text:
            return default
        return Path(text).expanduser().resolve()

    def existing_folder(self, name: str) -> Any:
        """An absolute path of a folder that exists, or None where there is no value."""
        folder = self.folder(name, None)
        if folder is None or folder.is_dir():
            return folder
        raise WrongSetting(f"{name} is “{folder}”; it must be a folder that exists.")

    def url(self, name: str, default: str, schemes: Sequence[str]) -> str:
        """A URL with a host, or empty for none."""
        text = self.text(name, default)
        try:
            parts = urlsplit(text)
            is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_good = False
        if not text or is_good:
            return text
        # The value is not shown: it may hold a password.
        raise WrongSetting(f"{name} must be a URL that begins with {schemes[0]}:// and a host.")

    def origins(self, name: str) -> list[str]:
        """Origins of pages with commas between them: scheme, host, and port if it has one.

        The scheme may be that of an app with pages inside, such as `tauri://localhost`.
        """
        words = [word.rstrip("/") for word in self.words(name)]
        for word in words:
            try:
                parts = urlsplit(word)
                is_good = bool(parts.scheme and parts.hostname)
                is_good = is_good and parts.port != 0 and word == f"{parts.scheme}://{parts.netloc}"
            except ValueError:
                is_good = False
            if not is_good or "@" in word or "*" in word:
                raise WrongSetting(
                    f"{name} has “{word}”; it must be an origin, such as https://studio.example."
                )
        return words

    def networks(self, name: str, default: str) -> list[IPv4Network | IPv6Network]:
        """Addresses and networks with commas between them, but never all of them."""
        found = []
        for word in self.text(name, default).split(","):
            if not word.strip():
                continue
            try:
                found.append(ip_network(word.strip(), strict=False))
            except ValueError:
                raise WrongSetting(
                    f"{name} has “{word.strip()}”; it must be an address or a network, such as "
                    "172.16.0.0/12."
                ) from None
            if found[-1].prefixlen == 0:
                raise WrongSetting(f"{name} has “{word.strip()}”, which is everybody. Name yours.")
        return found

    def time_zone(self, name: str, default: str) -> str:
        text = self.text(name, default)
        try:
            zoneinfo.ZoneInfo(text)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise WrongSetting(
                f"{name} is “{text}”; it must be the name of a zone, such as Europe/Berlin."
            ) from None
        return text

    def secret(self, name: str) -> str:
        """From the variable, or from the file that `<name>_FILE` names."""
        file, value = self.text(f"{name}_FILE", ""), self.text(name, "")
        if file and value:
            raise WrongSetting(f"{name} and {name}_FILE are both set; keep one of them.")
        if not file:
            return value
        try:
            return Path(file).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongSetting(
                f"{name}_FILE names “{file}”, which cannot be read: {error}"
            ) from None

    def kept_secret(self, file: Path) -> str:
        """A random secret that is made once and kept in `file`, readable by its owner only."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = file.read_text().strip() if file.exists() else ""
            return kept or _keep(file, secrets.token_urlsafe(50))
        except OSError as error:
            raise WrongSetting(
                f"the data directory {file.parent} cannot be used: {error.strerror}. "
                "Give abm's user the right to write there, or set DATA_DIR to another place."
            ) from None

    def database(self, name: str, file: Path, journal: str) -> dict[str, Any]:
        """Django's DATABASES entry: SQLite in `file`, or what a URL names."""
        url = self.text(name, "")
        parts = urlsplit(url)
        if not url or parts.scheme == "sqlite":
            place = unquote(parts.path) if url else str(file)
            return _sqlite(place, journal)
        try:
            port = parts.port
        except ValueError:
            port = -1
        is_postgres = parts.scheme in {"postgres", "postgresql"}
        if not is_postgres or not parts.path.strip("/") or port == -1:
            raise WrongSetting(
                f"{name} must look like postgres://user:password@host:5432/name "
                "or sqlite:////path/to/file."
            )
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or "") or self.secret("DATABASE_PASSWORD"),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": dict(parse_qsl(parts.query)),
        }

    def allowed_hosts(self, host: str, public_url: str, extra: Sequence[str]) -> list[str]:
        """Names under which abm may be asked for: its own, the public one, and the extra ones."""
        names = ["localhost", "127.0.0.1", "[::1]", *extra]
        if public_url:
            names.append(urlsplit(public_url).hostname or "")
        if host not in {"127.0.0.1", "localhost", "::1"}:
            names += [socket.gethostname(), f"{socket.gethostname()}.local", *own_addresses(host)]
        return [name for name in dict.fromkeys(names) if name]

    def logging(self, level: str, form: str) -> dict[str, Any]:
        """Python's logging through structlog's formatter: words for people, or JSON."""
        return {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"abm": {"()": "abm.logs.formatter", "form": form}},
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "abm"}},
            "root": {"handlers": ["console"], "level": level},
            "loggers": {
                "daphne": {"level": "WARNING"},
                "celery": {"level": "WARNING"},
                "kombu": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                "django.channels.server": {"level": "WARNING"},
                "asyncio": {"level": "WARNING"},
            },
        }


def own_addresses(host: str) -> list[str]:
    """The addresses of this machine that `host` makes abm listen on."""
    if host not in {"0.0.0.0", "::"}:
        return [host]
    found = set()
    # No packet is sent: connecting a datagram socket only asks the routing table.
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                found.add(probe.getsockname()[0])
        except OSError:
            continue
    with contextlib.suppress(OSError):
        found.update(row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None))
    return sorted(f"[{name}]" if ":" in str(name) else str(name) for name in found)


def _keep(file: Path, secret: str) -> str:
    """Write a secret under another name first, so that nobody ever reads half of one."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # made with 0600
    with os.fdopen(handle, "w") as opened:
        opened.write(secret)
    Path(draft).replace(file)
    return secret


def _sqlite(place: str, journal: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": place,
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": f"PRAGMA journal_mode={journal};PRAGMA synchronous=NORMAL;"
            "PRAGMA cache_size=-4000;PRAGMA temp_store=MEMORY;",
        },
    }
