"""Image names are read as Docker reads them, and refused with a sentence where it refuses them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosts.oci.platforms import Platform, best
from hosts.oci.reference import BadReference, ImageReference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("python", "docker.io/library/python:latest", "python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim", "python:3.11-slim"),
        ("someone/whisper", "docker.io/someone/whisper:latest", "someone/whisper:latest"),
        ("docker.io/python", "docker.io/library/python:latest", "python:latest"),
        ("index.docker.io/python:1", "docker.io/library/python:1", "python:1"),
        ("index.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1"),
        ("docker.io/library/python", "docker.io/library/python:latest", "python:latest"),
        ("library/python", "docker.io/library/python:latest", "python:latest"),
        ("docker.io/library/a/b:1", "docker.io/library/a/b:1", "library/a/b:1"),
        ("ghcr.io/x/y:cpu", "ghcr.io/x/y:cpu", "ghcr.io/x/y:cpu"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
        ("nas:5000/x:1", "nas:5000/x:1", "nas:5000/x:1"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("NAS/x", "NAS/x:latest", "NAS/x:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
        ("docker.io/some.host/x:1", "docker.io/some.host/x:1", "docker.io/some.host/x:1"),
        (f"a@{DIGEST}", f"docker.io/library/a@{DIGEST}", f"a@{DIGEST}"),
        (f"r.io:1/a/b:t@{DIGEST}", f"r.io:1/a/b:t@{DIGEST}", f"r.io:1/a/b:t@{DIGEST}"),
        ("r.io/a__b/c--d/e.f_g", "r.io/a__b/c--d/e.f_g:latest", "r.io/a__b/c--d/e.f_g:latest"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, canonical: str, familiar: str) -> None:
    reference = ImageReference.parse(text)

    assert (reference.canonical, str(reference)) == (canonical, familiar)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("0123456789abcdef" * 4, "id of an image"),
        ("Whisper", "capital letters"),
        ("r.io/Whisper:1", "capital letters"),
        ("x:", "tag"),
        ("x:.1", "tag"),
        ("x:-1", "tag"),
        ("x:" + "1" * 129, "tag"),
        ("x:a b", "tag"),
        ("x:ä", "tag"),
        ("x@", "digest"),
        ("x@sha256:abc", "digest"),
        ("x@sha256:" + "A" * 64, "digest"),
        ("x@md5:" + "a" * 32, "digest"),
        (f"x@{DIGEST}@{DIGEST}", "digest"),
        ("a//b", "not an image name"),
        ("/a", "not an image name"),
        ("a/", "not an image name"),
        ("a___b", "not an image name"),
        ("a..b/c", "registry"),
        ("a._b", "not an image name"),
        ("-a", "not an image name"),
        ("a-", "not an image name"),
        ("r.io/../etc", "not an image name"),
        ("https://r.io/x", "registry"),
        ("r.io:0/x", "port"),
        ("r.io:65536/x", "port"),
        ("r.io:/x", "registry"),
        ("-r.io/x", "registry"),
        ("r.io/" + "a" * 260, "too long"),
        ("x\n", "not an image name"),
        (" x", "not an image name"),
        ("x:1\n", "tag"),
    ],
)
def test_what_docker_refuses_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BadReference) as caught:
        ImageReference.parse(text)

    assert why in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_digest_goes_before_the_tag_when_the_registry_is_asked() -> None:
    assert ImageReference.parse(f"x:1@{DIGEST}").version == DIGEST
    assert ImageReference.parse("x:1").version == "1"
    assert ImageReference.parse("x:1").at(DIGEST).familiar == f"x@{DIGEST}"
    with pytest.raises(BadReference):
        ImageReference.parse("x:1").at("sha256:no")


LOW = string.ascii_lowercase + string.digits
word = st.text(LOW, min_size=1, max_size=6)
part = st.builds(
    lambda first, joins: first + "".join(sign + more for sign, more in joins),
    word,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---"]), word), max_size=2),
)
label = st.from_regex(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,4}[a-zA-Z0-9])?", fullmatch=True)
host = st.one_of(
    st.just("localhost"),
    st.just("docker.io"),
    st.just("[fe80::1]"),
    st.lists(label, min_size=2, max_size=3).map(".".join),
)
registry = st.builds(
    lambda name, port: f"{name}:{port}" if port else name,
    host,
    st.one_of(st.none(), st.integers(1, 65535)),
)
names = st.builds(
    ImageReference,
    registry,
    st.lists(part, min_size=2, max_size=4).map("/".join),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.sampled_from(["", DIGEST]),
)


@given(names)
def test_what_is_written_down_is_read_back_the_same(reference: ImageReference) -> None:
    if reference.registry == "index.docker.io":
        return

    assert ImageReference.parse(reference.canonical) == reference
    assert ImageReference.parse(reference.familiar) == reference


@given(st.text(alphabet=st.sampled_from("aZ0.-_/:@[]+ %\n\x00ä" + LOW), max_size=40))
def test_any_text_is_a_name_that_comes_back_or_a_sentence(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except BadReference as error:
        assert str(error).endswith(".")
        return

    assert ImageReference.parse(reference.canonical) == reference
    assert ImageReference.parse(reference.familiar) == reference
    assert reference.tag or reference.digest
    assert not set(reference.canonical) & set(" %\n\x00?#")


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v6"),
        ("linux/arm/v5", None),
        ("linux/s390x", None),
        ("windows/amd64", None),
    ],
)
def test_a_platform_is_chosen_that_runs_without_emulation(wanted: str, chosen: str | None) -> None:
    offered = [
        Platform.parse(text)
        for text in ("unknown/unknown", "linux/amd64", "linux/arm64/v8", "linux/arm/v6")
    ]

    found = best(offered, Platform.parse(wanted))

    assert (str(found) if found else None) == chosen


def test_the_closest_variant_is_chosen() -> None:
    offered = [Platform.parse(f"linux/arm/{variant}") for variant in ("v5", "v7", "v6")]

    assert str(best(offered, Platform.parse("linux/armv7l"))) == "linux/arm/v7"


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="platform"):
        Platform.parse(text)
