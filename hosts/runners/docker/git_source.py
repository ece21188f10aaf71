"""One commit of a Git repository, fetched into a folder by the `git` program.

Nothing of the repository is run: no hooks, no submodules, and only the protocols that are allowed,
also after a redirect. `git` never asks for a login; where one is needed, that of abm's own user
counts (its SSH agent or credential helper).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from hosts.runners.base import InstallFailed, Progress
from hosts.runners.docker.build_source import GitSource
from hosts.runners.docker.git_program import STEP, Git, UnknownRef
from jobs.outcome import CancelToken

PROTOCOLS = frozenset({"https", "ssh", "git"})
SECONDS = 900.0
MOST_BYTES = 5 * 10**9

SHORT_SSH = re.compile(
    r"^(?P<user>[A-Za-z0-9_][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?!/)(?P<path>.+)$"
)
REF = re.compile(r"^[A-Za-z0-9_](?:[\w./+@#=,-]*[\w+@#=,-])?$", re.ASCII)
COMMIT = re.compile(r"^[0-9a-f]{7,40}$")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of one commit, without the repository itself."""

    folder: Path
    commit: str
    """40 hexadecimal digits."""


def fetch(
    source: GitSource,
    workspace: Path,
    *,
    cancel: CancelToken,
    protocols: Collection[str] = PROTOCOLS,
    seconds: float = SECONDS,
    most_bytes: int = MOST_BYTES,
) -> Generator[Progress, None, Checkout]:
    """Fetch one commit into a new folder below `workspace`; whoever called removes it.

    Raises HostNotReady without git, InstallFailed with the reason, and Cancelled moments after
    `cancel`; the folder is gone then. `seconds` and `most_bytes` bound all of it.
    """
    cancel.check()
    url = checked_address(source.url, protocols=protocols)
    check_ref(source.ref)
    remove_leftovers(workspace)
    folder = Path(tempfile.mkdtemp(prefix=f"{_owner(os.getpid())}-", dir=workspace))
    git = Git(folder, source, cancel, protocols=protocols, seconds=seconds, most_bytes=most_bytes)
    try:
        commit = yield from _fetched(git, url, source.ref)
        yield from _checked_out(git, commit)
        shutil.rmtree(folder / ".git")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    yield Progress(STEP, line=f"{source.url} is at commit {commit}.", fraction=1.0)
    return Checkout(folder, commit)


def checked_address(url: str, *, protocols: Collection[str] = PROTOCOLS) -> str:
    """The address as git gets it. Raises InstallFailed for one that abm does not fetch."""
    way = "Write it like https://example.org/owner/name.git or git@example.org:owner/name.git."
    bad = InstallFailed(f"This is no address of a Git repository. {way}")
    if not url.isprintable() or " " in url or url.startswith("-"):
        raise bad
    if short := SHORT_SSH.match(url):
        url = f"ssh://{short['user']}@{short['host']}/{short['path']}"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it raises for a port that is none
    except ValueError as error:
        raise bad from error
    if parts.scheme not in protocols:
        raise bad
    if parts.scheme != "file" and (not parts.hostname or parts.hostname.startswith("-")):
        raise bad
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise InstallFailed(
            "An address with a name and password in it is not fetched: it would be seen in logs. "
            "Store the login in Git's credential helper or SSH agent of abm's user."
        )
    if parts.username and parts.username.startswith("-"):
        raise bad
    return url


def check_ref(ref: str) -> None:
    """Raises InstallFailed for what is no name of a branch, tag or commit."""
    if ref and (not REF.match(ref) or ".." in ref or "//" in ref or ref.endswith(".lock")):
        raise InstallFailed(
            f"{ref[:80]!r} is no name of a branch, a tag or a commit. Leave it empty for the "
            "repository's default branch."
        )


def remove_leftovers(workspace: Path) -> None:
    """Remove what an abm left that was ended in the middle of a fetch or build."""
    workspace.mkdir(parents=True, exist_ok=True)
    alive = {_owner(pid) for pid in psutil.pids()}
    for folder in workspace.glob("git-*-*-*"):
        if folder.name.rpartition("-")[0] not in alive:
            shutil.rmtree(folder, ignore_errors=True)


def _owner(pid: int) -> str:
    """A process, also told apart from a later one with the same id."""
    with contextlib.suppress(psutil.Error):
        return f"git-{pid}-{int(psutil.Process(pid).create_time())}"
    return f"git-{pid}-gone"


def _fetched(git: Git, url: str, ref: str) -> Generator[Progress, None, str]:
    """The wanted commit, with as little as possible around it."""
    yield from git.run("init", "--quiet", "--template=", ".")
    quick = ["--depth=1", "--no-tags", "--", url, ref or "HEAD"]
    try:
        yield from git.run("fetch", "--progress", "--no-recurse-submodules", *quick)
        wanted = "FETCH_HEAD"
    except UnknownRef:
        if not COMMIT.match(ref):
            raise
        # Servers give single commits only by whole ids, and some not even so.
        yield Progress(STEP, line=f"{ref} is fetched with all that came before it.")
        everything = ["--", url, "+refs/heads/*:refs/abm/heads/*", "+refs/tags/*:refs/abm/tags/*"]
        yield from git.run("fetch", "--progress", "--no-recurse-submodules", *everything)
        wanted = ref
    yield from git.run("rev-parse", "--verify", f"{wanted}^{{commit}}")
    return git.answer.strip()


def _checked_out(git: Git, commit: str) -> Iterator[Progress]:
    yield from git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    rows = git.answer.split("\0")
    sizes = [row.split("\t")[0].split()[-1] for row in rows if row]
    git.check_size(sum(int(size) for size in sizes if size.isdigit()))
    yield from git.run("checkout", "--quiet", "--detach", "--no-recurse-submodules", commit)
