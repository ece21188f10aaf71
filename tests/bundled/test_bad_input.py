"""What people and programs get wrong: a clear status, a detail that names it, nothing lost."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engines.functional import PHRASE_FILE, RECORDED
from tests.bundled.running import load, running_engine

pytestmark = pytest.mark.engine
PCM = PHRASE_FILE.read_bytes()[44:]
RATE = 16_000


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def voice(samples: Path) -> Iterator[str]:
    with running_engine("espeak-ng", samples) as (url, _):
        load(url)
        yield url


@pytest.fixture(scope="module")
def ear(samples: Path) -> Iterator[str]:
    with running_engine("pocketsphinx", samples) as (url, _):
        load(url)
        yield url


@pytest.fixture(scope="module")
def judge(samples: Path) -> Iterator[str]:
    with running_engine("silero-vad", samples) as (url, _):
        load(url)
        yield url


def riff(raw: bytes, *, bits: int, encoding: int = 1, channels: int = 1, rate: int = RATE) -> bytes:
    """A WAV file of raw samples; an encoding above 3 is written as WAVE_FORMAT_EXTENSIBLE."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", encoding, channels, rate, rate * frame, frame, bits)
    if encoding > 3:
        form += struct.pack("<HHIH14x", 22, bits, 0, 1)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST\x03\0\0\0abc\0"
    chunks += b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def phrase() -> list[int]:
    return [value for (value,) in struct.iter_unpack("<h", PCM)]


def forms() -> dict[str, bytes]:
    """The same phrase in the forms that programs write."""
    values = phrase()
    high = struct.pack(f"<{len(values)}i", *(value << 16 for value in values))
    return {
        "8 bits": riff(bytes((value >> 8) + 128 for value in values), bits=8),
        "24 bits": riff(b"".join(high[i + 1 : i + 4] for i in range(0, len(high), 4)), bits=24),
        "32 bits": riff(high, bits=32),
        "extensible": riff(PCM, bits=16, encoding=0xFFFE),
        "float": riff(
            struct.pack(f"<{len(values)}f", *(value / 32768 for value in values)),
            bits=32,
            encoding=3,
        ),
        "stereo": riff(
            b"".join(struct.pack("<hh", value, value) for value in values), bits=16, channels=2
        ),
        "48 kHz": riff(
            struct.pack(f"<{3 * len(values)}h", *(v for v in values for _ in range(3))),
            bits=16,
            rate=48_000,
        ),
        "a size never filled in": riff(PCM, bits=16).replace(
            b"data" + struct.pack("<I", len(PCM)), b"data\xff\xff\xff\xff"
        ),
    }


@pytest.mark.parametrize("form", forms())
def test_a_recording_is_heard_in_every_form(ear: str, form: str) -> None:
    answer = httpx.post(f"{ear}/transcribe?language=en", content=forms()[form], timeout=30)

    assert answer.status_code == 200, answer.text
    assert sum(word in answer.json()["text"].split() for word in RECORDED) >= 5


@pytest.mark.parametrize(
    ("wav", "reason"),
    [
        (b"", "empty"),
        (b"ID3" + bytes(99), "RIFF"),
        (riff(b"", bits=16), "no samples"),
        (riff(PCM, bits=16, encoding=2), "not plain PCM"),
        (riff(PCM, bits=16, channels=0), "0 channels"),
        (riff(PCM, bits=16, rate=3), "3 Hz"),
        (riff(struct.pack("<99f", *[math.nan] * 99), bits=32, encoding=3), "not numbers"),
        (riff(bytes(2 * 1000 * 601), bits=16, rate=1000), "601 s long"),
    ],
    ids=["empty", "mp3", "silent", "adpcm", "no channel", "slow", "nan", "too long"],
)
def test_what_cannot_be_heard_is_refused_with_the_reason(ear: str, wav: bytes, reason: str) -> None:
    answer = httpx.post(f"{ear}/transcribe", content=wav)

    assert (answer.status_code, reason in answer.json()["detail"]) == (400, True), answer.text
    assert httpx.get(f"{ear}/health").json()["status"] == "ready"


def test_an_unknown_language_is_refused_by_name(ear: str) -> None:
    answer = httpx.post(f"{ear}/transcribe?language=tlh", content=PHRASE_FILE.read_bytes())

    assert (answer.status_code, answer.json()["detail"]) == (400, "Language not supported: tlh")


def test_what_was_expected_and_not_heard_is_told(ear: str) -> None:
    body: dict[str, Any] = {
        "audioBase64": base64.b64encode(PHRASE_FILE.read_bytes()).decode(),
        "expectedText": "One, two, three; four, seventy, six.",
    }
    rule = {"pattern": "seventy", "replacement": "five", "isRegex": False, "isActive": True}

    plain = httpx.post(f"{ear}/analyze", json=body, timeout=30).json()
    ruled = httpx.post(
        f"{ear}/analyze", json={**body, "pronunciationRules": [rule]}, timeout=30
    ).json()

    notes = plain["details"]["infoBlocks"]["textDeviations"]
    assert notes[0]["details"] == {"expected": "seventy", "detected": "five"}
    assert plain["qualityScore"] < ruled["qualityScore"] == 100


BAD_SPEECH: list[tuple[dict[str, Any] | bytes, int, str]] = [
    ({"ttsSpeakerWav": 5}, 422, "ttsSpeakerWav"),
    ({"ttsSpeakerWav": [5]}, 422, "ttsSpeakerWav"),
    ({"ttsSpeakerWav": None}, 422, "ttsSpeakerWav"),
    ({"parameters": []}, 422, "parameters"),
    ({"text": ["a"]}, 422, "text"),
    ({"text": " \n"}, 400, "empty"),
    ({"language": ""}, 400, "Language"),
    ({"language": "tlh"}, 400, "tlh"),
    ({"text": "a" * 10_001}, 400, "10000"),
    (b'{"text": "\\ud800", "language": "en", "ttsSpeakerWav": ""}', 422, "surrogates"),
    (b"[1]", 422, "object"),
    (b"{", 422, "JSON"),
    (b"[" * 100_000, 422, "JSON"),
    (b'{"text": "' + b"a" * 2_100_000 + b'"}', 413, "larger"),
]


@pytest.mark.parametrize(
    ("change", "status", "word"),
    BAD_SPEECH,
    ids=[f"{b}-{i}" for i, (_, _, b) in enumerate(BAD_SPEECH)],
)
def test_a_wrong_request_names_what_is_wrong(
    voice: str, change: dict[str, Any] | bytes, status: int, word: str
) -> None:
    good = {"text": "Hello.", "language": "en", "ttsSpeakerWav": ""}
    answer = (
        httpx.post(f"{voice}/generate", content=change)
        if isinstance(change, bytes)
        else httpx.post(f"{voice}/generate", json={**good, **change})
    )

    snake = "tts_speaker_wav" if word == "ttsSpeakerWav" else word
    assert (answer.status_code, snake in answer.text) == (status, True), answer.text
    assert httpx.get(f"{voice}/health").json()["status"] == "ready"


def test_a_sample_is_kept_and_a_bad_one_leaves_it(voice: str, samples: Path) -> None:
    good = PHRASE_FILE.read_bytes()
    url = f"{voice}/samples/upload/-anna_1.x"

    statuses = [
        httpx.post(url, content=good).status_code,
        httpx.post(url, content=b"junk" * 20).status_code,
        httpx.post(f"{voice}/samples/upload/..%2Fout", content=good).status_code,
    ]

    assert statuses == [200, 400, 400]
    assert (samples / "-anna_1.x.wav").read_bytes() == good
    assert not (samples.parent / "out.wav").exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/etc/hostname", 400),
        ("../secret.wav", 400),
        ("missing.wav", 404),
        ("a\0b", 404),
        ("x" * 5000, 404),
        (".", 400),
    ],
)
def test_only_files_below_the_samples_folder_are_read(
    judge: str, samples: Path, path: str, status: int
) -> None:
    (samples.parent / "secret.wav").write_bytes(PHRASE_FILE.read_bytes())

    answer = httpx.post(f"{judge}/analyze", json={"audioPath": path})

    assert (answer.status_code, "detail" in answer.json()) == (status, True), answer.text


def test_a_link_out_of_the_samples_folder_is_not_followed(judge: str, samples: Path) -> None:
    (samples.parent / "secret.wav").write_bytes(PHRASE_FILE.read_bytes())
    (samples / "link.wav").symlink_to(samples.parent / "secret.wav")

    answer = httpx.post(f"{judge}/analyze", json={"audioPath": "link.wav"})

    assert answer.status_code == 400


@pytest.mark.parametrize("value", ["much", None, [1], True])
def test_a_threshold_that_is_no_number_is_422(judge: str, value: object) -> None:
    body = {
        "audioBase64": base64.b64encode(PHRASE_FILE.read_bytes()).decode(),
        "qualityThresholds": {"minAverageVolume": value},
    }

    answer = httpx.post(f"{judge}/analyze", json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == "min_average_volume"


def test_the_callers_thresholds_decide(judge: str) -> None:
    body: dict[str, Any] = {"audioBase64": base64.b64encode(PHRASE_FILE.read_bytes()).decode()}
    strict = {"minAverageVolume": -1.0, "speechRatioIdealMax": 10, "speech_ratio_warning_max": 20}

    kind = {"speechRatioIdealMax": 100, "speechRatioWarningMax": 100}
    scores = [
        httpx.post(f"{judge}/analyze", json={**body, "qualityThresholds": limits}).json()
        for limits in (strict, kind)
    ]

    assert [score["qualityStatus"] for score in scores] == ["defect", "perfect"]
    assert {note["severity"] for note in scores[0]["details"]["infoBlocks"]["findings"]} == {
        "error",
        "warning",
    }
