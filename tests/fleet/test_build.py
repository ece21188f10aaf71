"""Building on a real daemon: what comes of it, and what is told on the way."""

from __future__ import annotations

import os

import pytest

from hosts.oci.reference import ImageReference
from hosts.runners.docker.build import COMMIT_LABEL, HASH_LABEL
from hosts.runners.docker.build_source import GitSource
from lab.made_images import tiny_layer, tiny_run
from lab.place import PROJECT
from lab.pushing import Layer, Pusher
from lab.registry import Registry
from tests.fleet.building import TAG, Builder, builder, forget, lines
from tests.hosts.test_git_source import git

pytestmark = pytest.mark.fleet
__all__ = ["builder"]


class TestWhatComesOfIt:
    def test_a_folder_becomes_an_image_step_by_step(self, builder: Builder) -> None:
        forget(builder.client, builder.base)
        builder.write(
            "ARG WHO=nobody\nFROM BASE\nARG WHO\nCOPY a.txt /a.txt\nRUN echo hello $WHO > /b.txt",
            {"a.txt": "from the folder"},
        )

        told, image = builder.run(build_args={"WHO": "ada"}, labels={"my.label": "x"})

        assert builder.text(image, "/a.txt") == "from the folder"
        assert builder.text(image, "/b.txt") == "hello ada"
        assert any(line.startswith("Step 3/") for line in lines(told))
        keys = list(dict.fromkeys(progress.step for progress in told))
        assert keys == ["context", "base", "build"]
        for key in keys:
            shares = [p.fraction for p in told if p.step == key and p.fraction is not None]
            assert shares == sorted(shares), key
            assert shares[-1] == 1 or key == "context"
        found = builder.client.images.get(TAG.familiar)
        assert found.id == image.id
        assert found.labels[HASH_LABEL] == image.digest
        assert found.labels["my.label"] == "x"
        assert image.platform == "linux/amd64"
        assert not image.was_here

    def test_the_base_is_pulled_with_a_bar_and_only_once(
        self, builder: Builder, pusher: Pusher, own_images: Registry
    ) -> None:
        noise = Layer.of_files({"noise": os.urandom(1_000_000)})
        pusher.push("own/base", "1", [tiny_layer(), noise], run=tiny_run())
        builder.write(f"FROM {own_images.address}/own/base:1\nRUN echo once")

        first, _ = builder.run()
        second, _ = builder.run(is_fresh=True)

        assert any(progress.layers for progress in first if progress.step == "base")
        assert any("base:1 is on lab" in line for line in lines(first))
        assert not any(progress.line for progress in second if progress.step == "base")

    def test_unchanged_means_no_build(self, builder: Builder) -> None:
        builder.write("FROM BASE\nCOPY . /x", {"a.txt": "1"})
        _, first = builder.run()

        other = ImageReference.parse("abm-test/other:2")
        told, second = builder.run(tag=other)

        assert second.was_here
        assert second.id == first.id
        assert builder.client.images.get(other.familiar).id == first.id
        assert any("Nothing has changed" in line for line in lines(told))
        assert not any(line.startswith("Step") for line in lines(told))

    def test_a_changed_byte_means_a_build(self, builder: Builder) -> None:
        builder.write("FROM BASE\nCOPY . /x", {"a.txt": "1"})
        _, first = builder.run()
        builder.write("FROM BASE\nCOPY . /x", {"a.txt": "2"})

        _, second = builder.run()

        assert second.id != first.id
        assert builder.text(second, "/x/a.txt") == "2"

    def test_without_cache_every_step_is_run_again(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN busybox date +%s%N > /when")
        _, first = builder.run()

        told, second = builder.run(is_fresh=True)

        assert second.id != first.id
        assert not any("Using cache" in line for line in lines(told))

    def test_cached_steps_are_told(self, builder: Builder) -> None:
        builder.write("FROM BASE\nRUN echo same\nCOPY a.txt /", {"a.txt": "1"})
        builder.run()
        builder.write("FROM BASE\nRUN echo same\nCOPY a.txt /", {"a.txt": "2"})

        told, _ = builder.run()

        assert any("Using cache" in line for line in lines(told))

    def test_the_dockerfile_may_lie_apart_from_the_context(self, builder: Builder) -> None:
        builder.write("FROM nothing-of-that-name")
        builder.write("FROM BASE\nCOPY a.txt /", {"inner/a.txt": "inner", "docker/own": ""})
        (builder.context / "Dockerfile").rename(builder.context / "docker" / "own")

        _, image = builder.run(sub_folder="inner", dockerfile="../docker/own")

        assert builder.text(image, "/a.txt") == "inner"

    def test_a_repository_is_built_at_its_tag_and_leaves_nothing_behind(
        self, builder: Builder
    ) -> None:
        builder.write("FROM BASE\nCOPY tts/a.txt /", {"tts/a.txt": "tagged"})
        (builder.context / "Dockerfile").rename(builder.context / "tts" / "Dockerfile")
        git(builder.context, "init", "--quiet", "--initial-branch=main", ".")
        git(builder.context, "add", "--all")
        git(builder.context, "commit", "--quiet", "-m", "one")
        git(builder.context, "tag", "v1")
        (builder.context / "tts" / "a.txt").write_text("later")
        git(builder.context, "commit", "--quiet", "--all", "-m", "two")

        told, image = builder.run(
            root=GitSource(f"file://{builder.context}", "v1"), dockerfile="tts/Dockerfile"
        )

        assert builder.text(image, "/a.txt") == "tagged"
        assert image.commit == git(builder.context, "rev-parse", "v1")
        assert builder.client.images.get(image.id).labels[COMMIT_LABEL] == image.commit
        assert told[0].step == "fetch"
        assert list((builder.folder / "work").iterdir()) == []

    def test_a_stage_can_be_asked_for(self, builder: Builder) -> None:
        builder.write("FROM BASE AS first\nRUN echo 1 > /n\nFROM first\nRUN echo 2 > /n")

        _, image = builder.run(stage="first")

        assert builder.text(image, "/n") == "1"

    def test_a_seeds_engine_is_built_from_the_top_of_its_repository(
        self, builder: Builder, registry_address: str
    ) -> None:
        _, image = builder.run(
            root=PROJECT / "bundled",
            dockerfile="text/pysbd/Dockerfile",
            build_args={"BASE_IMAGE": "python:3.11-slim"},
            network="host",
            stage="",
        )

        assert "pysbd" in builder.text(image, "/app/engine.yaml")
