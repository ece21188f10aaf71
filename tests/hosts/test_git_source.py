"""Fetching a commit from a real repository, and what is said when that does not work."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server
from typing import TypeVar

import pytest

from hosts.runners.base import DiskFull, HostNotReady, InstallFailed, Progress
from hosts.runners.docker.build_source import GitSource
from hosts.runners.docker.git_program import UnknownRef, explained
from hosts.runners.docker.git_source import PROTOCOLS, check_ref, checked_address, fetch
from jobs.outcome import Cancelled, CancelToken
from tests.hosts.waiting import until

Result = TypeVar("Result")
LOCAL = PROTOCOLS | {"file", "http"}


def git(folder: Path, *words: str) -> str:
    names = {
        f"GIT_{who}_{what}": "t@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **names},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "tts").mkdir(exist_ok=True)
    (folder / "tts" / "server.py").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three commits; the branch `old` and the tag `v1` are the first of them."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    commit(folder, "one")
    git(folder, "branch", "old")
    git(folder, "tag", "-a", "v1", "-m", "v1")
    commit(folder, "two")
    (folder / "run.sh").write_text("echo")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    commit(folder, "three")
    return folder


def ended(steps: Generator[Progress, None, Result]) -> tuple[list[Progress], Result]:
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return told, end.value


def url_of(repository: Path) -> str:
    return f"file://{repository}"


def text_at(repository: Path, ref: str, workspace: Path) -> str:
    source = GitSource(url_of(repository), ref)
    _, found = ended(fetch(source, workspace, cancel=CancelToken(), protocols=LOCAL))
    return (found.folder / "tts" / "server.py").read_text()


class TestFetch:
    def test_the_default_branch_is_fetched_without_its_history(
        self, repository: Path, tmp_path: Path
    ) -> None:
        source = GitSource(url_of(repository))

        told, found = ended(fetch(source, tmp_path, cancel=CancelToken(), protocols=LOCAL))

        assert found.commit == git(repository, "rev-parse", "HEAD")
        assert sorted(file.name for file in found.folder.iterdir()) == ["link", "run.sh", "tts"]
        assert (found.folder / "run.sh").stat().st_mode & 0o111
        assert (found.folder / "link").is_symlink()
        fractions = [progress.fraction for progress in told if progress.fraction is not None]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1
        assert found.commit in told[-1].line

    @pytest.mark.parametrize("ref", ["old", "v1", "refs/heads/old"])
    def test_a_branch_or_tag_is_fetched(self, repository: Path, ref: str, tmp_path: Path) -> None:
        assert text_at(repository, ref, tmp_path) == "one"

    @pytest.mark.parametrize("digits", [40, 12])
    def test_a_commit_is_fetched_by_its_id(
        self, repository: Path, digits: int, tmp_path: Path
    ) -> None:
        middle = git(repository, "rev-parse", "HEAD~1")[:digits]

        assert text_at(repository, middle, tmp_path) == "two"

    def test_no_hook_of_a_template_is_run(self, repository: Path, tmp_path: Path) -> None:
        ran = tmp_path / "ran"
        hooks = tmp_path / "home" / "template" / "hooks"
        hooks.mkdir(parents=True)
        (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / "post-checkout").chmod(0o755)
        (tmp_path / "home" / ".gitconfig").write_text(
            f"[init]\ntemplateDir={hooks.parent}\n[core]\nhooksPath={hooks}\n"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(tmp_path / "home"))
            text_at(repository, "", tmp_path / "work")

        assert not ran.exists()

    def test_submodules_stay_away(self, repository: Path, tmp_path: Path) -> None:
        outer = tmp_path / "outer"
        outer.mkdir()
        git(outer, "init", "--quiet", "--initial-branch=main", ".")
        allowed = ("-c", "protocol.file.allow=always")
        git(outer, *allowed, "submodule", "--quiet", "add", url_of(repository), "inner")
        git(outer, "commit", "--quiet", "-m", "outer")

        source = GitSource(url_of(outer))
        _, found = ended(fetch(source, tmp_path / "w", cancel=CancelToken(), protocols=LOCAL))

        assert list((found.folder / "inner").iterdir()) == []


class TestWhatGoesWrong:
    def sentence(
        self, url: str, tmp_path: Path, *, ref: str = "", kind: type[Exception] = InstallFailed
    ) -> str:
        source = GitSource(url, ref)
        with pytest.raises(kind) as raised:
            ended(fetch(source, tmp_path, cancel=CancelToken(), protocols=LOCAL))
        assert list(tmp_path.iterdir()) == []
        return str(raised.value)

    def test_an_unknown_branch_is_named(self, repository: Path, tmp_path: Path) -> None:
        said = self.sentence(url_of(repository), tmp_path, ref="nowhere", kind=UnknownRef)

        assert "no branch, tag or commit of the name nowhere" in said

    def test_an_unknown_commit_is_named(self, repository: Path, tmp_path: Path) -> None:
        said = self.sentence(url_of(repository), tmp_path, ref="0123456789", kind=UnknownRef)

        assert "0123456789" in said

    def test_a_missing_repository_is_named(self, tmp_path: Path) -> None:
        said = self.sentence(f"file://{tmp_path}/nothing", tmp_path)

        assert said.startswith("There is no Git repository at file://")

    def test_a_closed_port_is_explained(self, tmp_path: Path) -> None:
        with create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        said = self.sentence(f"git://127.0.0.1:{port}/x.git", tmp_path)

        assert said.startswith("127.0.0.1 cannot be reached")

    @pytest.mark.parametrize(
        ("text", "kind", "sentence"),
        [
            (
                "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: "
                "example.org",
                InstallFailed,
                "example.org is not known in the network",
            ),
            (
                "Host key verification failed.\nfatal: Could not read from remote repository.",
                InstallFailed,
                "The SSH key of example.org is not known",
            ),
            (
                "git@example.org: Permission denied (publickey).\nfatal: Could not read from "
                "remote repository.",
                InstallFailed,
                "example.org wants a login",
            ),
            (
                "fatal: unable to access 'https://example.org/x.git/': server certificate "
                "verification failed. CAfile: none CRLfile: none",
                InstallFailed,
                "does not trust the certificate of example.org",
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://example.org/x.git/' "
                "not found",
                InstallFailed,
                "There is no Git repository at https://example.org/x.git",
            ),
            (
                "fatal: write error: No space left on device",
                DiskFull,
                "The disk of this machine is full",
            ),
            (
                "fatal: fetch-pack: unexpected disconnect while reading sideband packet",
                InstallFailed,
                "https://example.org/x.git could not be fetched",
            ),
        ],
    )
    def test_what_git_says_is_put_in_words(
        self, text: str, kind: type[InstallFailed], sentence: str
    ) -> None:
        failure = explained(text, GitSource("https://example.org/x.git"))

        assert type(failure) is kind
        assert sentence in failure.message
        assert failure.detail == text

    def test_where_a_login_is_wanted_nobody_is_asked(
        self, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

        said = self.sentence(f"{guarded}/owner/private.git", tmp_path / "work")

        assert "wants a login" in said

    def test_without_git_the_way_out_is_told(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        said = self.sentence(url_of(repository), tmp_path / "work", kind=HostNotReady)

        assert "apt install git" in said

    def test_a_repository_that_is_too_large_is_refused_before_it_is_laid_out(
        self, repository: Path, tmp_path: Path
    ) -> None:
        source = GitSource(url_of(repository))
        steps = fetch(source, tmp_path, cancel=CancelToken(), protocols=LOCAL, most_bytes=3)

        with pytest.raises(InstallFailed, match="larger than 3 Bytes"):
            ended(steps)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.engine  # it waits
    def test_a_silent_server_is_given_up(self, silent: str, tmp_path: Path) -> None:
        source = GitSource(f"{silent}/x.git")
        begun = time.monotonic()

        with pytest.raises(InstallFailed, match=r"did not come within 0\.6 seconds"):
            ended(fetch(source, tmp_path, cancel=CancelToken(), seconds=0.6))
        assert time.monotonic() - begun < 4

    def test_cancel_ends_a_fetch_from_a_silent_server(self, silent: str, tmp_path: Path) -> None:
        cancel, pids = CancelToken(), list[int]()
        source = GitSource(f"{silent}/x.git")
        outcome = list[BaseException]()

        def run() -> None:
            try:
                for progress in fetch(source, tmp_path, cancel=cancel):
                    pids.extend([progress.child_pid] if progress.child_pid else [])
            except Cancelled as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: len(pids) == 2)  # init, then the fetch that waits
        begun = time.monotonic()
        cancel.cancel("No longer wanted.")
        thread.join(5)

        assert time.monotonic() - begun < 2
        assert str(outcome[0]) == "No longer wanted."
        assert not Path(f"/proc/{pids[-1]}").exists()
        assert list(tmp_path.iterdir()) == []


class TestLeftovers:
    def test_what_a_dead_abm_left_is_removed_and_the_rest_stays(
        self, repository: Path, tmp_path: Path
    ) -> None:
        dead, foreign = tmp_path / "git-4194305-17-abc", tmp_path / "notes"
        dead.mkdir()
        foreign.mkdir()
        source = GitSource(url_of(repository))

        _, first = ended(fetch(source, tmp_path, cancel=CancelToken(), protocols=LOCAL))
        _, second = ended(fetch(source, tmp_path, cancel=CancelToken(), protocols=LOCAL))

        assert sorted(tmp_path.iterdir()) == sorted([first.folder, second.folder, foreign])


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "https://github.com/owner/name.git",
            "https://github.com:8443/owner/name",
            "ssh://git@example.org/owner/name.git",
            "git://example.org/name.git",
        ],
    )
    def test_usual_ones_are_taken_as_they_are(self, url: str) -> None:
        assert checked_address(url) == url

    def test_the_short_form_of_ssh_is_written_out(self) -> None:
        assert checked_address("git@example.org:o/n.git") == "ssh://git@example.org/o/n.git"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ssh://-oProxyCommand=x/y",
            "ssh://-x@example.org/y",
            "ext::sh -c touch",
            "file:///etc",
            "/etc",
            "http://example.org/x.git",
            "https://",
            "https://example.org:port/x",
            "https://example.org/x\n.git",
            "https://example.org/a b",
        ],
    )
    def test_others_are_refused(self, url: str) -> None:
        with pytest.raises(InstallFailed, match="no address of a Git repository"):
            checked_address(url)

    def test_a_password_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(InstallFailed) as raised:
            checked_address("https://me:secret@example.org/x.git")

        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        "ref", ["-x", "a..b", "a b", "a:b", "+a", "a^", "a~1", "x.lock", "@{-1}"]
    )
    def test_a_ref_that_is_more_than_a_name_is_refused(self, ref: str) -> None:
        with pytest.raises(InstallFailed, match="no name of a branch"):
            check_ref(ref)

    @pytest.mark.parametrize("ref", ["", "main", "release/1.2", "v1.0+cpu", "a" * 40, "feature/#3"])
    def test_names_are_taken(self, ref: str) -> None:
        check_ref(ref)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with create_server(("127.0.0.1", 0)) as server:
        yield f"git://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def guarded() -> Iterator[str]:
    """A server that wants a login for everything."""
    with create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                with closing(one):
                    one.recv(4096)
                    one.sendall(
                        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n"
                        b"Content-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(2)
    thread.join(2)
