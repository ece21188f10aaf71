"""The files that a build may use: chosen by .dockerignore, named by one hash, sent as a tar.

The rules of .dockerignore are those of docs.docker.com/build/concepts/context/#dockerignore-files,
matched as moby's patternmatcher does. As with Docker's own command, links are sent as links and
never followed, owners are 0:0, and the Dockerfile goes along also where it is ignored or lies
elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import humanize
from docker.utils.build import Pattern

from hosts.runners.base import HostNotReady, InstallFailed
from hosts.runners.docker.build_source import BuildSource

MOST_BYTES = 2 * 10**9
MOST_FILES = 200_000
CHUNK_BYTES = 2**18
LARGEST_SHOWN = 3
DOCKERFILE_BYTES = 2**20
IGNORE_FILE = ".dockerignore"
FOREIGN_DOCKERFILE = ".dockerfile.abm"
"""What a Dockerfile from outside the context is called inside."""
HASH_VERSION = "1"
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link of a context; `path` is relative, with `/`."""

    path: str
    file: Path
    mode: int
    size: int
    modified_ns: int
    target: str = ""
    """Where a link points, as it is written."""

    @property
    def kind(self) -> bytes:
        if stat.S_ISLNK(self.mode):
            return tarfile.SYMTYPE
        return tarfile.DIRTYPE if stat.S_ISDIR(self.mode) else tarfile.REGTYPE


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What is sent to the builder. Sizes are bytes."""

    entries: tuple[Entry, ...]
    dockerfile: str
    """Its path inside the context."""
    dockerfile_text: str
    size: int
    """Of the files alone."""
    files: int

    def digest(
        self,
        source: BuildSource,
        *,
        bases: Mapping[str, str],
        look: Callable[[], object] = lambda: None,
    ) -> str:
        """64 digits that are the same exactly when the same would be built.

        Takes in paths, modes and bytes, the Dockerfile, what `source` says, and `bases` (name of a
        base image -> its id). Neither times nor owners, so that a fresh clone counts as unchanged.
        `look` is called now and then and may raise to end it.
        """
        whole = hashlib.sha256()

        def add(*words: str) -> None:
            whole.update(json.dumps(words).encode() + b"\n")

        add("abm.build", HASH_VERSION, self.dockerfile, source.platform, source.stage)
        for kind, values in (
            ("arg", source.build_args),
            ("label", source.labels),
            ("base", bases),
        ):
            for name in sorted(values):
                add(kind, name, values[name])
        for entry in self.entries:
            look()
            content = _sha256(entry, look) if entry.kind == tarfile.REGTYPE else entry.target
            mode = f"{stat.S_IMODE(entry.mode):o}"
            add("entry", entry.kind.decode(), entry.path, mode, content)
        return whole.hexdigest()

    def tar(self) -> Iterator[bytes]:
        """The context as a tar, piece by piece. Raises InstallFailed if a file changed."""
        for entry in self.entries:
            is_file = entry.kind == tarfile.REGTYPE
            yield _header(entry)
            if is_file:
                yield from _content(entry)
                yield bytes(-entry.size % BLOCK)
        yield END

    @property
    def tar_size(self) -> int:
        """Bytes of the tar, but for the headers of very long names."""
        blocks = sum(
            BLOCK + (entry.size + -entry.size % BLOCK if entry.kind == tarfile.REGTYPE else 0)
            for entry in self.entries
        )
        return blocks + len(END)


def read_context(
    folder: Path,
    dockerfile: Path,
    *,
    most_bytes: int = MOST_BYTES,
    most_files: int = MOST_FILES,
    look: Callable[[], object] = lambda: None,
) -> BuildContext:
    """Choose the files below `folder`. Raises InstallFailed for too much or too many, by name.

    `dockerfile` is a whole path, as `dockerfile_of` gives it.
    """
    text = _read_text(dockerfile)
    top = folder.resolve()
    is_inside = top in dockerfile.parents
    name = dockerfile.relative_to(top).as_posix() if is_inside else FOREIGN_DOCKERFILE
    patterns = [Pattern(line) for line in _ignore_lines(top, dockerfile)]
    patterns += [Pattern(f"!{kept}") for kept in (name, IGNORE_FILE)]
    entries, sizes, count = list[Entry](), Counter[str](), 0
    try:
        for entry in _walk(top, "", patterns, ()):
            look()
            entries.append(entry)
            count += entry.kind == tarfile.REGTYPE
            sizes[_heap(entry.path)] += entry.size
            if len(entries) > most_files:
                raise _too_many(most_files, entries)
        if not is_inside:
            entries.append(_entry(dockerfile, name))
    except OSError as error:
        raise _unreadable(error) from error
    size = sum(entry.size for entry in entries)
    if size > most_bytes:
        raise _too_large(size, most_bytes, sizes)
    entries.sort(key=lambda entry: entry.path.split("/"))
    return BuildContext(tuple(entries), name, text, size, count)


def _walk(
    folder: Path, prefix: str, patterns: Sequence[Pattern], above: Sequence[bool]
) -> Iterator[Entry]:
    """What is not ignored below a folder; `above` is which patterns matched the folder itself."""
    with os.scandir(folder) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        path = f"{prefix}{name}"
        matches = [
            bool(is_above or pattern.match(path))
            for pattern, is_above in zip(patterns, above or [False] * len(patterns), strict=True)
        ]
        deciding = [
            pattern for pattern, is_match in zip(patterns, matches, strict=True) if is_match
        ]
        is_ignored = bool(deciding) and not deciding[-1].exclusion
        entry = _entry(folder / name, path)
        if not is_ignored and not _is_special(entry):
            yield entry
        if stat.S_ISDIR(entry.mode) and (not is_ignored or _may_hold_kept(path, patterns)):
            yield from _walk(folder / name, f"{path}/", patterns, matches)


def _may_hold_kept(path: str, patterns: Sequence[Pattern]) -> bool:
    """Whether a pattern with `!` names something below an ignored folder."""
    return any(
        pattern.exclusion and f"{pattern.cleaned_pattern}/".startswith(f"{path}/")
        for pattern in patterns
    )


def _entry(file: Path, path: str) -> Entry:
    found = file.lstat()
    mode = found.st_mode
    if sys.platform == "win32":  # it knows no such modes; docker's command says the same
        mode = stat.S_IFMT(mode) | 0o755
    size = found.st_size if stat.S_ISREG(mode) else 0
    target = str(file.readlink()) if stat.S_ISLNK(mode) else ""
    return Entry(path, file, mode, size, found.st_mtime_ns, target)


def _is_special(entry: Entry) -> bool:
    """Sockets, pipes and devices: nothing that a build could use."""
    return not (stat.S_ISREG(entry.mode) or stat.S_ISDIR(entry.mode) or stat.S_ISLNK(entry.mode))


def _ignore_lines(top: Path, dockerfile: Path) -> list[str]:
    """The rules that count: those beside the Dockerfile of the same name, else the context's."""
    for file in (dockerfile.with_name(f"{dockerfile.name}{IGNORE_FILE}"), top / IGNORE_FILE):
        if file.is_file() and not file.is_symlink():
            lines = (line.strip() for line in _read_text(file).lstrip("\ufeff").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    return []


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(DOCKERFILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(error) from error
    if len(content) > DOCKERFILE_BYTES:
        raise InstallFailed(f"{file.name} is larger than 1 MB. It should be a short text.")
    return content.decode("utf-8", "replace")


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path + ("/" if entry.kind == tarfile.DIRTYPE else ""))
    info.type, info.mode, info.size = entry.kind, stat.S_IMODE(entry.mode), entry.size
    info.mtime, info.linkname = max(entry.modified_ns // 10**9, 0), entry.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(entry: Entry) -> Iterator[bytes]:
    """The bytes of a file, exactly as many as were announced, and never those behind a link."""
    changed = InstallFailed(
        f"{entry.path} changed while the image was being built. Let it rest, then build again."
    )
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(entry.file, flags), "rb") as opened:
            now = os.fstat(opened.fileno())
            if (now.st_size, now.st_mtime_ns) != (entry.size, entry.modified_ns):
                raise changed
            left = entry.size
            while left:
                chunk = opened.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise changed
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise _unreadable(error) from error


def _sha256(entry: Entry, look: Callable[[], object]) -> str:
    content = hashlib.sha256()
    for chunk in _content(entry):
        look()
        content.update(chunk)
    return content.hexdigest()


def _heap(path: str) -> str:
    """What a file is counted under: the two topmost folders that it lies in."""
    return "/".join(path.split("/")[:-1][:2]) or path


def _too_large(size: int, limit: int, sizes: Counter[str]) -> InstallFailed:
    named = ", ".join(
        f"{name} ({humanize.naturalsize(bytes_)})"
        for name, bytes_ in sizes.most_common(LARGEST_SHOWN)
    )
    return InstallFailed(
        f"The build's context has {humanize.naturalsize(size)}, and {humanize.naturalsize(limit)} "
        f"is the limit. The most is in {named}. Name what the build does not need in "
        f"{IGNORE_FILE}, or choose a sub-folder."
    )


def _too_many(limit: int, entries: Sequence[Entry]) -> InstallFailed:
    counts = Counter(_heap(entry.path) for entry in entries)
    named = ", ".join(f"{name} ({count:,})" for name, count in counts.most_common(LARGEST_SHOWN))
    return InstallFailed(
        f"The build's context has more than {limit:,} files. The most are in {named}. Name what "
        f"the build does not need in {IGNORE_FILE}, or choose a sub-folder."
    )


def _unreadable(error: OSError) -> HostNotReady:
    return HostNotReady(
        f"abm may not read {error.filename}, or it is gone. Give abm's user the right to read it, "
        f"or name it in {IGNORE_FILE}.",
        detail=str(error),
    )
