"""Syncing sources: what changes, what stays, and what is said when it fails."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.refused import Refused
from catalog import services, sync, work
from catalog.models import CatalogEntry, CatalogSource, Variant
from engines.models import Engine
from jobs.models import Event, Job
from tests.catalog.conftest import CatalogServer
from tests.catalog.factories import catalog_of, list_engines, make_entry, make_source
from tests.engines.factories import make_engine
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db


def synced(web: CatalogServer, source: CatalogSource | None = None) -> tuple[CatalogSource, Job]:
    """Ask for a sync as a person would, and do it as the worker would."""
    source = source or make_source(url=web.url(), allows_private_addresses=True)
    job = services.sync_source(source, user=make_user(name=f"olga-{Job.objects.count()}"))
    work.run(job.pk)
    job.refresh_from_db()
    source.refresh_from_db()
    return source, job


class TestOnline:
    def test_the_button_brings_the_seeds_ten_engines(
        self, web: CatalogServer, seed_catalog: bytes
    ) -> None:
        web.gives(seed_catalog, ETag='"1"')

        source, job = synced(web)

        assert (job.status, job.error) == ("succeeded", "")
        assert source.entries.count() == 10
        assert Variant.objects.filter(entry__source=source).count() == 11
        assert (source.error, source.problems, source.etag) == ("", [], '"1"')
        assert source.synced_at is not None
        tags = Variant.objects.filter(entry__name="whisper").values_list("tag", "needs_gpu")
        assert list(tags) == [("latest", True), ("cpu", False)]

    def test_the_second_time_only_changes_are_asked_for(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}), ETag='"1"', Last_Modified="yesterday")
        source, _ = synced(web)
        first = source.synced_at
        web.says(304)

        source, job = synced(web, source)

        assert job.status == "succeeded"
        assert web.asked[-1][1]["If-None-Match"] == '"1"'
        assert web.asked[-1][1]["If-Modified-Since"] == "yesterday"
        assert source.entries.count() == 1
        assert source.synced_at is not None and first is not None and source.synced_at > first

    def test_another_abm_reads_an_unchanged_catalog_again(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}), ETag='"1"')
        source, _ = synced(web)
        CatalogSource.objects.filter(pk=source.pk).update(read_by="abm 0.0.1 for 1.0.0")
        source.refresh_from_db()

        synced(web, source)

        assert "If-None-Match" not in web.asked[-1][1]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"<html>Sign in to the hotel's network</html>", "web page"),
            (b"x" * 3_000_000, "larger than 2 MB"),
            (b"a: &a [1]\nengines: *a", "anchor or alias"),
            (b"engines: 7", "not a catalog"),
            (catalog_of({}, min_app_version="2.0"), "Audiobook Maker 2.0 or newer"),
        ],
    )
    def test_a_fault_keeps_the_last_good_catalog(
        self, web: CatalogServer, content: bytes, words: str
    ) -> None:
        web.gives(catalog_of({}), ETag='"1"')
        source, _ = synced(web)
        good = source.synced_at
        web.gives(content, ETag='"2"')

        source, job = synced(web, source)

        assert job.status == "failed"
        assert words in job.error
        assert words in source.error
        assert source.synced_at == good
        assert source.etag == '"1"'
        assert not CatalogEntry.objects.filter(is_withdrawn=True).exists()

    def test_no_internet_keeps_the_last_good_catalog(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}))
        source, _ = synced(web)
        web.stop()

        source, _ = synced(web, source)

        assert "cannot be reached" in source.error
        assert source.entries.filter(is_withdrawn=False).count() == 1

    def test_loopback_needs_an_admins_leave(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}))

        source, job = synced(web, make_source(url=web.url()))

        assert job.status == "failed"
        assert "An admin can allow that" in source.error
        assert web.asked == []

    def test_bad_entries_are_listed_and_the_rest_is_taken(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}, {"name": "Bad Name"}))

        source, job = synced(web)

        assert job.status == "succeeded"
        assert [entry.name for entry in source.entries.all()] == ["tiny"]
        assert "Bad Name: name" in source.problems[0]
        assert any("Left out: Bad Name" in line.text for line in job.lines.all())

    def test_a_job_that_runs_twice_does_no_harm(self, web: CatalogServer) -> None:
        web.gives(catalog_of({}))
        source, job = synced(web)

        work.run(job.pk)

        assert len(web.asked) == 1
        assert source.entries.count() == 1

    def test_a_source_deleted_meanwhile_ends_the_job_in_words(self) -> None:
        source = make_source()
        job = services.sync_source(source, user=None)
        source.delete()

        work.run(job.pk)

        job.refresh_from_db()
        assert (job.status, job.error) == ("failed", "a catalog was deleted meanwhile.")

    def test_two_presses_make_one_job(self) -> None:
        source = make_source()
        user = make_user()

        first, second = (services.sync_source(source, user=user) for _ in range(2))

        assert first.pk == second.pk

    def test_a_viewer_may_not_sync(self) -> None:
        with pytest.raises(Refused, match="needs the role operator"):
            services.sync_source(make_source(), user=make_user("viewer"))

    def test_a_source_that_is_switched_off_is_not_synced(self) -> None:
        with pytest.raises(Refused, match="switched off"):
            services.sync_source(make_source(is_enabled=False), user=None)


class TestWhatIsWritten:
    def test_what_vanishes_is_withdrawn_and_what_is_installed_stays(self) -> None:
        entry = make_entry()
        engine = make_engine(variant=entry.variants.get())

        list_engines(entry.source, {"name": "other"})

        entry.refresh_from_db()
        engine.refresh_from_db()
        assert entry.is_withdrawn
        assert engine.state == Engine.State.STOPPED
        assert engine.variant_id == entry.variants.get().pk

    def test_what_comes_back_is_offered_again(self) -> None:
        entry = make_entry()
        list_engines(entry.source, {"name": "other"})

        list_engines(entry.source, {})

        entry.refresh_from_db()
        assert not entry.is_withdrawn

    def test_a_tag_that_is_gone_is_withdrawn_and_keeps_its_digest(self) -> None:
        entry = make_entry(variants=[{"tag": "latest"}, {"tag": "cpu"}])
        entry.variants.filter(tag="cpu").update(digest="sha256:1")

        list_engines(entry.source, {"variants": [{"tag": "latest"}]})

        gone = entry.variants.get(tag="cpu")
        assert (gone.is_withdrawn, gone.digest) == (True, "sha256:1")

    def test_sizes_learned_otherwise_stay_when_the_source_says_none(self) -> None:
        entry = make_entry()
        entry.variants.update(download_bytes=5)

        list_engines(entry.source, {"display_name": "Tiny two"})

        assert entry.variants.get().download_bytes == 5

    def test_an_override_survives(self) -> None:
        entry = make_entry()
        services.set_override(entry, field="license", value="GPL-3.0", user=None)

        list_engines(entry.source, {"upstream": {"license": "Apache-2.0"}})

        entry.refresh_from_db()
        assert entry.license == "Apache-2.0"
        assert entry.effective("license") == "GPL-3.0"

    def test_an_override_made_during_a_sync_survives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = make_entry()
        write = sync._write_entry

        def slow(*args: Any) -> bool:
            services.set_override(entry, field="license", value="GPL-3.0", user=None)
            return write(*args)

        monkeypatch.setattr(sync, "_write_entry", slow)
        list_engines(entry.source, {"display_name": "Tiny two"})

        entry.refresh_from_db()
        assert entry.overrides == {"license": "GPL-3.0"}

    def test_a_custom_entry_survives(self) -> None:
        custom = make_source("custom", kind=CatalogSource.Kind.CUSTOM, url="")
        mine = CatalogEntry.objects.create(
            source=custom, name="tiny", display_name="Mine", engine_type="tts"
        )

        list_engines(make_source(), {})

        mine.refresh_from_db()
        assert (mine.display_name, mine.is_withdrawn) == ("Mine", False)

    def test_nothing_new_writes_no_entry_and_no_event(
        self, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        source = make_source()
        engines = [{"name": f"engine-{number}"} for number in range(50)]
        assert list_engines(source, *engines) == 50
        events = Event.objects.count()

        with django_assert_max_num_queries(8):
            assert list_engines(source, *engines) == 0

        assert Event.objects.count() == events
