"""Files that are said to hold images: what is in them, and which are refused and why."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hosts.runners.base import HostNotReady, InstallFailed
from hosts.runners.docker.archive_reading import ArchiveContents, read_archive
from jobs.outcome import Cancelled, CancelToken
from tests.hosts.archives import archive_of, oci_layout, tar_of

SAVED = {
    "abc/layer.tar": tar_of({"file": b"x" * 5000}),
    "def.json": b"{}",
    "manifest.json": json.dumps(
        [{"Config": "def.json", "RepoTags": ["a/b:1", "a/b:2"], "Layers": ["abc/layer.tar"]}]
    ).encode(),
}


def contents(path: Path, *, most_bytes: int = 10**9) -> ArchiveContents:
    return read_archive(path, most_bytes=most_bytes)


def refusal(path: Path, *, most_bytes: int = 10**9) -> str:
    with pytest.raises(InstallFailed) as raised:
        contents(path, most_bytes=most_bytes)
    return raised.value.message


class TestWhatIsInIt:
    def test_names_and_sizes_of_a_saved_image(self, tmp_path: Path) -> None:
        found = contents(archive_of(tmp_path / "x.tar", SAVED))

        assert found.names == ("a/b:1", "a/b:2")
        assert found.images == 1
        assert found.layer_bytes == len(SAVED["abc/layer.tar"])
        assert not found.is_packed
        assert not found.made_up_manifest

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
    def test_a_packed_one_says_the_same(
        self, tmp_path: Path, pack: Callable[[bytes], bytes]
    ) -> None:
        plain = contents(archive_of(tmp_path / "x.tar", SAVED))
        (tmp_path / "packed").write_bytes(pack((tmp_path / "x.tar").read_bytes()))

        found = contents(tmp_path / "packed")

        assert found.is_packed
        assert (found.names, found.layer_bytes) == (plain.names, plain.layer_bytes)

    @pytest.mark.parametrize("architecture", ["amd64", "arm64"])
    def test_of_a_layout_for_several_machines_the_fitting_one_is_taken(
        self, tmp_path: Path, architecture: str
    ) -> None:
        path = oci_layout(tmp_path / "oci.tar", name="a/b:1")

        found = read_archive(path, most_bytes=10**9, architecture=architecture)

        (row,) = json.loads(found.made_up_manifest)
        with tarfile.open(path) as archive:
            config = archive.extractfile(row["Config"])
            assert config is not None
            assert json.load(config)["architecture"] == architecture
            assert set(row["Layers"]) < set(archive.getnames())
        assert found.names == ("a/b:1",)
        assert found.layer_bytes == 10240

    def test_long_names_and_sizes_in_extended_headers_are_understood(self, tmp_path: Path) -> None:
        path = tmp_path / "x.tar"
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            with tarfile.open(path, "w", format=form) as archive:
                for name, content in {"n" * 300: b"x" * 700, **SAVED}.items():
                    (tmp_path / "file").write_bytes(content)
                    archive.add(tmp_path / "file", name)

            assert contents(path).names == ("a/b:1", "a/b:2")

    def test_where_the_tar_ends_is_told(self, tmp_path: Path) -> None:
        path = archive_of(tmp_path / "x.tar", SAVED)
        whole = path.read_bytes()

        length = contents(path).length

        assert not any(whole[length:])
        with tarfile.open(path) as archive:
            assert length == archive.getmembers()[-1].offset_data + 512  # of one small document

    def test_it_can_be_ended(self, tmp_path: Path) -> None:
        cancel = CancelToken()
        cancel.cancel()

        with pytest.raises(Cancelled):
            read_archive(
                archive_of(tmp_path / "x.tar", SAVED),
                most_bytes=10**9,
                look=lambda done: cancel.check(),
            )


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "content",
        [b"", b"PK\x03\x04 a zip", os.urandom(5000), bytes(5000), gzip.compress(b"text")],
        ids=["empty", "zip", "noise", "nothing", "packed text"],
    )
    def test_any_other_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "x.tar"
        path.write_bytes(content)

        assert "holds no image" in refusal(path)

    @pytest.mark.parametrize(
        "files",
        [
            {"notes.txt": b"x"},
            {"manifest.json": b"[1]"},
            {"manifest.json": b"{}"},
            {"manifest.json": b"[" * 100_000},
            {"index.json": b"{}"},
            {"index.json": b'{"manifests": [{"digest": 3}]}'},
        ],
    )
    def test_another_tar(self, tmp_path: Path, files: dict[str, bytes]) -> None:
        assert "holds no image" in refusal(archive_of(tmp_path / "x.tar", files))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
    def test_one_that_was_cut_off(self, tmp_path: Path, share: float) -> None:
        path = tmp_path / "x.tar"
        files = {**SAVED, "abc/layer.tar": os.urandom(50_000)}
        for whole in (tar_of(files), gzip.compress(tar_of(files))):
            path.write_bytes(whole[: int(len(whole) * share)])

            assert "only a part of one" in refusal(path)

    def test_zstd_with_the_way_out(self, tmp_path: Path) -> None:
        path = tmp_path / "x.tar.zst"
        path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))

        assert "zstd -d x.tar.zst" in refusal(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(HostNotReady, match=r"nothing\.tar cannot be read"):
            contents(tmp_path / "nothing.tar")

    def test_a_bomb_around_the_tar(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.tar.gz"
        path.write_bytes(gzip.compress(tar_of({"a/layer.tar": bytes(20_000_000)}), 1))

        assert "More than 1.0 MB come out of bomb.tar.gz" in refusal(path, most_bytes=1_000_000)

    def test_a_bomb_inside_a_layer(self, tmp_path: Path) -> None:
        path = archive_of(tmp_path / "x.tar", {"a/layer.tar": gzip.compress(bytes(20_000_000))})

        assert path.stat().st_size < 1_000_000
        assert "More than 1.0 MB" in refusal(path, most_bytes=1_000_000)

    def test_a_header_that_would_fill_the_memory(self, tmp_path: Path) -> None:
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, 5 * 10**9
        path = tmp_path / "x.tar.gz"
        path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(30_000_000), 1))
        tracemalloc.start()

        said = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert "holds no image" in said
        assert peak < 5_000_000
