"""The engines that come with abm keep the whole contract, as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engines.conform import examine
from tests.bundled.running import FOLDERS, load, running_engine

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("name", FOLDERS)
def test_a_bundled_engine_keeps_every_rule(name: str, tmp_path: Path) -> None:
    with running_engine(name, tmp_path) as (url, _):
        findings = list(examine(url, shut_down=True))

    assert len(findings) > 12
    assert [f"{row.rule}: {row.text}" for row in findings if not row.holds] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_shutdown_answers_and_ends_the_process(name: str, tmp_path: Path) -> None:
    with running_engine(name, tmp_path) as (url, process):
        answer = httpx.post(f"{url}/shutdown")

        assert answer.json() == {"status": "shutting_down"}
        assert process.wait(5) == 0


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_engine("espeak-ng", tmp_path_factory.mktemp("samples")) as (url, _):
        load(url)
        yield url


def spoken(url: str, text: str, **parameters: object) -> bytes:
    body = {"text": text, "language": "en", "ttsSpeakerWav": "", "parameters": parameters}
    answer = httpx.post(f"{url}/generate", json=body, timeout=30)
    answer.raise_for_status()
    return answer.content


def test_what_one_engine_speaks_the_other_hears(voice: str, tmp_path: Path) -> None:
    wav = spoken(voice, "one two three four five six", voice="m4")

    with running_engine("pocketsphinx", tmp_path) as (url, _):
        load(url)
        heard = httpx.post(f"{url}/transcribe?language=en", content=wav, timeout=60).json()

    assert heard["text"] == "one two three four five six"
    assert heard["segments"][0]["end"] <= len(wav) / 2 / 22050


def test_a_faster_voice_says_it_in_less_time(voice: str) -> None:
    slow, fast = (spoken(voice, "This takes a while.", speed=speed) for speed in (100, 300))

    assert len(fast) < 0.6 * len(slow)


@pytest.mark.parametrize(
    "parameters", [{"speed": 10_000}, {"speed": "fast"}, {"pitch": -1}, {"voice": "nobody"}]
)
def test_a_parameter_out_of_range_is_refused_by_name(
    voice: str, parameters: dict[str, object]
) -> None:
    body = {"text": "a", "language": "en", "ttsSpeakerWav": "", "parameters": parameters}

    answer = httpx.post(f"{voice}/generate", json=body)

    assert answer.status_code == 400
    assert next(iter(parameters)) in answer.json()["detail"]


def test_silence_is_judged_worse_than_speech(voice: str, tmp_path: Path) -> None:
    speech = spoken(voice, "This recording holds speech from its beginning to its end.")
    silence = speech[:44] + b"\0" * (len(speech) - 44)

    with running_engine("silero-vad", tmp_path) as (url, _):
        load(url)
        scores = [
            httpx.post(f"{url}/transcribe", content=b"").status_code,
            *(_score(url, tmp_path, wav) for wav in (speech, silence)),
        ]

    assert scores[0] == 404
    assert scores[1] > scores[2]


def _score(url: str, samples: Path, wav: bytes) -> int:
    """By `audioPath`, which must lie below the samples folder."""
    (samples / "a.wav").write_bytes(wav)
    answer = httpx.post(f"{url}/analyze", json={"audioPath": "a.wav"}, timeout=60)
    return int(answer.json()["qualityScore"])
