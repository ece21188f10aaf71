"""Every setting of abm, read once from the environment; README and .env.example list them.

What never changes is told by `django_settings`, `allauth_settings` and `cors_settings`.

A value that makes no sense stops the start with one sentence.
"""

from __future__ import annotations

from typing import Any

from abm.allauth_settings import *  # noqa: F403  read by name, as all settings are
from abm.allauth_settings import providers
from abm.clock import clock
from abm.content_policy import CONTENT_SECURITY_POLICY as CONTENT_SECURITY_POLICY
from abm.cors_settings import *  # noqa: F403
from abm.cors_settings import MIDDLEWARE_OF_CORS
from abm.django_settings import *  # noqa: F403
from abm.django_settings import BASE_DIR
from abm.environment import Reader, WrongSetting
from abm.filesystem import journal_for

VERSION = "0.1.0"
COMPATIBLE_VERSION = "1.1.2"
"""The version of Audiobook Maker whose catalogs and engines abm speaks with."""
SEED_CATALOG = (
    "https://github.com/DigiJoe79/audiobook-maker-engines/releases/latest/download/catalog.yaml"
)

try:
    read = Reader(BASE_DIR / ".env")
    DATA_DIR = read.folder("DATA_DIR", BASE_DIR / "data")
    HOST = read.text("HOST", "127.0.0.1")
    PORT = read.number("PORT", 8765, least=1, most=65535)
    PUBLIC_URL = read.url("PUBLIC_URL", "", ["https", "http"]).rstrip("/")
    EXTRA_HOSTS = read.words("ALLOWED_HOSTS")
    CORS_ORIGINS = CORS_ALLOWED_ORIGINS = read.origins("CORS_ORIGINS")
    SECRET_KEY = read.secret("SECRET_KEY") or read.kept_secret(DATA_DIR / "secret_key")
    SECRET_KEY_FALLBACKS = read.words("SECRET_KEY_FALLBACKS")
    DEBUG = read.flag("DEBUG", default=False)
    LOG_LEVEL = read.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])
    LOG_FORMAT = read.choice("LOG_FORMAT", "console", ["console", "json"])
    DATABASE_URL = read.text("DATABASE_URL", "")
    REDIS_URL = read.url("REDIS_URL", "", ["redis", "rediss"])
    METRICS_TOKEN = read.secret("METRICS_TOKEN")
    SQLITE_JOURNAL = read.choice("SQLITE_JOURNAL", "auto", ["auto", "wal", "delete"])
    ADMIN_USERNAME = read.text("ADMIN_USERNAME", "")
    ADMIN_PASSWORD = read.secret("ADMIN_PASSWORD")
    ENGINES_DIR = read.existing_folder("ENGINES_DIR")
    DEFAULT_ENGINE_RUNNER = read.choice("DEFAULT_ENGINE_RUNNER", "local", ["local", "docker"])
    # Detection reads these three itself, as every Docker client does.
    DOCKER_HOST = read.text("DOCKER_HOST", "")
    DOCKER_TLS_VERIFY = read.text("DOCKER_TLS_VERIFY", "")
    DOCKER_CERT_PATH = read.text("DOCKER_CERT_PATH", "~/.docker")
    DOCKER_ENGINE_HOST = read.text("DOCKER_ENGINE_HOST", "127.0.0.1")
    ENGINE_NETWORK = read.text("ENGINE_NETWORK", "")
    ENGINE_IDLE_MINUTES = read.number("ENGINE_IDLE_MINUTES", 5, least=0, most=10_000)
    MOUNT_ROOTS = read.words("MOUNT_ROOTS")
    ENGINE_SHELL = read.flag("ENGINE_SHELL", default=True)
    IDLE_ENGINE_CHECK_INTERVAL = read.seconds("IDLE_ENGINE_CHECK_INTERVAL", 60)
    ENGINE_PORT_START = read.number("ENGINE_PORT_START", 8766, least=1024, most=65535)
    ENGINE_PORT_MAX = read.number(
        "ENGINE_PORT_MAX", max(9765, ENGINE_PORT_START), least=ENGINE_PORT_START, most=65535
    )
    ENGINE_HTTP_TIMEOUT = read.seconds("ENGINE_HTTP_TIMEOUT", 300)
    ENGINE_HEALTH_CHECK_TIMEOUT = read.seconds("ENGINE_HEALTH_CHECK_TIMEOUT", 5)
    ENGINE_START_TIMEOUT = read.seconds("ENGINE_START_TIMEOUT", 120)
    ENGINE_STOP_TIMEOUT = read.seconds("ENGINE_STOP_TIMEOUT", 10)
    CATALOG_URL = read.url("CATALOG_URL", SEED_CATALOG, ["https", "http"])
    CATALOG_SYNC = read.flag("CATALOG_SYNC", default=True)
    RELEASES_URL = read.url("RELEASES_URL", "", ["https", "http"])
    RELEASE_CHECK = read.flag("RELEASE_CHECK", default=True)
    UPDATE_CHECK_HOURS = read.number("UPDATE_CHECK_HOURS", 6, least=0, most=10_000)
    API_READS_PER_MINUTE = read.number("API_READS_PER_MINUTE", 100_000, least=0, most=10_000_000)
    API_WRITES_PER_MINUTE = read.number("API_WRITES_PER_MINUTE", 600, least=0, most=10_000_000)
    MAX_UPLOAD_MB = read.number("MAX_UPLOAD_MB", 100, least=1, most=100_000)
    MAX_IMAGE_MB = read.number("MAX_IMAGE_MB", 40_000, least=1, most=1_000_000)
    JOBS_PER_HOST = read.number("JOBS_PER_HOST", 2, least=1, most=64)
    JOBS_PER_REGISTRY = read.number("JOBS_PER_REGISTRY", 3, least=1, most=64)
    WORKER_THREADS = read.number("WORKER_THREADS", 8, least=2, most=64)
    WORKER_DRAIN_SECONDS = read.seconds("WORKER_DRAIN_SECONDS", 15)
    WEB_THREADS = read.number("WEB_THREADS", 8, least=2, most=64)
    JOB_HEARTBEAT_SECONDS = read.seconds("JOB_HEARTBEAT_SECONDS", 2)
    JOB_LOST_SECONDS = read.seconds("JOB_LOST_SECONDS", 10)
    JOB_SWEEP_SECONDS = read.seconds("JOB_SWEEP_SECONDS", 5)
    ALIVE_FILE = read.text("ALIVE_FILE", "")
    HSTS_SECONDS = read.number("HSTS_SECONDS", 604_800, least=0, most=63_072_000)
    TRUSTED_PROXIES = read.networks("TRUSTED_PROXIES", "127.0.0.1,::1")
    PROXY_USER_HEADER = read.text("PROXY_USER_HEADER", "")
    PASSWORD_SIGN_IN = read.flag("PASSWORD_SIGN_IN", default=True)
    OIDC_URL = read.url("OIDC_URL", "", ["https", "http"]).rstrip("/")
    OIDC_NAME = read.text("OIDC_NAME", "Single sign-on")
    OIDC_CLIENT_ID = read.text("OIDC_CLIENT_ID", "")
    OIDC_CLIENT_SECRET = read.secret("OIDC_CLIENT_SECRET")
    OIDC_SCOPES = read.words("OIDC_SCOPES") or ["openid", "profile", "email"]
    OIDC_NAME_CLAIM = read.text("OIDC_NAME_CLAIM", "preferred_username")
    OIDC_GROUPS_CLAIM = read.text("OIDC_GROUPS_CLAIM", "groups")
    OIDC_ADMIN_GROUPS = read.words("OIDC_ADMIN_GROUPS")
    OIDC_OPERATOR_GROUPS = read.words("OIDC_OPERATOR_GROUPS")
    OIDC_VIEWER_GROUPS = read.words("OIDC_VIEWER_GROUPS")
    OIDC_OTHERS = read.choice("OIDC_OTHERS", "refuse", ["refuse", "viewer", "operator"])
    MAIL_URL = read.url("MAIL_URL", "", ["smtps", "smtp", "smtp-plain"])
    MAIL_PASSWORD = read.secret("MAIL_PASSWORD")
    MAIL_FROM = read.text("MAIL_FROM", "")
    AUDIT_DAYS = read.number("AUDIT_DAYS", 365, least=0, most=36_500)
    BACKUP_DIR = read.folder("BACKUP_DIR", None)
    BACKUP_HOURS = read.number("BACKUP_HOURS", 24, least=1, most=10_000)
    BACKUP_KEEP = read.number("BACKUP_KEEP", 7, least=1, most=10_000)
    BACKUP_PASSPHRASE = read.secret("BACKUP_PASSPHRASE")
    TIME_ZONE = read.time_zone("TIME_ZONE", "UTC")
    DATABASES: dict[str, dict[str, Any]] = {
        "default": read.database(
            "DATABASE_URL", DATA_DIR / "abm.sqlite3", journal_for(DATA_DIR, SQLITE_JOURNAL)
        )
    }
    if JOB_LOST_SECONDS <= JOB_HEARTBEAT_SECONDS:
        raise WrongSetting("JOB_LOST_SECONDS must be more than JOB_HEARTBEAT_SECONDS.")
    if bool(ADMIN_USERNAME) != bool(ADMIN_PASSWORD):
        raise WrongSetting("ADMIN_USERNAME and ADMIN_PASSWORD are of use together only; set both.")
    if bool(OIDC_URL) != bool(OIDC_CLIENT_ID):
        raise WrongSetting("OIDC_URL and OIDC_CLIENT_ID are of use together only; set both.")
    if MAIL_URL and not (PUBLIC_URL and "@" in MAIL_FROM):
        raise WrongSetting("MAIL_URL needs MAIL_FROM, and PUBLIC_URL for the links in mails.")
    if PROXY_USER_HEADER and not read.text("TRUSTED_PROXIES", ""):
        raise WrongSetting(
            "PROXY_USER_HEADER lets the proxy say who signs in; name it in TRUSTED_PROXIES."
        )
    if not (PASSWORD_SIGN_IN or OIDC_URL or PROXY_USER_HEADER):
        raise WrongSetting("With PASSWORD_SIGN_IN=false set OIDC_URL, or nobody can sign in.")
    if BACKUP_DIR and not BACKUP_PASSPHRASE:
        raise WrongSetting("BACKUP_DIR needs BACKUP_PASSPHRASE, because backups hold secrets.")
except WrongSetting as error:
    raise SystemExit(f"abm cannot start: {error}") from None

IS_EMBEDDED = not REDIS_URL
"""Without Redis one process holds web, worker, clock and link."""

ALLOWED_HOSTS = read.allowed_hosts(HOST, PUBLIC_URL, EXTRA_HOSTS)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE
SECURE_SSL_HOST = PUBLIC_URL.removeprefix("https://") if SESSION_COOKIE_SECURE else None
# Asked for by machines inside, under names that no certificate bears.
SECURE_REDIRECT_EXEMPT = [r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = HSTS_SECONDS if SESSION_COOKIE_SECURE else 0
# Believed of TRUSTED_PROXIES only: abm.proxies takes it away from everybody else.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
# Browsers ignore it on plain http and complain on every page.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if SESSION_COOKIE_SECURE else None
MIDDLEWARE = [
    "abm.proxies.TrustedProxyMiddleware",
    "abm.traces.TraceMiddleware",
    "abm.middleware.NamedHostMiddleware",
    "abm.api_kept.KeptListMiddleware",
    *([MIDDLEWARE_OF_CORS] if CORS_ORIGINS else []),
    "abm.api_door.BareApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.doors.DoorMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.sign_in.proxy_header.ProxyHeaderMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "abm.middleware.SignedInMiddleware",
    "abm.middleware.RefusedMiddleware",
    "abm.middleware.FullDiskMiddleware",
]
SOCIALACCOUNT_PROVIDERS = providers(
    OIDC_URL,
    name=OIDC_NAME,
    client_id=OIDC_CLIENT_ID,
    secret=OIDC_CLIENT_SECRET,
    scopes=OIDC_SCOPES,
)
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_UPLOAD_MB * 1_000_000
FILE_UPLOAD_HANDLERS = ["abm.uploads.NamelessUpload"]
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    if IS_EMBEDDED
    else {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
}

if IS_EMBEDDED:
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "abm.layers.ThreadSafeInMemoryChannelLayer",
            "CONFIG": {"capacity": 2_000},
        }
    }
    CELERY_BROKER_URL = "memory://localhost/"
    CELERY_BROKER_TRANSPORT = "abm.doorbell:Transport"
else:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # The layer asks Redis with a question that takes five seconds when nothing comes.
            "CONFIG": {
                "hosts": [{"address": REDIS_URL, "socket_timeout": 15}],
                "capacity": 2_000,
            },
        }
    }
    CELERY_BROKER_URL = REDIS_URL
CELERY_WORKER_CONCURRENCY = WORKER_THREADS
CELERY_BEAT_SCHEDULE = clock(
    sweep_seconds=JOB_SWEEP_SECONDS, measures=CATALOG_SYNC, backs_up=BACKUP_DIR is not None
)

LOGGING = read.logging(LOG_LEVEL, LOG_FORMAT)
