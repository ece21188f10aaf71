"""Whether an image is the newest is judged rightly however it came to its host."""

from __future__ import annotations

import pytest

from hosts.oci.digests import LocalImage, Reason, RemoteImage, Verdict, judge, own_digests
from hosts.oci.manifests import Child
from hosts.oci.platforms import Platform
from hosts.oci.reference import ImageReference

XTTS = ImageReference.parse("ghcr.io/lab/xtts:latest")
AMD64, ARM64, S390X = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64", "s390x"))


def digest(sign: str) -> str:
    return "sha256:" + sign * 64


OLD, INDEX, AMD, ARM, CONFIG, OTHER = (digest(sign) for sign in "0123ab")
MULTI = RemoteImage(INDEX, is_index=True, children=(Child(AMD, AMD64), Child(ARM, ARM64)))
UNREAD = RemoteImage(INDEX, is_index=True)
SINGLE = RemoteImage(AMD, config_digest=CONFIG)


def held(*digests: str, id: str = OTHER, platform: Platform | None = AMD64) -> LocalImage:
    return LocalImage(tuple(f"ghcr.io/lab/xtts@{one}" for one in digests), id, platform)


@pytest.mark.parametrize(
    ("local", "remote", "verdict", "reason"),
    [
        (held(INDEX), MULTI, "current", "same_digest"),
        (held(AMD), SINGLE, "current", "same_digest"),
        (held(INDEX), UNREAD, "current", "same_digest"),
        (held(OLD, INDEX), MULTI, "current", "same_digest"),
        (held(INDEX, OLD), MULTI, "current", "same_digest"),
        (held(OLD, AMD), MULTI, "current", "same_child"),
        (held(AMD), MULTI, "current", "same_child"),
        (held(ARM, platform=ARM64), MULTI, "current", "same_child"),
        (held(ARM, platform=None), MULTI, "current", "same_child"),
        (held(ARM, platform=AMD64), MULTI, "outdated", "other_digest"),
        (held(OLD, id=CONFIG), SINGLE, "current", "same_content"),
        (held(id=CONFIG), SINGLE, "current", "same_content"),
        (held(OLD, id=INDEX), MULTI, "current", "same_content"),
        (held(OLD, id=AMD), MULTI, "current", "same_content"),
        (held(OLD), MULTI, "outdated", "other_digest"),
        (held(OLD), SINGLE, "outdated", "other_digest"),
        (held(INDEX), SINGLE, "outdated", "other_digest"),
        (held(OLD, platform=None), MULTI, "outdated", "other_digest"),
        (held(AMD), UNREAD, "unknown", "index_not_read"),
        (held(OLD, platform=S390X), MULTI, "unknown", "platform_gone"),
        (held(), MULTI, "unknown", "not_pulled"),
        (held(), SINGLE, "unknown", "not_pulled"),
        (LocalImage(("<none>@<none>",)), SINGLE, "unknown", "not_pulled"),
        (LocalImage((f"ghcr.io/other/xtts@{AMD}",)), SINGLE, "unknown", "other_repository"),
        (LocalImage((f"lab/xtts@{AMD}",)), SINGLE, "unknown", "other_repository"),
        (held(OLD), None, "unknown", "never_asked"),
    ],
)
def test_an_image_is_judged_by_all_its_digests(
    local: LocalImage, remote: RemoteImage | None, verdict: str, reason: str
) -> None:
    judged = judge(XTTS, local, remote)

    assert (judged.verdict, judged.reason) == (Verdict(verdict), Reason(reason))
    assert judged.sentence.endswith(".")


def test_a_digest_of_another_repository_makes_nothing_current() -> None:
    local = LocalImage((f"ghcr.io/other/xtts@{AMD}", f"ghcr.io/lab/xtts@{OLD}"), OTHER, AMD64)

    assert judge(XTTS, local, SINGLE).verdict is Verdict.OUTDATED


@pytest.mark.parametrize("spelling", ["python", "library/python", "docker.io/library/python"])
def test_a_repository_is_known_however_it_is_spelled(spelling: str) -> None:
    python = ImageReference.parse("python:3.11")

    assert own_digests(python, [f"{spelling}@{AMD}", "<none>@<none>", "rubbish"]) == {AMD}


def test_the_older_variant_that_a_pull_would_bring_is_the_one_compared() -> None:
    small = Child(ARM, Platform.parse("linux/arm/v6"))
    remote = RemoteImage(INDEX, is_index=True, children=(Child(AMD, AMD64), small))

    judged = judge(XTTS, held(ARM, platform=Platform.parse("linux/arm/v7")), remote)

    assert judged.reason is Reason.SAME_CHILD
