"""Files of a folder here, without Docker: listed, summed, deleted, and never beyond it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hosts.runners.base import HostNotReady, RunnerError
from hosts.runners.container import Mount
from hosts.runners.docker import stored_files
from hosts.runners.docker.stored_files import delete_entry, is_empty, list_files


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name, size in (("xtts/model.pth", 500), ("xtts/config.json", 20), ("vits.onnx", 900)):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    return folder


@pytest.fixture
def place(models: Path) -> Mount:
    return Mount(str(models), "/app/external_models")


def test_files_are_listed_with_their_sizes(place: Mount, models: Path) -> None:
    os.utime(models / "vits.onnx", (1_795_249_426, 1_795_249_426))
    found = list_files(place, is_here=True)

    assert {file.path: file.size for file in found.files} == {
        "vits.onnx": 900,
        "xtts/config.json": 20,
        "xtts/model.pth": 500,
    }
    assert found.files[0].changed_at.timestamp() == 1_795_249_426
    assert found.size == 1420 and found.is_whole


def test_models_are_summed_by_what_lies_at_the_top(place: Mount) -> None:
    entries = list_files(place, is_here=True).entries

    assert list(entries.items()) == [("vits.onnx", 900), ("xtts", 520)]


def test_links_are_not_followed(place: Mount, models: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (models / "away").symlink_to(tmp_path / "secret")
    (models / "file").symlink_to(tmp_path / "secret" / "key")

    assert not any("key" in file.path for file in list_files(place, is_here=True).files)
    assert len(list_files(place, is_here=True).files) == 3


def test_more_files_than_are_listed_are_told(place: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "MOST_FILES", 2)
    found = list_files(place, is_here=True)

    assert len(found.files) == 2 and not found.is_whole


def test_a_folder_with_empty_folders_only_is_empty(place: Mount, tmp_path: Path) -> None:
    (tmp_path / "new" / "models").mkdir(parents=True)

    assert is_empty(Mount(str(tmp_path / "new"), "/m"), is_here=True)
    assert not is_empty(place, is_here=True)


def test_a_model_is_deleted_and_no_other(place: Mount, models: Path) -> None:
    delete_entry(place, "xtts", is_here=True)
    delete_entry(place, "xtts", is_here=True)

    assert list_files(place, is_here=True).entries == {"vits.onnx": 900}


def test_a_link_is_deleted_and_not_what_it_leads_to(
    place: Mount, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (models / "away").symlink_to(tmp_path / "kept")
    delete_entry(place, "away", is_here=True)

    assert (tmp_path / "kept").is_dir() and not (models / "away").is_symlink()


@pytest.mark.parametrize("path", ["", "..", "../kept", "xtts/../../kept", "/etc", "away/file", "."])
def test_nothing_outside_is_deleted(place: Mount, models: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (models / "away").symlink_to(tmp_path / "kept")
    with pytest.raises(RunnerError, match="no file below"):
        delete_entry(place, path, is_here=True)

    assert (tmp_path / "kept" / "file").is_file() and (models / "vits.onnx").is_file()


def test_without_a_helper_the_way_out_is_told(place: Mount) -> None:
    with pytest.raises(HostNotReady, match="Install an engine there first"):
        list_files(place, is_here=False)
