"""What every test stands on."""

from __future__ import annotations

import pytest
from django.db import connections


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
