"""Sizes and platforms of images: asked in the background, never by a page, never too often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.message import Message

import pytest
from django.core.cache import cache
from django.utils import timezone

from catalog.models import CatalogSource, Variant
from catalog.reading import read_catalog
from catalog.sync import write_reading
from engines import tasks, variant_sizes
from engines.variant_budget import spend, spent
from hosts import registry_logins
from hosts.models import Host
from hosts.oci.platforms import Platform
from jobs.models import Event
from tests.engines.factories import fresh, make_host, make_variant, variant_of
from tests.hosts.oci_checked import any_manifest, played
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, Pushed, RealRegistry, real_registry
from tests.hosts.oci_server import Asked, Told, small_server
from tests.hosts.oci_tokens import Dance, dancing

pytestmark = pytest.mark.django_db

needs_registry = pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


def measured(variant: Variant) -> Variant:
    """The row after the clock had its turn."""
    variant_sizes.measure_due()
    return fresh(variant)


def make_due(variant: Variant) -> None:
    Variant.objects.filter(pk=variant.pk).update(measure_at=timezone.now() - timedelta(seconds=1))


def pushed_pair(registry: RealRegistry, name: str) -> dict[str, Pushed]:
    """An index of an image for two machines, of different size."""
    children = {
        "linux/amd64": registry.push(f"{name}:a", layers=(9000, 500), seed=1),
        "linux/arm64": registry.push(f"{name}:b", architecture="arm64", layers=(4000,), seed=9),
    }
    return {**children, "": registry.push_index(f"{name}:latest", children)}


def sizes_of(image: Pushed) -> tuple[int, int]:
    packed = sum(layer[1] for layer in image.layers)
    return packed, sum(layer[2] for layer in image.layers)


@needs_registry
class TestMeasuring:
    def test_an_image_gets_digest_platforms_and_both_sizes(self, registry: RealRegistry) -> None:
        image = registry.push("lab/plain:latest")

        variant = measured(variant_of(f"{registry.address}/lab/plain"))

        assert variant.digest == image.digest
        assert variant.platforms == ["linux/amd64"]
        assert (variant.download_bytes, variant.disk_bytes) == sizes_of(image)
        assert (variant.is_measured, variant.measure_error) == (True, "")

    def test_an_index_counts_for_amd64_where_no_host_says_otherwise(
        self, registry: RealRegistry
    ) -> None:
        images = pushed_pair(registry, "lab/pair")

        variant = measured(variant_of(f"{registry.address}/lab/pair"))

        assert variant.digest == images[""].digest
        assert variant.platforms == ["linux/amd64", "linux/arm64"]
        assert (variant.download_bytes, variant.disk_bytes) == sizes_of(images["linux/amd64"])

    def test_the_most_common_docker_host_decides_which_size_is_told(
        self, registry: RealRegistry
    ) -> None:
        for machine in ("arm64", "amd64", "arm64"):
            make_host(host_type=Host.Type.DOCKER_REMOTE, facts={"machine": machine})
        images = pushed_pair(registry, "lab/pair")

        variant = measured(variant_of(f"{registry.address}/lab/pair"))

        assert (variant.download_bytes, variant.disk_bytes) == sizes_of(images["linux/arm64"])

    def test_what_is_made_for_no_host_is_measured_all_the_same(
        self, registry: RealRegistry
    ) -> None:
        image = registry.push("lab/odd:latest", architecture="riscv64")

        variant = measured(variant_of(f"{registry.address}/lab/odd"))

        assert variant.platforms == ["linux/riscv64"]
        assert variant.download_bytes == sizes_of(image)[0]

    def test_platforms_that_the_source_names_stay(self, registry: RealRegistry) -> None:
        pushed_pair(registry, "lab/pair")

        variant = measured(
            variant_of(f"{registry.address}/lab/pair", platforms=["linux/amd64", "linux/arm/v7"])
        )

        assert variant.platforms == ["linux/amd64", "linux/arm/v7"]
        assert variant.download_bytes

    def test_an_unchanged_image_costs_one_question_a_day(self, registry: RealRegistry) -> None:
        registry.push("lab/daily:latest")
        variant = measured(variant_of(f"{registry.address}/lab/daily"))
        assert variant.measure_at is not None
        assert variant.measure_at - timezone.now() > timedelta(hours=23)
        before = len(registry.requests("lab/daily"))
        events = Event.objects.count()

        assert measured(variant).measured_at == variant.measured_at, "it is not its turn"
        make_due(variant)
        again = measured(variant)

        assert len(registry.requests("lab/daily")) == before + 1
        assert again.measured_at != variant.measured_at
        assert Event.objects.count() == events, "nothing changed, so no page is drawn anew"

    def test_a_tag_that_moved_is_measured_anew(self, registry: RealRegistry) -> None:
        registry.push("lab/moved:latest")
        variant = measured(variant_of(f"{registry.address}/lab/moved"))
        image = registry.push("lab/moved:latest", layers=(20_000,), seed=5)
        make_due(variant)

        variant = measured(variant)

        assert variant.digest == image.digest
        assert (variant.download_bytes, variant.disk_bytes) == sizes_of(image)

    def test_another_image_under_the_same_name_is_measured_at_once(
        self, registry: RealRegistry
    ) -> None:
        registry.push("lab/first:latest")
        image = registry.push("lab/second:latest", layers=(7_000,), seed=6)
        variant = measured(variant_of(f"{registry.address}/lab/first"))
        Variant.objects.filter(pk=variant.pk).update(image=f"{registry.address}/lab/second")

        assert measured(variant).digest == image.digest

    def test_open_pages_hear_of_the_numbers(self, registry: RealRegistry) -> None:
        registry.push("lab/plain:latest")

        variant = measured(variant_of(f"{registry.address}/lab/plain"))

        event = Event.objects.get(topic="catalog")
        assert (event.name, event.ids) == ("catalog.changed", {"pk": variant.entry.source_id})

    def test_a_sync_leaves_what_a_registry_told(self, registry: RealRegistry) -> None:
        image = registry.push("lab/voice:1", seed=3)
        source = CatalogSource.objects.create(name="lab", kind=CatalogSource.Kind.ONLINE)
        write_reading(source, read_catalog(catalog(registry), compatible_with="9"))
        variant = measured(Variant.objects.get())
        assert (variant.download_bytes, variant.platforms) == (sizes_of(image)[0], ["linux/amd64"])

        changed = write_reading(source, read_catalog(catalog(registry), compatible_with="9"))

        assert changed == 0
        assert fresh(variant).download_bytes == sizes_of(image)[0]

    def test_platforms_that_a_source_begins_to_name_count(self, registry: RealRegistry) -> None:
        registry.push("lab/voice:1", seed=3)
        source = CatalogSource.objects.create(name="lab", kind=CatalogSource.Kind.ONLINE)
        write_reading(source, read_catalog(catalog(registry), compatible_with="9"))
        variant = measured(Variant.objects.get())

        named = catalog(registry, "\n        platforms: [linux/arm64]")
        write_reading(source, read_catalog(named, compatible_with="9"))

        assert fresh(variant).platforms == ["linux/arm64"]


def catalog(registry: RealRegistry, more: str = "") -> bytes:
    """A catalog whose author guessed at the size."""
    return f"""
catalog_version: "1"
registry: {registry.address}/lab
engines:
  - name: voice
    display_name: Voice
    engine_type: tts
    abm: {{download_mb: 5000, disk_mb: 9000}}
    variants:
      - tag: "1"{more}
""".encode()


def test_what_has_no_image_or_is_withdrawn_is_not_asked_about() -> None:
    make_variant(name="folder")
    variant_of("registry.invalid/a", name="gone", is_withdrawn=True)
    source = CatalogSource.objects.create(name="off", is_enabled=False)
    source.entries.create(name="off").variants.create(tag="1", image="registry.invalid/b")

    assert list(variant_sizes.due()) == []


class TestFailing:
    def test_what_was_known_stays_and_the_reason_is_told(self) -> None:
        with small_server(lambda asked: Told(200)) as server:
            address = server.address
        variant = measured(variant_of(f"{address}/lab/x", download_bytes=5, digest="d"))

        assert (variant.download_bytes, variant.digest) == (5, "d")
        assert address in variant.measure_error
        assert (variant.measure_failures, variant.is_measured) == (1, False)

    def test_it_is_asked_less_and_less_often(self) -> None:
        def tells(asked: Asked) -> Told:
            return Told(404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}')

        with played(tells) as (_, server):
            variant = variant_of(f"{server.address}/lab/x")
            waits = []
            for _ in range(3):
                variant = measured(variant)
                assert variant.measure_at is not None
                waits.append((variant.measure_at - timezone.now()).total_seconds() / 60)
                assert measured(variant).measure_failures == variant.measure_failures
                make_due(variant)

        for minutes, wait in zip((10, 20, 40), waits, strict=True):
            assert 0.98 * minutes <= wait <= 1.3 * minutes
        assert variant.measure_failures == 3

    def test_a_success_forgets_the_failures(self) -> None:
        with played(any_manifest) as (_, server):
            variant = variant_of(
                f"{server.address}/lab/x", measure_failures=4, measure_error="It was away."
            )
            # It has no configuration, so only the head is answered: what is known is enough.
            Variant.objects.filter(pk=variant.pk).update(
                digest=digest_played(), measured_image=variant.reference, download_bytes=1
            )
            variant = measured(variant)

        assert (variant.measure_failures, variant.measure_error) == (0, "")

    def test_a_registry_that_is_away_is_asked_once_for_all_its_images(self) -> None:
        def away(asked: Asked) -> Told:
            return Told(429, b"", {"Retry-After": "7200"})

        with small_server(away) as server:
            rows = [variant_of(f"{server.address}/lab/x{n}", name=f"x{n}") for n in range(5)]
            variant_sizes.measure_due()

            assert len(server.asked) == 1
        for row in map(fresh, rows):
            assert row.measure_at is not None
            assert row.measure_at - timezone.now() > timedelta(hours=1, minutes=59)

    def test_being_offline_is_one_line_a_day(self, caplog: pytest.LogCaptureFixture) -> None:
        with small_server(lambda asked: Told(200)) as server:
            address = server.address
        variant = variant_of(f"{address}/lab/x")
        for _ in range(3):
            measured(variant)
            make_due(variant)

        lines = [row for row in caplog.messages if "Sizes of images are not known" in row]
        assert len(lines) == 1

    def test_a_name_that_is_none_is_not_asked_about_again_today(self) -> None:
        variant = measured(variant_of("lab/UPPER"))

        assert "capital letters" in variant.measure_error
        assert list(variant_sizes.due()) == []

    def test_the_last_requests_of_docker_hub_are_left_to_installs(self) -> None:
        def nearly_out(asked: Asked) -> Told:
            told = any_manifest(asked)
            headers = {"RateLimit-Remaining": "5;w=21600", "RateLimit-Limit": "100;w=21600"}
            return Told(200, told.body, {**told.headers, **headers})

        with played(nearly_out) as (_, server):
            variant = measured(variant_of(f"{server.address}/lab/x"))

            assert server.count("GET", "/manifests/") == 0
        assert "kept for installs" in variant.measure_error


def digest_played() -> str:
    """Of the one manifest that a played registry has."""
    return any_manifest(Asked("HEAD", "/", {}, Message())).headers["Docker-Content-Digest"]


class TestPace:
    def test_a_minute_has_only_so_many_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(variant_sizes, "REQUESTS_PER_MINUTE", 7)

        def tells(asked: Asked) -> Told:
            return Told(404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}')

        with played(tells) as (_, server):
            for number in range(8):
                variant_of(f"{server.address}/lab/x{number}", name=f"x{number}")
            variant_sizes.measure_due()

            assert len({asked.path for asked in server.asked} - {"/v2/"}) == 4
            assert spent() == 8

    def test_a_person_is_not_held_back(self) -> None:
        with played(lambda asked: Told(404)) as (_, server):
            variant = variant_of(f"{server.address}/lab/x")
            spend(10_000)
            variant_sizes.measure_due()
            assert server.asked == []

            tasks.measure_variant(variant.pk)

            assert server.asked != []

    def test_two_workers_do_not_ask_the_same(self) -> None:
        asked_again = []

        def tells(asked: Asked) -> Told:
            asked_again.append(asked)
            return Told(404)

        with played(tells) as (_, server):
            variant = variant_of(f"{server.address}/lab/x")
            rows = list(variant_sizes.due())
            assert variant_sizes._claim(rows[0])
            assert not variant_sizes._claim(rows[0])
            variant_sizes.measure_due()

        assert asked_again == []
        assert fresh(variant).measure_failures == 0

    def test_what_is_gone_is_measured_quietly(self) -> None:
        tasks.measure_variant(999)
        tasks.measure_variants()


def test_a_private_image_is_asked_for_with_the_stored_login() -> None:
    dance = Dance(private=frozenset({"repository:lab/x:pull"}))
    with dancing(dance) as server:
        variant = variant_of(f"{server.address}/lab/x")
        refused = measured(variant)
        registry_logins.add_login(server.address, username="ada", password="right horse", user=None)
        make_due(variant)
        measured(variant)

    assert "those who log in" in refused.measure_error
    assert any("repository:lab/x:pull" in token for token in dance.given)


@pytest.mark.parametrize(
    ("machines", "offered", "chosen"),
    [
        ((), ("linux/arm64", "linux/amd64"), "linux/amd64"),
        (("arm64",), ("linux/arm64", "linux/amd64"), "linux/arm64"),
        (("arm64",), ("linux/amd64",), "linux/amd64"),
        (("arm64", "amd64", "amd64"), ("linux/arm64", "linux/amd64"), "linux/amd64"),
        ((), ("linux/s390x", "linux/ppc64le"), "linux/s390x"),
        ((), (), "linux/amd64"),
    ],
)
def test_which_platform_is_told(
    machines: tuple[str, ...], offered: tuple[str, ...], chosen: str
) -> None:
    for machine in machines:
        make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"machine": machine})
    make_host(facts={"machine": "riscv64"})

    assert str(variant_sizes.preferred(map(Platform.parse, offered))) == chosen
