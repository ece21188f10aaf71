"""Every setting of abm, read from the environment once. `.env.example` lists them all."""

from pathlib import Path

from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "data"))).resolve()
SECRET_KEY = "replaced-in-the-real-file"
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "abm.urls"
AUTH_USER_MODEL = "accounts.User"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "accounts",
    "jobs",
    "hosts",
    "catalog",
    "engines",
    "abm",
]
DATABASES = {"default": env.dj_db_url("DATABASE_URL", f"sqlite:///{DATA_DIR}/abm.sqlite3")}
