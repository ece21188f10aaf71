"""What a build is made from lies below its top folder, whatever its paths and links say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts.runners.base import InstallFailed
from hosts.runners.docker.build_source import dockerfile_of, folder_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "tts" / "xtts").mkdir(parents=True)
    (top / "tts" / "xtts" / "Dockerfile").write_text("FROM scratch")
    return top


def test_a_dockerfile_is_seen_from_the_context(folder: Path) -> None:
    wanted = folder / "tts" / "xtts" / "Dockerfile"

    assert dockerfile_of(folder, folder_below(folder, ""), "tts/xtts/Dockerfile") == wanted
    assert dockerfile_of(folder, folder_below(folder, "tts/xtts"), "") == wanted
    assert dockerfile_of(folder, folder / "tts", "../tts/xtts/Dockerfile") == wanted


@pytest.mark.parametrize("sub_folder", ["..", "../other", "/etc", "out", "out/inner", "a\0b"])
def test_a_sub_folder_cannot_leave_the_top(folder: Path, tmp_path: Path, sub_folder: str) -> None:
    (tmp_path / "other" / "inner").mkdir(parents=True)
    (folder / "out").symlink_to(tmp_path / "other")

    with pytest.raises(InstallFailed, match="leads out of what is built"):
        folder_below(folder, sub_folder)


@pytest.mark.parametrize("dockerfile", ["../secret", "/etc/passwd", "link"])
def test_a_dockerfile_cannot_lie_outside(folder: Path, tmp_path: Path, dockerfile: str) -> None:
    (tmp_path / "secret").write_text("FROM x")
    (folder / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(InstallFailed, match="leads out of what is built"):
        dockerfile_of(folder, folder, dockerfile)


def test_a_missing_sub_folder_is_named(folder: Path) -> None:
    with pytest.raises(InstallFailed, match="no folder whisper to build from"):
        folder_below(folder, "whisper")


def test_a_link_in_circles_ends(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")

    with pytest.raises(InstallFailed, match="leads out"):
        folder_below(folder, "loop")
