"""The workflows: their steps of shell are done here; what only GitHub can do is read at least."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from abm.settings import VERSION
from bundled.build_catalog import engine_files

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$|uses: \./")
ENGINES = {file.parent.name for file in engine_files()}
SAYING = '#!/bin/sh\necho "${0##*/}" "$@"\n'


def jobs(name: str) -> dict[str, Any]:
    text = (ROOT / ".github/workflows" / f"{name}.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return found


def step(workflow: str, job: str, beginning: str) -> dict[str, Any]:
    """The step whose name or id begins so."""
    for each in jobs(workflow)[job]["steps"]:
        if str(each.get("name", each.get("id", ""))).startswith(beginning):
            found: dict[str, Any] = each
            return found
    raise AssertionError(f"{workflow}.yml has no step {beginning} in {job}")


def done(script: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do a step as a runner does; `docker` and `gh` only say what they were asked for."""
    for name in ("docker", "gh"):
        program = place / name
        program.write_text(SAYING)
        program.chmod(0o755)
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=ROOT,
        env={"PATH": f"{place}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_action_is_pinned_by_its_hash(file: Path) -> None:
    loose = [
        line
        for line in file.read_text().splitlines()
        if "uses:" in line and not PINNED.search(line)
    ]

    assert not loose


@pytest.mark.parametrize(("tag", "status"), [(f"v{VERSION}", 0), ("v99.0.0", 1)])
def test_a_tag_that_is_not_the_version_ends_the_release(
    tag: str, status: int, tmp_path: Path
) -> None:
    told = done(step("release", "version", "The tag says")["run"], tmp_path, GITHUB_REF_NAME=tag)

    assert told.returncode == status
    assert (VERSION in told.stdout) is bool(status)


def test_an_engine_s_image_is_named_in_small_letters_by_its_version(tmp_path: Path) -> None:
    output = tmp_path / "output"
    named = done(
        step("release", "engines", "name")["run"],
        tmp_path,
        GITHUB_REPOSITORY="Some/Abm",
        GITHUB_REF_NAME="v1.2.3-rc1",
        GITHUB_OUTPUT=str(output),
        ENGINE="tts/espeak-ng",
    )

    assert named.returncode == 0
    assert output.read_text() == "tags=ghcr.io/some/abm/espeak-ng:1.2.3-rc1\n"


def test_latest_moves_for_every_image_when_all_are_there(tmp_path: Path) -> None:
    moving = step("release", "publish", "latest")
    moved = done(
        moving["run"], tmp_path, GITHUB_REPOSITORY="Some/Abm", GITHUB_REF_NAME="v1.2.3"
    ).stdout.splitlines()

    whole = {"ghcr.io/some/abm", *(f"ghcr.io/some/abm/{name}" for name in ENGINES)}
    assert set(moved) == {
        f"docker buildx imagetools create --tag {image}:latest {image}:1.2.3" for image in whole
    }
    assert "'-'" in moving["if"]
    assert set(jobs("release")["publish"]["needs"]) == {"abm", "engines"}
    assert "test" in jobs("release")["abm"]["needs"]
    assert "test" in jobs("release")["engines"]["needs"]
    assert step("release", "abm", "meta")["with"]["flavor"] == "latest=false"


def test_the_release_publishes_every_bundled_engine_for_both_platforms() -> None:
    engines = jobs("release")["engines"]

    assert {Path(one).name for one in engines["strategy"]["matrix"]["engine"]} == ENGINES
    for job in ("abm", "engines"):
        (built,) = (
            each["with"]
            for each in jobs("release")[job]["steps"]
            if "build-push" in each.get("uses", "")
        )
        assert built["platforms"] == "linux/amd64,linux/arm64", job
        assert (built["sbom"], built["provenance"]) == (True, "mode=max"), job


@pytest.mark.parametrize(("tag", "how"), [("v1.2.3", "--latest"), ("v1.2.3-rc1", "--prerelease")])
def test_only_a_version_without_a_suffix_is_announced(tag: str, how: str, tmp_path: Path) -> None:
    script = step("release", "publish", "The release")["run"]
    words = done(script, tmp_path, GITHUB_REF_NAME=tag).stdout.split()

    assert words[:5] == ["gh", "release", "create", tag, how]
    attached = [word for word in words[5:] if not word.startswith("--")]
    assert "catalog.yaml" in attached
    assert all((ROOT / name).is_file() for name in attached if name != "catalog.yaml")
