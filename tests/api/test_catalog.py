"""The catalog over the API: sources come, change and go; an admin's word beside the source's."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.audit_models import AuditEntry
from catalog.models import CatalogEntry, CatalogSource
from catalog.services import BUNDLED
from jobs.models import Job
from tests.api.conftest import Program
from tests.catalog.factories import list_engines, make_source
from tests.engines.factories import make_engine, make_host

URL = "https://example.net/other.yaml"
UNFIT: list[dict[str, Any]] = [
    {"defaultModel": "huge"},
    {"models": [{"name": "a"}, {"name": "a"}]},
    {"parameters": {"speed": {"type": "nonsense"}}},
    {"supportedLanguages": ["'; DROP TABLE"]},
    {"displayName": "x\u202ey"},
    {"description": "a\x00b"},
    {"version": "2"},
    {"constraints": {"max_text_length": "9" * 5_000}},
]


@pytest.fixture
def source(db: None) -> CatalogSource:
    return make_source()


@pytest.fixture
def entry(source: CatalogSource) -> CatalogEntry:
    list_engines(source, {"models": [{"name": "small"}, {"name": "large"}]})
    return CatalogEntry.objects.get()


def path_of(row: CatalogSource | CatalogEntry) -> str:
    if isinstance(row, CatalogSource):
        return f"/api/catalog/sources/{row.pk}"
    return f"/api/catalog/entries/{row.pk}"


class TestSources:
    def test_what_is_absent_stays(self, program: Program, source: CatalogSource) -> None:
        said = program.patch(path_of(source), {"isEnabled": False}).json()

        assert (said["isEnabled"], said["name"], said["url"]) == (False, source.name, source.url)
        assert AuditEntry.objects.filter(verb="source.change").exists()

    def test_another_address_is_fetched(self, program: Program, source: CatalogSource) -> None:
        CatalogSource.objects.update(etag="x")

        assert program.patch(path_of(source), {"url": URL}).json()["url"] == URL

        source.refresh_from_db()
        assert source.etag == ""
        assert Job.objects.get().action == Job.Action.SYNC

    def test_a_name_is_given_once(self, program: Program, source: CatalogSource) -> None:
        make_source("another")

        refused = program.patch(path_of(source), {"name": "another"})

        assert (refused.status_code, refused.json()["detail"]) == (409, "[SOURCE_EXISTS]")

    def test_one_that_comes_with_abm_is_only_switched(self, program: Program, db: None) -> None:
        own = make_source(BUNDLED, kind=CatalogSource.Kind.BUNDLED, url="")

        assert program.patch(path_of(own), {"name": "mine"}).status_code == 409
        assert program.delete(path_of(own)).json()["detail"] == "[SOURCE_BUILT_IN]"
        assert program.patch(path_of(own), {"isEnabled": False}).status_code == 200
        assert CatalogSource.objects.get(name=BUNDLED).is_enabled is False

    def test_it_goes_with_what_it_lists_and_engines_stay(
        self, program: Program, source: CatalogSource, entry: CatalogEntry
    ) -> None:
        engine = make_engine(host=make_host(host_id="local"), variant=entry.variants.get())

        assert program.delete(path_of(source)).status_code == 200

        assert not CatalogEntry.objects.exists()
        engine.refresh_from_db()
        assert engine.variant is None
        assert program.delete(path_of(source)).status_code == 404

    def test_it_stays_while_it_is_being_synced(
        self, program: Program, source: CatalogSource
    ) -> None:
        job = program.post(f"{path_of(source)}/sync").json()["job"]

        refused = program.delete(path_of(source))

        assert refused.json()["detail"] == f"[JOB_RUNNING]job:{job['jobId']}"
        assert CatalogSource.objects.filter(pk=source.pk).exists()


class TestOverrides:
    def test_they_count_survive_a_sync_and_are_taken_back(
        self, program: Program, source: CatalogSource, entry: CatalogEntry
    ) -> None:
        path = f"{path_of(entry)}/overrides"

        said = program.patch(path, {"displayName": "Ours", "default_model": "large"}).json()
        list_engines(source, {"display_name": "Theirs", "models": [{"name": "large"}]})

        assert said["overridden"] == ["defaultModel", "displayName"]
        told = program.get(path_of(entry)).json()
        assert (told["displayName"], told["defaultModel"]) == ("Ours", "large")
        said = program.delete(f"{path}/displayName").json()
        assert (said["displayName"], said["overridden"]) == ("Theirs", ["defaultModel"])
        assert program.delete(path).json()["overridden"] == []

    def test_an_entry_made_here_is_changed_itself(self, program: Program, db: None) -> None:
        own = make_source("custom", kind=CatalogSource.Kind.CUSTOM, url="")
        list_engines(own, {})
        entry = CatalogEntry.objects.get()

        said = program.patch(f"{path_of(entry)}/overrides", {"license": "Apache-2.0"}).json()

        assert (said["license"], said["overridden"]) == ("Apache-2.0", [])

    def test_what_no_entry_can_have_changes_nothing(
        self, program: Program, entry: CatalogEntry
    ) -> None:
        for wish in UNFIT:
            refused = program.patch(f"{path_of(entry)}/overrides", wish)

            assert refused.status_code in {400, 422}, (wish, refused.content)
        entry.refresh_from_db()
        assert entry.overrides == {}

    def test_a_field_that_nobody_can_say_is_not_found(
        self, program: Program, entry: CatalogEntry
    ) -> None:
        assert program.delete(f"{path_of(entry)}/overrides/version").status_code == 404
