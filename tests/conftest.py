"""What every test stands on, and what is said of tests that could not run here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from pytest_django import Settings

from tests.pages.factories import browser_of, make_user

IS_CI = os.environ.get("ABM_CI") == "1"
SLOW = ("process", "servers", "fleet")
NOT_IN_CI = ("not as root: ", *(["no oidc-provider: "] if "ABM_CI_NO_NPM" in os.environ else []))
"""Reasons of what CI cannot have: it is root, and npm's registry may be out of its reach."""
SKIPPED_FILE = os.environ.get("ABM_SKIPPED", "")
"""Several runs of one `make test` gather here what each of them skipped."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole abms and servers take seconds, and their times need a machine that does one thing.

    So that `-m "not engine and not browser"` is the quick suite, also where the lab is up.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """SQLite in a file, as abm has it.

    In memory the threads would share one cache, whose tables lock without waiting.
    """
    database = connections["default"]
    if database.vendor == "sqlite":
        name = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
        database.settings_dict["TEST"]["NAME"] = name


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    """Argon2 is slow by intention."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def viewer(db: None) -> Client:
    return browser_of(make_user("viewer"))


@pytest.fixture
def operator(db: None) -> Client:
    return browser_of(make_user("operator"))


@pytest.fixture
def admin(db: None) -> Client:
    return browser_of(make_user("admin"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """In CI, which can have everything, a skipped test is a failed one."""
    report = yield
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        if any(words in str(reason) for words in NOT_IN_CI):
            return report
        report.outcome, report.longrepr = "failed", f"not to be skipped in CI: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The last lines: what was skipped, why, and how to get it."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        reasons[reason] = reasons.get(reason, 0) + 1
    lines = [f"{count} skipped: {reason}" for reason, count in sorted(reasons.items())]
    if SKIPPED_FILE:
        with Path(SKIPPED_FILE).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        lines = list(dict.fromkeys(Path(SKIPPED_FILE).read_text().splitlines()))
    terminalreporter.section("not tested here")
    for line in lines or ["Nothing was skipped."]:
        terminalreporter.write_line(line)
