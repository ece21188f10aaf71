"""Answers of engines become words and numbers that a person reads."""

from __future__ import annotations

import shlex

from engines.results import curl_of, quality_of, segments_of


def test_a_quality_report_has_units_and_no_translation_keys() -> None:
    report = quality_of(
        {
            "qualityScore": 72,
            "qualityStatus": "warning",
            "details": {
                "fields": [
                    {"key": "quality.fields.speechRatio", "value": 81.456, "type": "percent"},
                    {"key": "quality.fields.maxSilence", "value": 1.5, "type": "seconds"},
                    {"key": "quality.fields.peakVolumeDb", "value": None, "type": "number"},
                ],
                "infoBlocks": {
                    "silence": [{"text": "quality.issues.longSilence", "severity": "warning"}]
                },
            },
        }
    )

    assert report is not None
    assert [(row.label, row.value) for row in report.fields] == [
        ("Speech ratio", "81.46 %"),
        ("Max silence", "1.5 s"),
        ("Peak volume dB", "—"),
    ]
    assert report.notes[0].text == "Long silence"


def test_an_answer_without_a_score_is_no_report() -> None:
    assert quality_of({"text": "hello"}) is None


def test_segments_that_are_too_long_are_told() -> None:
    rows = [{"text": "a", "status": "ok", "length": 1}, {"text": "bb", "status": "failed"}, 3]

    found = segments_of({"segments": rows})

    assert [(row.length, row.is_too_long) for row in found] == [(1, False), (2, True)]


def test_the_curl_line_survives_a_shell() -> None:
    line = curl_of("http://127.0.0.1:1", "/generate", {"text": "it's; $(rm)", "language": "en"})

    words = shlex.split(line)

    assert words[0] == "curl"
    assert "it's; $(rm)" in words[words.index("-d") + 1]
