"""Adding, moving and forgetting hosts by SSH: who may, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.refused import Refused
from hosts import remote
from hosts.models import Host, RemoteAccess
from hosts.remote_links import Links, links, target_of
from hosts.remote_work import check_asked
from hosts.ssh.key_line import key_line
from hosts.ssh.keys import fresh_key, opened
from hosts.ssh.link import LinkState
from hosts.tasks import forget_unfinished
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server
from tests.hosts.waiting import until
from tests.pages.factories import make_job, make_user

pytestmark = pytest.mark.django_db
URL = "ssh://anna@192.0.2.7"


@pytest.fixture
def ada() -> User:
    return make_user("admin", "ada")


@pytest.fixture
def draft(ada: User) -> RemoteAccess:
    return remote.begin_adding(name="gpu-box", url=URL, user=ada)


@pytest.fixture
def host(draft: RemoteAccess, ada: User) -> Host:
    let_in(draft)
    return remote.save_host(draft, user=ada)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    if SSHD is None:
        pytest.skip(NO_SSHD)
    with ssh_server(tmp_path) as one:
        yield one


def let_in(access: RemoteAccess) -> None:
    """As after a test that went well."""
    access.known_keys = [fresh_key().public]
    access.checks = [{"key": "authentication", "state": "passed"}]
    access.save()


class TestAdding:
    def test_a_fresh_key_is_kept_encrypted(self, draft: RemoteAccess) -> None:
        assert "PRIVATE" not in draft.key
        assert opened(draft.key).public.startswith("ssh-ed25519 ")
        assert draft.mark.startswith("docker:")

    def test_the_same_address_again_keeps_the_key(self, draft: RemoteAccess, ada: User) -> None:
        again = remote.begin_adding(name="box", url=URL + ":22", user=ada)

        assert (again.pk, again.key, again.name) == (draft.pk, draft.key, "box")

    def test_another_address_gets_another_key_and_the_first_is_gone(
        self, draft: RemoteAccess, ada: User
    ) -> None:
        other = remote.begin_adding(name="nas", url="anna@nas:2222", user=ada)

        assert other.address == "ssh://anna@nas:2222"
        assert other.key != draft.key
        assert list(RemoteAccess.objects.all()) == [other]

    def test_giving_up_leaves_no_key(self, draft: RemoteAccess, ada: User) -> None:
        remote.cancel_adding(draft, user=ada)

        assert not RemoteAccess.objects.exists()

    def test_the_clock_forgets_what_nobody_finished_for_a_day(
        self, draft: RemoteAccess, host: Host
    ) -> None:
        young = remote.begin_adding(name="nas", url="ssh://anna@nas", user=make_user("admin"))
        left = remote.begin_adding(name="old", url="ssh://anna@old", user=make_user("admin", "bo"))
        two_days = timezone.now() - timedelta(days=2)
        RemoteAccess.objects.exclude(pk=young.pk).update(updated_at=two_days)
        forget_unfinished()

        assert forget_unfinished.name in settings.CELERY_BEAT_SCHEDULE
        assert not RemoteAccess.objects.filter(pk=left.pk).exists()
        assert set(RemoteAccess.objects.values_list("pk", flat=True)) == {young.pk, host.access.pk}

    @pytest.mark.parametrize("url", ["", "http://box", "ssh://box", "ssh://anna:secret@box"])
    def test_an_address_that_is_none_is_refused_in_words(self, ada: User, url: str) -> None:
        with pytest.raises(Refused, match="ssh://user@host"):
            remote.begin_adding(name="box", url=url, user=ada)

    def test_a_host_that_is_there_already_is_named(self, host: Host) -> None:
        with pytest.raises(Refused, match="is in abm already, as gpu-box"):
            remote.begin_adding(name="again", url=URL, user=make_user("admin"))

    def test_a_host_that_was_not_tested_is_not_saved(self, draft: RemoteAccess, ada: User) -> None:
        with pytest.raises(Refused, match="has not let abm in yet"):
            remote.save_host(draft, user=ada)

    def test_operators_add_no_hosts(self) -> None:
        with pytest.raises(Refused):
            remote.begin_adding(name="box", url=URL, user=make_user("operator"))


class TestLater:
    def test_a_key_that_the_host_did_not_show_is_not_accepted(self, host: Host, ada: User) -> None:
        with pytest.raises(Refused, match="not the key that the host showed"):
            remote.accept_key(host.access, fingerprint="SHA256:made-up", user=ada)

    def test_a_moved_host_keeps_its_keys(self, host: Host, ada: User) -> None:
        before = (host.access.key, host.access.known_keys)
        remote.change_remote(host.access, url="ssh://anna@192.0.2.8", is_always_on=False, user=ada)
        access = RemoteAccess.objects.get(host=host)

        assert (access.key, access.known_keys) == before
        assert Host.objects.get(pk=host.pk).ssh_url == "ssh://anna@192.0.2.8"

    def test_what_waited_for_it_is_rung_when_jobs_are_to_wait_no_more(
        self,
        host: Host,
        ada: User,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        monkeypatch.setattr(current_app._get_current_object(), "send_task", lambda *_, **__: None)
        job = make_job("queued", action="start", host=host)
        with django_capture_on_commit_callbacks(execute=True):
            remote.change_remote(
                host.access, url=URL, is_always_on=True, waits_while_away=False, user=ada
            )

        assert not Host.objects.get(pk=host.pk).lets_work_wait
        job.refresh_from_db()
        assert job.rung_at is not None

    def test_the_old_key_is_used_until_the_host_takes_the_new_one(
        self, host: Host, ada: User
    ) -> None:
        before = target_of(host.access).key
        remote.begin_rotation(host.access, user=ada)

        assert target_of(host.access).key == before
        assert target_of(host.access, is_pending=True).key != before

    def test_a_forgotten_host_takes_its_key_along(self, host: Host, ada: User) -> None:
        remote.forget_host(host, user=ada)

        assert not Host.objects.filter(pk=host.pk).exists()
        assert not RemoteAccess.objects.exists()


class TestTesting:
    def test_an_unknown_host_key_is_shown_and_nothing_is_logged_in_to(
        self, server: SshServer, ada: User
    ) -> None:
        draft = remote.begin_adding(name="box", url=str(server.address), user=ada)
        check_asked(draft.pk)
        draft.refresh_from_db()

        rows = {row["key"]: row["state"] for row in draft.checks}
        assert (rows["host_key"], rows["authentication"]) == ("asked", "skipped")
        assert [key.fingerprint for key in draft.offered] == [
            key.fingerprint for key in server.host_keys
        ]

    def test_a_refused_key_says_what_to_do(self, server: SshServer, ada: User) -> None:
        draft = remote.begin_adding(name="box", url=str(server.address), user=ada)
        check_asked(draft.pk)
        draft.refresh_from_db()
        remote.accept_key(draft, fingerprint=draft.offered[0].fingerprint, user=ada)
        check_asked(draft.pk)
        draft.refresh_from_db()

        row = next(row for row in draft.checks if row["key"] == "authentication")
        assert row["state"] == "failed"
        assert "refused abm's key" in row["text"]

    def test_another_host_key_is_offered_beside_the_old_one(
        self, server: SshServer, ada: User
    ) -> None:
        draft = remote.begin_adding(name="box", url=str(server.address), user=ada)
        check_asked(draft.pk)
        draft.refresh_from_db()
        remote.accept_key(draft, fingerprint=draft.offered[0].fingerprint, user=ada)
        server.stop()
        server.make_host_keys()
        server.start()
        check_asked(draft.pk)
        draft.refresh_from_db()

        row = next(row for row in draft.checks if row["key"] == "host_key")
        assert row["state"] == "failed"
        assert draft.offered == server.host_keys
        assert draft.known != server.host_keys

    def test_the_next_key_takes_over_as_soon_as_the_host_lets_it_in(
        self, server: SshServer, ada: User
    ) -> None:
        draft = remote.begin_adding(name="box", url=str(server.address), user=ada)
        draft.known_keys = [key.line for key in server.host_keys]
        draft.save()
        remote.begin_rotation(draft, user=ada)
        wanted = opened(draft.pending_key)
        server.allow(key_line(wanted.public, draft.mark))
        check_asked(draft.pk)
        draft.refresh_from_db()

        assert opened(draft.key) == wanted
        assert not draft.pending_key


class TestLinks:
    def test_a_door_stays_where_it_is_when_the_way_changes(self, server: SshServer) -> None:
        held = Links()
        first = held.link("box", server.target())
        door = held.door("box", 18766)
        second = held.link("box", server.target(known=()))

        assert second is not first
        assert first.news.state is LinkState.CLOSED
        assert held.door("box", 18766) == door
        held.keep_only(())

    def test_another_name_does_not_cut_the_link(self, server: SshServer) -> None:
        held = Links()
        first = held.link("box", server.target())

        assert held.link("box", server.target(name="nas")) is first
        assert first.target.name == "nas"
        held.keep_only(())

    def test_links_of_hosts_that_are_gone_are_closed(self, server: SshServer) -> None:
        held = Links()
        link = held.link("box", server.target())
        until(lambda: link.news.state is LinkState.UP)
        held.keep_only(())

        assert link.news.state is LinkState.CLOSED
        assert not held.names


class TestPages:
    def test_the_wizard_goes_from_where_to_key(self, admin: Client) -> None:
        answer = admin.post("/hosts/add/", {"name": "gpu-box", "url": URL}, follow=True)

        assert answer.redirect_chain[-1][0] == "/hosts/add/key/"
        text = answer.content.decode()
        assert "Docker access is root on that host" in text
        assert "PRIVATE KEY" not in text

    def test_a_wrong_address_is_explained_with_what_was_typed(self, admin: Client) -> None:
        answer = admin.post("/hosts/add/", {"name": "gpu-box", "url": "http://box"})

        assert answer.status_code == 400
        assert "http://box" in answer.content.decode()

    @pytest.mark.parametrize("page", ["key", "check"])
    def test_later_steps_begin_at_the_first(self, admin: Client, page: str) -> None:
        assert admin.get(f"/hosts/add/{page}/").headers["Location"] == "/hosts/add/"

    def test_a_draft_is_its_persons_alone(self, admin: Client, draft: RemoteAccess) -> None:
        answer = admin.post(f"/hosts/access/{draft.pk}/accept/", {"fingerprint": "x"})

        assert answer.status_code == 404

    def test_the_page_of_a_way_shows_the_accepted_key(self, admin: Client, host: Host) -> None:
        text = admin.get(f"/hosts/{host.pk}/way/").content.decode()

        assert host.access.known[0].fingerprint in text
        assert "PRIVATE KEY" not in text


@pytest.fixture(autouse=True)
def no_links_left() -> Iterator[None]:
    yield
    links.keep_only(())
