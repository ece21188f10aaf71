"""Where catalogs come from: the built-in places, the daily look, catalogs of one's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone
from pytest_django import Settings

from accounts.refused import Refused
from catalog import services, work
from catalog.models import CatalogEntry, CatalogSource
from jobs.models import Job
from tests.catalog.factories import ENGINE, make_source
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db


class TestBuiltIn:
    @pytest.fixture(autouse=True)
    def places(self, settings: Settings, tmp_path: Path) -> None:
        settings.CATALOG_URL = "https://catalogs.example/catalog.yaml"
        settings.ENGINES_DIR = tmp_path

    def engine(self, root: Path, **values: Any) -> Path:
        folder = root / "tts" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        definition = {**ENGINE, "name": "mine", **values}
        (folder / "engine.yaml").write_text(yaml.safe_dump(definition))
        return folder

    def test_the_four_that_come_with_abm_are_offered(self) -> None:
        services.ensure_sources()

        entries = CatalogEntry.objects.filter(source__name="abm")
        assert {entry.name for entry in entries} == {
            "espeak-ng",
            "pocketsphinx",
            "pysbd",
            "silero-vad",
        }
        assert all(entry.runs_anywhere and Path(entry.folder).is_dir() for entry in entries)
        assert CatalogSource.objects.get(name="abm").error == ""

    def test_starting_twice_changes_nothing(self) -> None:
        services.ensure_sources()
        before = list(CatalogEntry.objects.values_list("pk", "updated_at"))

        services.ensure_sources()

        assert list(CatalogEntry.objects.values_list("pk", "updated_at")) == before

    def test_online_catalogs_are_asked_for_at_start(self, settings: Settings) -> None:
        settings.CATALOG_SYNC = True

        services.ensure_sources()

        (job,) = Job.objects.all()
        assert (job.action, job.status, job.subject) == (
            "sync",
            "queued",
            "Audiobook Maker engines",
        )

    def test_a_start_without_sync_asks_nothing_of_the_network(self, settings: Settings) -> None:
        settings.CATALOG_SYNC = False

        services.ensure_sources()
        work.sync_due()

        assert not Job.objects.exists()

    def test_engines_under_development_are_offered(self, tmp_path: Path) -> None:
        folder = self.engine(tmp_path)

        services.ensure_sources()

        entry = CatalogEntry.objects.get(source__name="local")
        assert (entry.name, entry.folder) == ("mine", str(folder))

    def test_a_changed_file_is_noticed_and_the_admins_word_kept(self, tmp_path: Path) -> None:
        folder = self.engine(tmp_path)
        services.ensure_sources()
        entry = CatalogEntry.objects.get(source__name="local")
        services.set_override(entry, field="description", value="Best of all.", user=None)
        before = entry.content_hash

        (folder / "server.py").write_text("print('new')\n")
        work.sync_due()

        entry.refresh_from_db()
        assert entry.content_hash != before
        assert entry.effective("description") == "Best of all."

    def test_a_folder_that_is_gone_is_named(self, settings: Settings, tmp_path: Path) -> None:
        settings.ENGINES_DIR = tmp_path / "gone"

        services.ensure_sources()

        assert "gone is not there" in CatalogSource.objects.get(name="local").error

    def test_settings_without_a_place_switch_the_source_off(self, settings: Settings) -> None:
        services.ensure_sources()
        settings.CATALOG_URL, settings.ENGINES_DIR = "", None
        services.ensure_sources()

        off = CatalogSource.objects.filter(is_enabled=False).values_list("name", flat=True)
        assert set(off) == {"Audiobook Maker engines", "local"}

    def test_a_place_given_again_switches_it_on(self, settings: Settings) -> None:
        settings.CATALOG_URL = ""
        services.ensure_sources()
        settings.CATALOG_URL = "https://other.example/catalog.yaml"
        services.ensure_sources()
        settings.CATALOG_URL = ""
        services.ensure_sources()
        settings.CATALOG_URL = "https://other.example/catalog.yaml"
        services.ensure_sources()

        assert CatalogSource.objects.get(name="Audiobook Maker engines").is_enabled

    def test_a_person_who_switched_it_off_is_heeded(self) -> None:
        services.ensure_sources()
        CatalogSource.objects.filter(name="Audiobook Maker engines").update(is_enabled=False)

        services.ensure_sources()

        assert not CatalogSource.objects.get(name="Audiobook Maker engines").is_enabled


class TestDaily:
    @pytest.fixture(autouse=True)
    def sync_on(self, settings: Settings) -> None:
        settings.CATALOG_SYNC = True

    @pytest.mark.parametrize(
        ("age", "error", "is_due"),
        [
            (None, "", True),
            (timedelta(hours=25), "", True),
            (timedelta(hours=23), "", False),
            (timedelta(hours=2), "no answer", True),
            (timedelta(minutes=30), "no answer", False),
        ],
    )
    def test_a_source_is_due_after_a_day_or_an_hour_after_a_fault(
        self, age: timedelta | None, error: str, is_due: bool
    ) -> None:
        checked_at = timezone.now() - age if age else None
        make_source(checked_at=checked_at, error=error)

        work.sync_due()

        assert Job.objects.exists() is is_due


class TestAddSource:
    def add(self, role: str = "admin", **values: Any) -> CatalogSource:
        values = {"name": "mine", "url": "https://example.org/c.yaml", **values}
        return services.add_source(allows_private=False, user=make_user(role), **values)

    def test_it_is_synced_at_once(self) -> None:
        source = self.add()

        assert Job.objects.get().params == {"source": source.pk}

    def test_an_operator_may_not(self) -> None:
        with pytest.raises(Refused, match="needs the role admin"):
            self.add("operator")

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"name": ""}, "1 to 100"),
            ({"name": "x" * 101}, "1 to 100"),
            ({"name": "Local"}, "comes with abm"),
            ({"url": "catalog.yaml"}, "begins with http"),
            ({"url": "http://[::1"}, "not a valid address"),
            ({"url": "https://example.org/" + "x" * 500}, "at most 500"),
        ],
    )
    def test_nonsense_is_refused_in_words(self, values: dict[str, str], words: str) -> None:
        with pytest.raises(Refused, match=words):
            self.add(**values)

    def test_a_name_is_taken_once(self) -> None:
        make_source("mine")

        with pytest.raises(Refused, match="There is a source named mine already"):
            self.add()


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://127.0.0.1:5078/catalog.yaml", True),
        ("http://localhost/catalog.yaml", True),
        ("http://192.168.1.4/catalog.yaml", True),
        ("https://example.org/catalog.yaml", False),
    ],
)
def test_who_sets_a_private_address_as_the_catalog_allows_it(
    settings: Settings, url: str, is_allowed: bool
) -> None:
    settings.CATALOG_URL, settings.CATALOG_SYNC = url, False

    services.ensure_sources()

    source = CatalogSource.objects.get(kind=CatalogSource.Kind.ONLINE)
    assert source.allows_private_addresses is is_allowed
