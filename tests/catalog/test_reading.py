"""A catalog's text: what is understood, what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.parameters import read_parameters
from catalog.reading import CatalogUnreadable, folder_hash, read_catalog, read_folder
from catalog.safe_yaml import UnreadableYaml, load

ENGINE: dict[str, Any] = {"name": "tiny", "display_name": "Tiny", "engine_type": "tts"}


def catalog_of(*engines: Any, **head: Any) -> bytes:
    return yaml.safe_dump({"catalog_version": "1.0", **head, "engines": list(engines)}).encode()


def read(content: bytes) -> Any:
    return read_catalog(content, compatible_with="1.1.2")


def refusal(content: bytes) -> str:
    with pytest.raises(CatalogUnreadable) as refused:
        read(content)
    return str(refused.value)


def problem(**values: Any) -> str:
    reading = read(catalog_of({**ENGINE, **values}))
    assert reading.engines == ()
    (said,) = reading.problems
    return str(said)


def test_the_seeds_catalog_is_read_whole(seed_catalog: bytes) -> None:
    reading = read(seed_catalog)

    names = [found.definition.name for found in reading.engines]
    assert sorted(names) == sorted(
        [
            "xtts",
            "chatterbox",
            "vibevoice",
            "debug-tts",
            "whisper",
            "debug-stt",
            "spacy",
            "debug-text",
            "silero-vad",
            "debug-audio",
        ]
    )
    assert reading.problems == ()
    assert sum(len(found.definition.variants) for found in reading.engines) == 11
    assert reading.registry == "ghcr.io/digijoe79/audiobook-maker-engines"
    whisper = next(found for found in reading.engines if found.definition.name == "whisper")
    assert whisper.image == "ghcr.io/digijoe79/audiobook-maker-engines/whisper"
    assert [(row.tag, row.requires_gpu) for row in whisper.definition.variants] == [
        ("latest", True),
        ("cpu", False),
    ]


def test_no_label_of_the_seed_is_a_translation_key(seed_catalog: bytes) -> None:
    shown = []
    for found in read(seed_catalog).engines:
        fields = found.definition.entry_fields()
        for parameter in read_parameters(fields["parameters"]).values():
            shown += [parameter.label, parameter.description, parameter.category]

    assert "Pitch" in shown
    assert [text for text in shown if "settings." in text or ".tts." in text] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "web page and not YAML"),
        (b"\n  <html></html>", "web page and not YAML"),
        (b"", "empty"),
        (b"just words", "not a catalog"),
        (b"[1, 2, 3]", "not a catalog"),
        (b"engines: many", "not a catalog: engines"),
        (b"catalog_version: '1.0'", "not a catalog: engines"),
        (b"engines: [\n", "not valid YAML; line 2"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"engines: []\n---\nengines: []", "more than one YAML document"),
        (b"engines: []\nengines: []", "stands there twice"),
        (b"engines: !!python/object/apply:os.system [id]", "YAML tag"),
        (b"a: &a [x]\nengines: *a", "anchor or alias"),
        (b"engines: " + b"[" * 5_000 + b"]" * 5_000, "nested more than"),
        (b"engines: [" + b"1," * 300_000 + b"1]", "more than 200000 values"),
        (b"#" * 3_000_000, "larger than 2 MB"),
        (catalog_of(min_app_version="1.2.0"), "asks for Audiobook Maker 1.2.0 or newer"),
        (catalog_of(min_app_version="soon"), "min_app_version"),
        (catalog_of(*[1] * 1_001), "engines"),
    ],
)
def test_what_is_no_catalog_is_refused_in_words(content: bytes, words: str) -> None:
    said = refusal(content)

    assert words in said
    assert len(said) < 600
    assert "Traceback" not in said


def test_a_bomb_of_aliases_is_not_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for number in range(1, 30):
        lines.append(f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]")

    with pytest.raises(UnreadableYaml, match="Line 1 uses an anchor"):
        load("\n".join(lines).encode())


def test_text_that_yaml_1_1_would_turn_stays_text() -> None:
    read_back = load(b"[no, yes, on, 0123, 12:30:00, 1_000, 2026-11-21, 0x1f, 1e400]")

    assert read_back == [
        "no", "yes", "on", "0123", "12:30:00", "1_000", "2026-11-21", "0x1f", "1e400",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"name": "../etc"}, "name"),
        ({"name": 7}, "name"),
        ({"engine_type": "video"}, "engine_type"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 101}, "display_name"),
        ({"variants": [{"tag": 1.10}]}, "variants.0.tag"),
        ({"variants": [{"tag": "a b"}]}, "variants.0.tag"),
        ({"variants": [{"tag": "a"}, {"tag": "a"}]}, "same tag twice"),
        ({"supported_languages": "en"}, "supported_languages"),
        ({"supported_languages": ["english please"]}, "supported_languages.0"),
        ({"upstream": {"url": "javascript:alert(1)"}}, "upstream.url"),
        ({"models": [{"name": "a"}], "default_model": "b"}, "default_model"),
        ({"parameters": {"speed": {"type": "number", "default": 1}}}, "parameters.speed.type"),
        ({"parameters": {"speed": {"type": "int", "default": "x"}}}, "parameters.speed"),
        ({"parameters": {"p": {"type": "int", "default": 9, "max": 3}}}, "parameters.p"),
        ({"parameters": ["speed"]}, "parameters"),
        ({"constraints": {"max_text_length": "long"}}, "max_text_length"),
        ({"capabilities": {"supports_streaming": "maybe"}}, "supports_streaming"),
        ({"schema_version": 3}, "schema_version"),
        ({"min_app_version": "9.0"}, "asks for Audiobook Maker 9.0"),
        ({"abm": {"disk_mb": -1}}, "abm.disk_mb"),
    ],
)
def test_an_entry_of_the_wrong_types_is_left_out_with_its_place(
    values: dict[str, Any], place: str
) -> None:
    said = problem(**values)

    assert place in said


def test_bad_entries_do_not_take_good_ones_along() -> None:
    reading = read(catalog_of("words", ENGINE, 7, {**ENGINE, "display_name": "Again"}))

    assert [found.definition.display_name for found in reading.engines] == ["Tiny"]
    assert [text.partition(":")[0] for text in reading.problems] == ["entry 1", "entry 3", "tiny"]


def test_the_seeds_own_version_is_new_enough() -> None:
    assert read(catalog_of(ENGINE, min_app_version="1.1.2")).problems == ()


def test_keys_that_nobody_knows_are_passed_over() -> None:
    assert len(read(catalog_of({**ENGINE, "colour": "green"}, motto="onward")).engines) == 1


def test_marks_that_turn_text_around_are_dropped() -> None:
    name = "Ti\u202eny\u200b\x00"
    (found,) = read(json.dumps({"engines": [{**ENGINE, "display_name": name}]}).encode()).engines

    assert found.definition.display_name == "Tiny"


class TestFolder:
    """Engines under development."""

    def engine(self, root: Path, place: str, **values: Any) -> Path:
        folder = root / place
        folder.mkdir(parents=True)
        (folder / "engine.yaml").write_text(yaml.safe_dump({**ENGINE, **values}))
        (folder / "server.py").write_text("print('hello')\n")
        return folder

    def test_each_type_has_its_folder(self, tmp_path: Path) -> None:
        self.engine(tmp_path, "tts/one", name="one")
        self.engine(tmp_path, "text_processing/two", name="two", engine_type="text")
        self.engine(tmp_path, "tts/_template", name="template")
        self.engine(tmp_path, "elsewhere/three", name="three")

        reading = read_folder(tmp_path)

        found = {row.definition.name: row.folder for row in reading.engines}
        assert found == {
            "one": str(tmp_path / "tts/one"),
            "two": str(tmp_path / "text_processing/two"),
        }

    def test_a_broken_file_is_named_and_the_rest_is_read(self, tmp_path: Path) -> None:
        self.engine(tmp_path, "tts/good")
        broken = self.engine(tmp_path, "tts/broken")
        (broken / "engine.yaml").write_text("name: [")

        reading = read_folder(tmp_path)

        assert [row.definition.name for row in reading.engines] == ["tiny"]
        assert "tts/broken: It is not valid YAML" in reading.problems[0]

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogUnreadable, match="gone is not there"):
            read_folder(tmp_path / "gone")

    @pytest.mark.parametrize("change", ["content", "new file", "renamed"])
    def test_the_hash_tells_of_a_change(self, tmp_path: Path, change: str) -> None:
        folder = self.engine(tmp_path / ".hidden", "tts/one")
        before = folder_hash(folder)

        if change == "content":
            (folder / "server.py").write_text("print('other')\n")
        elif change == "new file":
            (folder / "voice.txt").write_text("deep")
        else:
            (folder / "server.py").rename(folder / "main.py")

        assert folder_hash(folder) != before

    def test_the_hash_passes_over_what_is_not_the_engines_own(self, tmp_path: Path) -> None:
        folder = self.engine(tmp_path, "tts/one")
        before = folder_hash(folder)

        for place in ("__pycache__", ".git", "environment/lib/site-packages"):
            (folder / place).mkdir(parents=True)
            (folder / place / "file.py").write_text("x = 1")
        (folder / "environment" / "pyvenv.cfg").write_text("home = /usr/bin\n")
        (folder / "loop").symlink_to(folder)

        assert folder_hash(folder) == before

    def test_a_huge_model_beside_the_engine_is_not_read(self, tmp_path: Path) -> None:
        folder = self.engine(tmp_path, "tts/one")
        with (folder / "model.bin").open("wb") as file:
            file.truncate(20_000_000_000)

        assert len(folder_hash(folder)) == 64
