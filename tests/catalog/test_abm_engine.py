"""`manage.py abm engine new|check`: a developer's first minutes."""

from __future__ import annotations

import io
import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command

from catalog.check import check_engine
from catalog.reading import FOLDERS, read_folder
from catalog.scaffold import TYPES
from engines.conform import examine
from tests.bundled.running import BUNDLED, free_port, python_of

START_SECONDS = 30


def abm(*words: object) -> str:
    out = io.StringIO()
    call_command("abm", "engine", *map(str, words), stdout=out)
    return out.getvalue()


def new(root: Path, engine_type: str = "tts", name: str = "mine") -> Path:
    parent = next(key for key, value in FOLDERS.items() if value == engine_type)
    folder = root / parent / name
    abm("new", engine_type, name, folder)
    return folder


def errors(folder: Path) -> list[str]:
    return [finding.text for finding in check_engine(folder) if finding.is_error]


def notes(folder: Path) -> list[str]:
    return [finding.text for finding in check_engine(folder) if not finding.is_error]


def edit(folder: Path, **values: object) -> None:
    file = folder / "engine.yaml"
    definition = yaml.safe_load(file.read_text())
    definition.update(values)
    kept = {key: value for key, value in definition.items() if value is not None}
    file.write_text(yaml.safe_dump(kept))


@pytest.mark.parametrize("engine_type", TYPES)
def test_a_new_engine_is_found_and_nothing_is_wrong_with_it(
    tmp_path: Path, engine_type: str
) -> None:
    folder = new(tmp_path, engine_type)

    (found,) = read_folder(tmp_path).engines
    assert (found.definition.name, found.definition.engine_type) == ("mine", engine_type)
    assert found.folder == str(folder)
    assert check_engine(folder) == []


@pytest.mark.parametrize("name", ["null", "true", "no", "a1-b"])
def test_a_name_that_yaml_would_turn_stays_a_name(tmp_path: Path, name: str) -> None:
    folder = new(tmp_path, name=name)

    assert yaml.safe_load((folder / "engine.yaml").read_text())["name"] == name


def test_its_packages_are_those_that_abm_itself_pins() -> None:
    template = settings.BASE_DIR / "catalog" / "new_engine" / "requirements.txt"
    bundled = (BUNDLED / "text/pysbd/requirements.txt").read_text().splitlines()

    assert template.read_text().splitlines() == [row for row in bundled if "pysbd" not in row]


def test_new_says_where_abm_will_find_it(tmp_path: Path) -> None:
    said = abm("new", "tts", "mine", tmp_path / "tts" / "mine")

    assert f"ENGINES_DIR={tmp_path}" in said


@pytest.mark.parametrize("name", ["Mine", "7up", "a_b", "../x", "", "x" * 65])
def test_a_bad_name_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="no name for an engine"):
        abm("new", "tts", name, tmp_path / "folder")

    assert not (tmp_path / "folder").exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(CommandError, match="is there already"):
            abm("new", "tts", "mine", place)

    assert (tmp_path / "mine").read_text() == "precious"


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CommandError, match="cannot be written"):
        abm("new", "tts", "mine", tmp_path / "file" / "mine")


@pytest.mark.parametrize("folder", ["tts/espeak-ng", "stt/pocketsphinx", "text/pysbd"])
def test_the_engines_that_come_with_abm_pass(folder: str) -> None:
    assert check_engine(BUNDLED / folder) == []


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    assert errors(tmp_path) == ["engine.yaml is missing.", "server.py is missing."]
    assert notes(tmp_path) == [
        "requirements.txt is missing, so nothing is installed for the engine."
    ]


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    assert errors(tmp_path / "gone") == [f"{tmp_path / 'gone'} is not a folder."]


def test_every_fault_is_named_with_its_place(tmp_path: Path) -> None:
    folder = new(tmp_path)
    edit(
        folder,
        engine_type="video",
        supported_languages="en",
        variants=[{"tag": 1.1}],
        parameters={"speed": {"type": "number", "default": 1}},
        upstream={"url": "x"},
    )

    places = [text.partition(":")[0] for text in errors(folder)]

    assert places == [
        "engine.yaml, engine_type",
        "engine.yaml, upstream.url",
        "engine.yaml, variants.0.tag",
        "engine.yaml, supported_languages",
        "engine.yaml, parameters.speed.type",
    ]


def test_check_fails_when_something_must_be_mended(tmp_path: Path) -> None:
    folder = new(tmp_path)
    (folder / "server.py").write_text("import os\ndef x(:\n")

    with pytest.raises(CommandError, match="1 to mend"):
        abm("check", folder)

    assert errors(folder)[0].startswith("server.py, line 2: ")


def test_checking_runs_nothing_of_the_engine(tmp_path: Path) -> None:
    folder = new(tmp_path)
    (folder / "server.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")

    assert errors(folder) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"parametres": {}}, "nobody reads the key parametres; is parameters meant?"),
        ({"variants": None}, "variants is missing"),
        ({"models": None, "default_model": None}, "models is empty"),
        ({"supported_languages": []}, "supported_languages is empty"),
        ({"engine_type": "stt"}, "ENGINES_DIR is searched for stt/mine; this folder lies in tts"),
        ({"installation": {"venv_path": "env"}}, "names env, where no bin/python is"),
        (
            {"parameters": {"top": {"type": "int", "default": 1, "label": "settings.tts.topK"}}},
            "abm shows “Top K”",
        ),
    ],
)
def test_what_is_odd_is_noted(tmp_path: Path, values: dict[str, object], words: str) -> None:
    folder = new(tmp_path)
    edit(folder, **values)

    assert any(words in text for text in notes(folder)), notes(folder)
    assert errors(folder) == []


def test_an_open_version_is_noted(tmp_path: Path) -> None:
    folder = new(tmp_path)
    (folder / "requirements.txt").write_text("# pins\n-r other.txt\nnumpy>=2\nscipy==1.0\n")

    assert [text.partition(" has")[0] for text in notes(folder)] == [
        "requirements.txt, line 3: numpy>=2"
    ]


@pytest.mark.engine
@pytest.mark.parametrize("engine_type", TYPES)
def test_a_new_engine_keeps_the_whole_contract(tmp_path: Path, engine_type: str) -> None:
    folder, port = new(tmp_path, engine_type), free_port()
    environment = {"PATH": os.environ["PATH"], "SAMPLES_DIR": str(tmp_path / "samples")}
    # The environment of a bundled engine holds the same packages, and is made already.
    command = [str(python_of("pysbd")), "server.py", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        broken = [finding for finding in examine(url) if not finding.holds]
    finally:
        process.kill()
        process.wait()

    assert broken == []


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{url}/health", timeout=1)
            return
        except httpx.HTTPError:
            assert process.poll() is None, "it ended while it started"
            assert time.monotonic() < until, "it did not answer"
            time.sleep(0.05)
