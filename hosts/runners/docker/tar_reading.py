"""Reading a tar that may be anybody's, one member after the other, within limits.

Python's own `tarfile` takes a header of any length into memory; this one refuses what no image has.
Formats: POSIX.1-2001 (pax) and GNU, as `docker save` and its relatives write them.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

BLOCK = tarfile.BLOCKSIZE
CHUNK_BYTES = 2**18
LONGEST_HEADER = 2**20
SPECIAL = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
ZSTD_PACKED = "packed by zstd"
GZIP, BZIP2, XZ, ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"


class NoTar(Exception):
    """It is no tar, or it ends too early; the text says what was found."""


class TooLarge(Exception):
    """More came out of it than allowed."""


class Bytes:
    """Bytes of a file, unpacked on the way, counted against `limit`.

    `look` is called for every piece with the bytes of the file that were read; it may raise.
    """

    def __init__(self, file: IO[bytes], *, limit: int, look: Callable[[int], object]) -> None:
        self._file, self._limit, self._look = file, limit, look
        start = file.read(len(XZ))
        file.seek(0)
        self.is_packed = True
        if start.startswith(ZSTD):
            raise NoTar(ZSTD_PACKED)
        if start.startswith(GZIP):
            self._source: Any = gzip.GzipFile(fileobj=file)
        elif start.startswith(BZIP2):
            self._source = bz2.BZ2File(file)
        elif start.startswith(XZ):
            self._source = lzma.LZMAFile(file)  # noqa: SIM115  the caller closes the file
        else:
            self._source, self.is_packed = file, False
        self.position = 0
        """In the bytes as they are unpacked."""
        self._came = 0

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, few enough for memory. Raises NoTar if there are no more."""
        got = self._piece(count)
        while len(got) < count:
            more = self._piece(count - len(got))
            if not more:
                raise NoTar("it ends too early")
            got += more
        return got

    def chunks(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, piece by piece."""
        while count:
            piece = self.read(min(count, CHUNK_BYTES))
            count -= len(piece)
            yield piece

    def skip(self, count: int) -> None:
        """Go on behind the next `count` bytes, without reading them where that can be."""
        if self.is_packed:
            for _ in self.chunks(count):
                pass
            return
        self._look(self._file.tell())
        self.position += count
        self._source.seek(self.position)
        self.count(count)

    def count(self, more: int) -> None:
        """Count bytes that came out, also of something inside. Raises TooLarge."""
        self._came += more
        if self._came > self._limit:
            raise TooLarge

    def _piece(self, count: int) -> bytes:
        self._look(self._file.tell())
        try:
            piece = bytes(self._source.read(count))
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise NoTar(str(error)) from error
        except OSError as error:  # what bz2 raises for damaged data has no number
            if error.errno is None:
                raise NoTar(str(error)) from error
            raise
        self.position += len(piece)
        self.count(len(piece))
        return piece


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a tar; `content` is its bytes, to be read before the next member is asked for."""

    name: str
    size: int
    content: Iterator[bytes]


def members(source: Bytes) -> Iterator[Member]:
    """The plain files of a tar. Raises NoTar and TooLarge."""
    size_told, name_told = "", ""
    while True:
        block = source.read(BLOCK)
        if not any(block):
            return
        info = _header(block)
        if info.type in SPECIAL:
            if info.size > LONGEST_HEADER:
                raise NoTar("a header is too long")
            text = source.read(info.size + -info.size % BLOCK)[: info.size]
            if info.type == tarfile.XHDTYPE:
                told = _pax(text)
                size_told, name_told = told.get("size", ""), told.get("path", "")
            elif info.type == tarfile.GNUTYPE_LONGNAME:
                name_told = text.rstrip(b"\0").decode("utf-8", "replace")
            continue
        size = int(size_told) if size_told.isdigit() else info.size
        if not info.isreg():
            size = 0  # links and folders may tell one, but have no bytes
        start = source.position
        if info.isreg():
            name = (name_told or info.name).removeprefix("./")
            yield Member(name, size, source.chunks(size))
        source.skip(start + size + -size % BLOCK - source.position)
        size_told = name_told = ""


def unpacked_size(source: Bytes, member: Member, first: bytes) -> int:
    """Bytes that come out of a member that begins with `first`; counts them if gzip packed it."""
    if not first.startswith(GZIP):
        return member.size
    unpack, total = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), 0
    for chunk in chain([first], member.content):
        rest = chunk
        while rest and not unpack.eof:
            try:
                came = len(unpack.decompress(rest, CHUNK_BYTES))
            except zlib.error as error:
                raise NoTar(str(error)) from error
            total += came
            source.count(came)
            rest = unpack.unconsumed_tail
    return total


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise NoTar(str(error)) from error
    if info.size < 0:
        raise NoTar("a size below nothing")
    return info


def _pax(text: bytes) -> dict[str, str]:
    """`<length> <key>=<value>` on each line."""
    told = {}
    for row in text.split(b"\n"):
        key, equals, value = row.partition(b" ")[2].partition(b"=")
        if equals:
            told[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return told
