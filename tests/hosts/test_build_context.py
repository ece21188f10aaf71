"""The files of a build: which are chosen, what they are called together, and what is sent."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from hosts.runners.base import HostNotReady, InstallFailed
from hosts.runners.docker.build_context import BuildContext, read_context
from hosts.runners.docker.build_source import BuildSource, dockerfile_of
from jobs.outcome import Cancelled, CancelToken


def write(folder: Path, **files: str) -> None:
    """Files by path; `__` stands for `/` and `_dot_` for a leading point."""
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "context"
    top.mkdir()
    (top / "Dockerfile").write_text("FROM scratch\n")
    return top


def context_of(folder: Path, *, most_bytes: int = 10**10, most_files: int = 1000) -> BuildContext:
    dockerfile = dockerfile_of(folder, folder, "Dockerfile")
    return read_context(folder, dockerfile, most_bytes=most_bytes, most_files=most_files)


def paths(folder: Path) -> set[str]:
    return {entry.path for entry in context_of(folder).entries}


def digest_of(folder: Path, source: BuildSource | None = None, **bases: str) -> str:
    return context_of(folder).digest(source or BuildSource(folder), bases=bases)


class TestWhatIsChosen:
    def ignored(self, folder: Path, rules: str) -> set[str]:
        """What `rules` leave out of everything that is there."""
        everything = paths(folder)
        (folder / ".dockerignore").write_text(rules)
        return everything - paths(folder)

    @pytest.fixture
    def tree(self, folder: Path) -> Path:
        write(
            folder,
            **{
                "a_dot_txt": "",
                "b_dot_log": "",
                "src__main_dot_py": "",
                "src__deep__notes_dot_log": "",
                "src__deep__keep_dot_log": "",
                "node_modules__x__y_dot_js": "",
            },
        )
        return folder

    def test_all_files_and_folders_without_rules(self, tree: Path) -> None:
        assert {"Dockerfile", "src", "src/deep", "src/main.py"} < paths(tree)

    @pytest.mark.parametrize(
        ("rules", "left_out"),
        [
            ("# a comment\n\n*.log", {"b.log"}),
            ("**/*.log", {"b.log", "src/deep/notes.log", "src/deep/keep.log"}),
            ("node_modules", {"node_modules", "node_modules/x", "node_modules/x/y.js"}),
            ("/node_modules/", {"node_modules", "node_modules/x", "node_modules/x/y.js"}),
            ("**/deep", {"src/deep", "src/deep/notes.log", "src/deep/keep.log"}),
            ("**/*.log\n!**/keep.log", {"b.log", "src/deep/notes.log"}),
            ("src\n!src/deep/keep.log", {"src", "src/main.py", "src/deep", "src/deep/notes.log"}),
            (
                "**/deep\n!a.txt\n!src/main.py",
                {"src/deep", "src/deep/notes.log", "src/deep/keep.log"},
            ),
            ("!a.txt\n*.txt", {"a.txt"}),
            ("src/m??n.py", {"src/main.py"}),
            ("src/../b.log", {"b.log"}),
        ],
    )
    def test_rules_are_read_as_docker_reads_them(
        self, tree: Path, rules: str, left_out: set[str]
    ) -> None:
        assert self.ignored(tree, rules) == left_out

    def test_the_dockerfile_goes_along_also_where_all_is_ignored(self, tree: Path) -> None:
        (tree / ".dockerignore").write_text("*")

        assert paths(tree) == {"Dockerfile", ".dockerignore"}

    def test_rules_of_one_dockerfile_win(self, tree: Path) -> None:
        (tree / ".dockerignore").write_text("*")
        (tree / "Dockerfile.dockerignore").write_text("*.log")

        assert "a.txt" in paths(tree)
        assert "b.log" not in paths(tree)

    def test_a_dockerfile_from_outside_is_sent_under_a_name_of_its_own(
        self, tree: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "own").write_text("FROM other\n")

        context = read_context(tree, tmp_path / "own")

        assert context.dockerfile_text == "FROM other\n"
        assert context.dockerfile in {entry.path for entry in context.entries}
        assert members(context)[context.dockerfile][1] == b"FROM other\n"

    def test_sockets_and_pipes_are_left_out(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")

        assert "pipe" not in paths(folder)


class TestLinks:
    def test_a_link_is_sent_as_a_link_and_what_it_points_to_is_not(
        self, folder: Path, tmp_path: Path
    ) -> None:
        secrets = tmp_path / "secrets"
        write(secrets, key="secret")
        (folder / "there").symlink_to(secrets)
        (folder / "file").symlink_to(secrets / "key")

        found = members(context_of(folder))

        assert "there/key" not in found
        assert found["file"][0].issym()
        assert b"secret" not in b"".join(context_of(folder).tar()).replace(b"secrets", b"")

    def test_a_file_that_becomes_a_link_meanwhile_is_not_followed(
        self, folder: Path, tmp_path: Path
    ) -> None:
        write(folder, a="1")
        context = context_of(folder)
        (tmp_path / "secret").write_text("x")
        (folder / "a").unlink()
        (folder / "a").symlink_to(tmp_path / "secret")

        with pytest.raises(HostNotReady):
            b"".join(context.tar())


def members(context: BuildContext) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.tar()))) as archive:
        found = {}
        for info in archive.getmembers():
            opened = archive.extractfile(info) if info.isfile() else None
            found[info.name] = (info, opened.read() if opened else b"")
        return found


class TestTar:
    def test_files_arrive_with_bytes_and_modes_and_belong_to_root(self, folder: Path) -> None:
        write(folder, src__run="echo", empty="")
        (folder / "src" / "run").chmod(0o750)
        (folder / "big").write_bytes(bytes(range(256)) * 3000)

        context = context_of(folder)
        found = members(context)

        assert found["src/run"][1] == b"echo"
        assert found["src/run"][0].mode == 0o750
        assert found["big"][1] == (folder / "big").read_bytes()
        assert found["empty"][1] == b""
        assert found["src"][0].isdir()
        assert {(info.uid, info.gid, info.uname) for info, _ in found.values()} == {(0, 0, "")}
        assert len(b"".join(context.tar())) == context.tar_size

    @pytest.mark.parametrize("name", ["ü" * 80, "n" * 180, "a b'\"$"])
    def test_unusual_names_arrive(self, folder: Path, name: str) -> None:
        (folder / name).write_text("x")

        assert members(context_of(folder))[name][1] == b"x"

    def test_a_name_that_is_no_text_arrives(self, folder: Path) -> None:
        (folder / os.fsdecode(b"caf\xe9")).write_text("x")

        assert members(context_of(folder))[os.fsdecode(b"caf\xe9")][1] == b"x"

    def test_a_file_that_grows_meanwhile_is_noticed(self, folder: Path) -> None:
        write(folder, a="1")
        context = context_of(folder)
        write(folder, a="12")

        with pytest.raises(InstallFailed, match="a changed while"):
            b"".join(context.tar())

    def test_it_is_read_piece_by_piece(self, folder: Path) -> None:
        with (folder / "large").open("wb") as file:
            file.truncate(10**9)

        chunks = context_of(folder).tar()
        sizes = [len(next(chunks)) for _ in range(20)]

        assert max(sizes) < 2**20


class TestDigest:
    def test_it_is_the_same_for_the_same_in_another_place_and_time(
        self, folder: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        for top in (folder, other):
            write(top, src__a="1", b="2", Dockerfile="FROM scratch\n")
        os.utime(other / "b", (1, 1))

        assert digest_of(folder) == digest_of(other, BuildSource(other))
        assert len(digest_of(folder)) == 64

    def test_it_changes_with_all_that_changes_the_image(self, folder: Path) -> None:
        write(folder, a="1")
        seen = [digest_of(folder)]
        write(folder, a="2")
        seen.append(digest_of(folder))
        (folder / "a").rename(folder / "b")
        seen.append(digest_of(folder))
        (folder / "b").chmod(0o755)
        seen.append(digest_of(folder))
        (folder / "Dockerfile").write_text("FROM scratch\nRUN x\n")
        seen.append(digest_of(folder))
        (folder / "link").symlink_to("b")
        seen.append(digest_of(folder))
        (folder / "folder").mkdir()
        seen.append(digest_of(folder))
        seen.append(digest_of(folder, base="sha256:1"))
        seen.append(digest_of(folder, base="sha256:2"))
        for source in (
            BuildSource(folder, build_args={"A": "1"}),
            BuildSource(folder, build_args={"A": "2"}),
            BuildSource(folder, labels={"A": "1"}),
            BuildSource(folder, platform="linux/arm64"),
            BuildSource(folder, stage="linux/arm64"),
        ):
            seen.append(digest_of(folder, source))

        assert len(set(seen)) == len(seen)

    def test_the_order_of_arguments_and_what_is_ignored_do_not_count(self, folder: Path) -> None:
        write(folder, _dot_dockerignore="*.log", a="1")
        first = digest_of(folder, BuildSource(folder, build_args={"A": "1", "B": "2"}))
        write(folder, x_dot_log="noise")

        assert digest_of(folder, BuildSource(folder, build_args={"B": "2", "A": "1"})) == first

    def test_it_can_be_ended(self, folder: Path) -> None:
        cancel = CancelToken()
        context = context_of(folder)
        cancel.cancel()

        with pytest.raises(Cancelled):
            context.digest(BuildSource(folder), bases={}, look=cancel.check)


class TestLimits:
    def test_too_much_names_where_most_of_it_is(self, folder: Path) -> None:
        write(folder, models__xtts__weights="x" * 5000, data__rows="x" * 3000, small="x")

        with pytest.raises(InstallFailed) as raised:
            context_of(folder, most_bytes=4000)

        said = str(raised.value)
        assert "has 8.0 kB, and 4.0 kB is the limit" in said
        assert said.index("models/xtts (5.0 kB)") < said.index("data (3.0 kB)")
        assert ".dockerignore" in said

    def test_too_many_files_are_refused(self, folder: Path) -> None:
        write(folder, **{f"many__{number}": "" for number in range(12)})

        with pytest.raises(InstallFailed, match=r"more than 10 files\. The most are in many"):
            context_of(folder, most_files=10)

    def test_a_dockerfile_that_is_no_short_text_is_refused(self, folder: Path) -> None:
        (folder / "Dockerfile").write_bytes(bytes(2**20 + 1))

        with pytest.raises(InstallFailed, match="larger than 1 MB"):
            context_of(folder)
