"""What fits where, told before the click with the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from accounts.refused import Refused
from catalog.models import Variant
from engines.models import Engine
from engines.services import Wish, install_engine
from engines.verdict import verdict, verdicts
from hosts.models import Host
from tests.engines.cards import make_gpu
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db

GB = 1_000_000_000
FACTS = {
    "system": "linux",
    "machine": "amd64",
    "emulated": [],
    "disk_free": 100 * GB,
    "memory_total": 32 * GB,
    "memory_used": 8 * GB,
    "cards": [],
    "versions": {},
}


def docker_host(*, has_gpu: bool = False, **facts: Any) -> Host:
    return make_host(host_type=Host.Type.DOCKER_LOCAL, has_gpu=has_gpu, facts={**FACTS, **facts})


def image(*, extras: dict[str, Any] | None = None, **values: Any) -> Variant:
    variant = make_variant(folder="", extra={"abm": extras or {}})
    defaults = {"image": "registry.example/tiny", "platforms": ["linux/amd64"]}
    for name, value in {**defaults, **values}.items():
        setattr(variant, name, value)
    variant.save()
    return variant


def test_one_that_fits_says_what_there_is() -> None:
    found = verdict(image(), docker_host())

    assert found.fits
    assert found.text == "fits: linux amd64, 100 GB disk free, 32 GB memory"


def test_another_architecture_is_refused_by_name() -> None:
    found = verdict(image(platforms=["linux/amd64"]), docker_host(machine="arm64"))

    assert not found.fits
    assert found.text == "does not fit: the image is for amd64, this host is arm64"
    assert not found.can_overrule


def test_one_that_is_emulated_is_a_warning() -> None:
    host = docker_host(machine="arm64", emulated=["linux/amd64"])

    found = verdict(image(platforms=["linux/amd64"]), host)

    assert found.fits
    assert "emulated, which is slow" in found.warnings[0]


def test_where_nobody_knows_what_is_emulated_an_admin_may_try() -> None:
    host = docker_host(machine="arm64", emulated=None)

    assert verdict(image(platforms=["linux/amd64"]), host).can_overrule


def test_of_several_platforms_one_can_be_chosen() -> None:
    variant = image(platforms=["linux/amd64", "linux/arm64"])
    host = docker_host()

    assert verdict(variant, host).fits
    assert not verdict(variant, host, platform="linux/arm64").fits


def test_the_disk_is_compared_packed_and_unpacked() -> None:
    variant = image(download_bytes=9 * GB)

    found = verdict(variant, docker_host(disk_free=20 * GB))

    assert "needs 22.5 GB (9.0 GB to download, then unpacked) of disk" in found.text
    assert "20.0 GB are free" in found.text
    assert not found.can_overrule


def test_a_gpu_is_asked_for_and_may_be_overruled() -> None:
    found = verdict(image(needs_gpu=True), docker_host())

    assert found.text == "does not fit: it needs a GPU, and none can be used here"
    assert found.can_overrule


def test_a_card_without_a_runtime_is_named() -> None:
    host = docker_host(cards=[{"name": "RTX 3090", "has_driver": True}])

    assert "containers cannot use RTX 3090 here" in verdict(image(needs_gpu=True), host).text


def test_a_gpu_that_is_there_fits_and_is_named() -> None:
    host = docker_host(has_gpu=True, cards=[{"name": "RTX 3090", "has_driver": True}])

    found = verdict(image(needs_gpu=True), host)

    assert found.fits
    assert "RTX 3090" in found.text


def test_cards_of_another_maker_fit_with_a_word_on_what_they_run() -> None:
    host = docker_host(has_gpu=True)
    make_gpu(host, vendor="amd", name="Radeon", driver="6.10.5")

    found = verdict(image(needs_gpu=True, extras={"min_driver": "550.54"}), host)

    assert found.fits
    assert found.warnings == ("the cards here are no NVIDIA's: it has to be made for ROCm",)


def test_an_old_driver_is_compared_where_it_is_known() -> None:
    variant = image(needs_gpu=True, extras={"min_driver": "550.54"})

    old = verdict(variant, docker_host(has_gpu=True, versions={"NVIDIA driver": "535.129.03"}))
    unknown = verdict(variant, docker_host(has_gpu=True))

    assert "needs NVIDIA driver 550.54, this host has 535.129.03" in old.text
    assert old.can_overrule
    assert unknown.fits


def test_memory_that_is_not_there_is_refused_and_memory_in_use_is_a_warning() -> None:
    variant = image(extras={"memory_mb": 30_000})

    busy = verdict(variant, docker_host())
    small = verdict(variant, docker_host(memory_total=16 * GB))

    assert busy.fits
    assert "24.0 GB are free now" in busy.warnings[0]
    assert "this host has 16.0 GB" in small.text
    assert small.can_overrule


def test_images_and_folders_go_to_hosts_of_their_kind() -> None:
    assert "runs processes" in verdict(image(), make_host(facts=FACTS)).text
    assert "runs images" in verdict(make_variant(name="small"), docker_host()).text


def test_a_host_that_is_down_says_why() -> None:
    host = docker_host()
    host.state, host.state_text = Host.State.UNREACHABLE, "Docker is not running."

    assert verdict(image(), host).text == "Docker is not running."


def test_the_dialog_leaves_out_docker_where_there_is_none() -> None:
    fits = docker_host()
    make_host(host_type=Host.Type.DOCKER_LOCAL, state=Host.State.CLIENT_MISSING)
    variant = image()

    assert [row.host for row in verdicts(variant.entry, variant)] == [fits]


class TestInstall:
    @pytest.fixture
    def admin(self) -> User:
        return make_user("admin")

    def test_what_does_not_fit_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(Refused, match=r"needs a GPU.*An admin may install it all the same"):
            install_engine(image(needs_gpu=True), host=docker_host(), user=make_user("operator"))

    def test_an_admin_overrules_and_it_runs_without_the_gpu(self, admin: User) -> None:
        host = docker_host()

        install_engine(image(needs_gpu=True), host=host, user=admin, wish=Wish(overrules=True))

        assert Engine.objects.get(host=host).uses_gpu is False

    def test_an_operator_does_not_overrule(self) -> None:
        with pytest.raises(Refused) as refused:
            install_engine(
                image(needs_gpu=True),
                host=docker_host(),
                user=make_user("operator"),
                wish=Wish(overrules=True),
            )

        assert refused.value.status == 403

    def test_nobody_overrules_a_full_disk(self, admin: User) -> None:
        with pytest.raises(Refused, match="of disk"):
            install_engine(
                image(download_bytes=90 * GB),
                host=docker_host(),
                user=admin,
                wish=Wish(overrules=True),
            )

    def test_a_licence_is_agreed_to_once_by_somebody(self, admin: User) -> None:
        variant = image(extras={"consent": "Coqui Public Model License"})
        host = docker_host()
        with pytest.raises(Refused, match="Coqui Public Model License"):
            install_engine(variant, host=host, user=admin)

        install_engine(variant, host=host, user=admin, wish=Wish(consents=True))

        engine = Engine.objects.get(host=host, name=variant.entry.name)
        assert engine.consent_text == "Coqui Public Model License"
        assert engine.consented_by == admin
        assert engine.consented_at is not None

    def test_another_engine_of_that_name_stands_in_the_way(self) -> None:
        host = docker_host()
        variant = image()
        other = make_engine(host=host, name=variant.entry.name)

        (row,) = verdicts(variant.entry, variant)

        assert not row.fits
        assert row.engine == other
