"""Which cards an engine gets, whether it fits there, and what it took in the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.http import QueryDict

from accounts.models import User
from accounts.refused import Refused
from engines import gpu_choice
from engines.gpu_choice import before_start, chosen_at_install, gpu_context, set_gpus
from engines.models import Engine
from engines.spec import spec_of
from engines.verdict import verdict
from engines.vram import best_place, need_of, places_on, shortage
from hosts.gpu.handing import Handed
from hosts.gpu.values import Vendor
from hosts.gpus import has_gpu
from hosts.models import Host
from hosts.runners.base import EngineSpec, NoGpu
from hosts.runners.docker.creation import environment_of, settings_of
from hosts.runners.local_environment import engine_environment
from hosts.runners.local_files import files_of
from tests.engines.cards import GIB, A, B, holds, make_gpu
from tests.engines.factories import make_engine, make_host
from tests.engines.test_verdict import docker_host, image
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db


def on_docker(**values: Any) -> Engine:
    return make_engine(host=docker_host(has_gpu=True), **values)


def posted(text: str) -> QueryDict:
    return QueryDict(text)


class TestChoice:
    def test_single_cards_are_asked_for_by_uuid(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=[B, A])

        settings = settings_of(spec_of(engine))

        assert settings["HostConfig"]["DeviceRequests"] == [
            {"Driver": "", "Capabilities": [["gpu"]], "DeviceIDs": [B, A]}
        ]
        assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in settings["Env"]
        assert f"NVIDIA_VISIBLE_DEVICES={B},{A}" in settings["Env"]

    def test_all_cards_are_asked_for_by_count(self) -> None:
        settings = settings_of(spec_of(on_docker(uses_gpu=True)))

        assert settings["HostConfig"]["DeviceRequests"][0]["Count"] == -1

    def test_none_is_none_also_where_nvidias_runtime_is_the_usual_one(self) -> None:
        spec = spec_of(on_docker(uses_gpu=False, gpus=[A]))

        assert "DeviceRequests" not in settings_of(spec)["HostConfig"]
        assert environment_of(spec)["NVIDIA_VISIBLE_DEVICES"] == "void"

    def test_an_amd_card_is_handed_to_a_container_by_its_nodes(self) -> None:
        host = docker_host()
        make_gpu(host, "GPU-18f68e602b8a790f", vendor="amd", name="Radeon")
        engine = make_engine(host=host, uses_gpu=True, gpus=["GPU-18f68e602b8a790f"])

        settings = settings_of(spec_of(engine))

        nodes = [row["PathOnHost"] for row in settings["HostConfig"]["Devices"]]
        assert nodes == ["/dev/kfd", "/dev/dri"]
        assert "DeviceRequests" not in settings["HostConfig"]
        assert "ROCR_VISIBLE_DEVICES=GPU-18f68e602b8a790f" in settings["Env"]
        assert has_gpu(host) is True

    def test_an_intel_card_goes_by_its_number(self) -> None:
        host = make_host()
        make_gpu(host, "00000000-0000-0000-0000-020056a08086", vendor="intel", index=1)
        engine = make_engine(host=host, uses_gpu=True, gpus=[host.gpus.get().uuid])

        cards = spec_of(engine).cards

        assert cards == Handed(("1",), Vendor.INTEL)

    def test_one_that_cannot_be_told_apart_is_refused_in_words(self) -> None:
        host = make_host()
        make_gpu(host, "22ff744c-0000-1000-8059-7b4f2cd0e001", vendor="amd", name="Radeon")

        with pytest.raises(Refused, match="Radeon tells nothing by which ROCm"):
            set_gpus(
                make_engine(host=host),
                posted("gpu-mode=chosen&gpu=22ff744c-0000-1000-8059-7b4f2cd0e001"),
                user=None,
            )

    def test_cards_of_two_makers_are_refused(self) -> None:
        host = make_host()
        make_gpu(host)
        make_gpu(host, "GPU-18f68e602b8a790f", vendor="amd")

        with pytest.raises(Refused, match="one maker"):
            set_gpus(
                make_engine(host=host),
                posted(f"gpu-mode=chosen&gpu={A}&gpu=GPU-18f68e602b8a790f"),
                user=None,
            )

    @pytest.mark.parametrize(
        ("uses_gpu", "gpus", "seen"),
        [(True, [A], A), (True, [A, B], f"{A},{B}"), (True, [], None), (False, [], "")],
    )
    def test_a_process_sees_its_cards_by_uuid(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        uses_gpu: bool,
        gpus: list[str],
        seen: str | None,
    ) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        spec = spec_of(make_engine(uses_gpu=uses_gpu, gpus=gpus))

        environment = engine_environment(spec, files_of(spec, tmp_path), port=1)

        assert environment.get("CUDA_VISIBLE_DEVICES") == seen
        assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"

    def test_what_a_user_set_by_hand_wins(self, tmp_path: Path) -> None:
        own = {"CUDA_VISIBLE_DEVICES": "3"}
        spec = EngineSpec("tiny", source_dir=tmp_path, cards=Handed((A,)), environment=own)

        environment = engine_environment(spec, files_of(spec, tmp_path), port=1)

        assert environment["CUDA_VISIBLE_DEVICES"] == "3"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ

    def test_a_card_without_a_uuid_goes_by_its_number(self) -> None:
        spec = spec_of(on_docker(uses_gpu=True, gpus=["index-1"]))

        assert spec.container is not None and spec.container.cards.names == ("1",)


class TestForm:
    def test_one_card_is_chosen(self) -> None:
        engine = on_docker()
        make_gpu(engine.host)
        make_gpu(engine.host, B)

        set_gpus(engine, posted(f"gpu-mode=chosen&gpu={B}&forbids-cpu=on"), user=None)

        engine.refresh_from_db()
        assert (engine.uses_gpu, engine.gpus, engine.forbids_cpu) == (True, [B], True)

    def test_none_forgets_cards_and_what_was_forbidden(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=[A], forbids_cpu=True)

        set_gpus(engine, posted(f"gpu-mode=none&gpu={A}&forbids-cpu=on"), user=None)

        engine.refresh_from_db()
        assert (engine.uses_gpu, engine.gpus, engine.forbids_cpu) == (False, [], False)

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ("gpu-mode=chosen", "Tick at least one card"),
            ("gpu-mode=chosen&gpu=GPU-other", "has no card GPU-other"),
            ("gpu-mode=some", "none, all, or single"),
            ("", "none, all, or single"),
        ],
    )
    def test_what_makes_no_sense_is_refused_and_nothing_kept(self, form: str, words: str) -> None:
        engine = on_docker(uses_gpu=True)
        make_gpu(engine.host)

        with pytest.raises(Refused, match=words):
            set_gpus(engine, posted(form), user=None)
        engine.refresh_from_db()
        assert (engine.uses_gpu, engine.gpus) == (True, [])

    def test_a_viewer_may_not(self) -> None:
        with pytest.raises(Refused, match="role operator"):
            set_gpus(on_docker(), posted("gpu-mode=all"), user=make_user(User.Role.VIEWER))

    def test_the_card_that_fits_best_is_ticked_where_none_was_chosen(self) -> None:
        engine = on_docker(uses_gpu=True, definition={"abm": {"vram_mb": 8_000}})
        make_gpu(engine.host, total=24)
        make_gpu(engine.host, B, total=12)

        options = gpu_context(engine)["gpu_options"]

        assert [(row.uuid, row.is_chosen, row.is_best) for row in options] == [
            (A, False, False),
            (B, True, True),
        ]

    def test_a_chosen_card_that_is_gone_stays_to_be_seen(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=["GPU-gone"])
        make_gpu(engine.host)

        options = gpu_context(engine)["gpu_options"]

        assert [(row.uuid, row.is_chosen, row.is_gone) for row in options] == [
            (A, False, False),
            ("GPU-gone", True, True),
        ]

    def test_a_card_that_nothing_tells_apart_comes_with_all_alone(self) -> None:
        engine = on_docker()
        make_gpu(engine.host, "22ff744c-0000-1000-8059-7b4f2cd0e001", vendor="amd", index=0)

        context = gpu_context(engine)

        assert context["gpu_options"] == []
        assert [str(card) for card in context["gpu_only_all"]] == ["GPU 0, RTX 3090"]

    def test_the_best_of_the_makers_is_of_those_it_would_get(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, total=8)
        make_gpu(host, "GPU-18f68e602b8a790f", vendor="amd", total=48)

        engine = make_engine(host=host, uses_gpu=True)

        assert chosen_at_install(image(needs_gpu=True), host)["gpus"] == []
        assert [place.uuid for place in gpu_choice.places_of(engine, places_on(host))] == [A]
        assert spec_of(engine).container.cards == Handed(("all",))  # type: ignore[union-attr]

    def test_a_cut_card_is_offered_by_its_parts(self) -> None:
        host = docker_host(has_gpu=True)
        parts = [
            {"uuid": "MIG-1", "name": "3g.20gb", "memory_total": 20 * GIB, "memory_used": 7 * GIB},
            {"uuid": "MIG-2", "name": "1g.5gb", "memory_total": 5 * GIB, "memory_used": None},
        ]
        make_gpu(host, is_mig=True, partitions=parts)

        first, second = places_on(host)

        assert (first.uuid, first.free, first.name) == (
            "MIG-1",
            13 * GIB,
            "GPU 0, RTX 3090, part 3g.20gb",
        )
        assert second.free is None


class TestFit:
    def test_the_fullest_card_that_has_room_is_best(self) -> None:
        host = docker_host()
        make_gpu(host, used=10)
        make_gpu(host, B, used=18)

        assert best_place(places_on(host), 5 * GIB) == places_on(host)[1]
        assert best_place(places_on(host), 8 * GIB) == places_on(host)[0]
        assert best_place(places_on(host), 20 * GIB) is None
        assert best_place(places_on(host), None) == places_on(host)[0]

    def test_a_card_whose_memory_is_unknown_is_never_too_small(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, memory_total=None, memory_used=None)

        assert shortage(places_on(host), 100 * GIB) is None
        assert verdict(image(needs_gpu=True, extras={"vram_mb": 90_000}), host).fits

    def test_who_holds_the_rest_is_named_and_who_could_be_stopped(self) -> None:
        host = docker_host(has_gpu=True)
        xtts = make_engine(host=host, display_name="XTTS v2")
        whisper = make_engine(host=host, display_name="Whisper")
        make_gpu(host, used=20.5, holders=[holds(xtts, 13), holds(whisper, 4)])

        found = verdict(image(needs_gpu=True, extras={"vram_mb": 6_000}), host)

        assert found.fits
        assert found.warnings == (
            "it needs 5.6 GiB of VRAM, GPU 0, RTX 3090 has 3.5 GiB free: XTTS v2 holds 13 GiB, "
            "Whisper holds 4 GiB, other programs hold 3.5 GiB; it would fit after stopping "
            "Whisper (4 GiB)",
        )

    def test_where_one_is_not_enough_several_are_named(self) -> None:
        host = docker_host()
        rows = [holds(make_engine(host=host, display_name=name), 7) for name in ("One", "Two")]
        make_gpu(host, used=21, holders=rows)

        short = shortage(places_on(host), 15 * GIB)

        assert short is not None and short.is_for_now
        assert short.text.endswith("it would fit after stopping One and Two (14 GiB)")

    def test_nobody_is_named_where_stopping_all_of_them_would_not_help(self) -> None:
        host = docker_host()
        make_gpu(host, used=22, holders=[holds(make_engine(host=host), 1)])

        short = shortage(places_on(host), 10 * GIB)

        assert short is not None
        assert "other programs hold 21 GiB" in short.text
        assert "after stopping" not in short.text

    def test_what_it_holds_itself_does_not_stand_in_its_way(self) -> None:
        host = docker_host()
        engine = make_engine(host=host)
        make_gpu(host, used=20, holders=[holds(engine, 18)])

        assert shortage(places_on(host), 10 * GIB, of=engine) is None
        assert shortage(places_on(host), 10 * GIB) is not None

    def test_a_card_that_is_too_small_for_good_is_refused_and_may_be_overruled(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, total=8)
        make_gpu(host, B, total=12)

        found = verdict(image(needs_gpu=True, extras={"vram_mb": 18_000}), host)

        assert not found.fits
        assert found.can_overrule
        assert "it needs 16.8 GiB of VRAM" in found.text
        assert "the largest card here, GPU 1, RTX 3090, has 12 GiB" in found.text

    def test_one_that_fits_says_how_much_is_free(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, used=14.2)

        found = verdict(image(needs_gpu=True, extras={"vram_mb": 4_000}), host)

        assert found.fits and not found.warnings
        assert "RTX 3090 (9.8 GiB of 24 GiB free)" in found.text

    def test_a_host_whose_cards_cannot_be_read_is_not_called_one_without(self) -> None:
        host = docker_host(cards=None)
        host.has_gpu = None

        found = verdict(image(needs_gpu=True), host)

        assert "cannot be read" in found.text
        assert found.can_overrule

    def test_processes_need_a_card_as_containers_do(self) -> None:
        host = make_host(has_gpu=False)
        variant = image(needs_gpu=True)
        variant.entry.folder = "/somewhere"

        assert "it needs a GPU" in verdict(variant, host).text

    def test_the_driver_that_was_read_counts(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, driver="535.183.01", cuda="12.2")

        wanted = {"min_driver": "550.54", "min_cuda": "12.4"}

        text = verdict(image(needs_gpu=True, extras=wanted), host).text

        assert "needs NVIDIA driver 550.54, this host has 535.183.01" in text
        assert "needs CUDA 12.4, this host has 12.2" in text

    @pytest.mark.parametrize(
        ("definition", "need"),
        [
            ({"abm": {"vram_mb": 4000}, "models": [{"vram_gb": 9}]}, 4_000_000_000),
            ({"models": [{"name": "s", "vram_gb": 3}, {"name": "l", "vram_gb": 18}]}, 3 * 10**9),
            (
                {
                    "default_model": "l",
                    "models": [{"name": "s", "vram_gb": 3}, {"name": "l", "vram_gb": 18}],
                },
                18 * 10**9,
            ),
            ({"models": [{"name": "s"}]}, None),
            ({}, None),
        ],
    )
    def test_the_need_is_the_engines_own_or_its_usual_models(
        self, definition: dict[str, Any], need: int | None
    ) -> None:
        assert need_of(make_engine(definition=definition)) == need


class TestInstall:
    def test_of_several_cards_the_one_that_fits_is_chosen(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host, used=22)
        make_gpu(host, B, used=4)

        chosen = chosen_at_install(image(needs_gpu=True, extras={"vram_mb": 6_000}), host)

        assert chosen == {"uses_gpu": True, "gpus": [B]}

    def test_one_card_is_all_cards(self) -> None:
        host = docker_host(has_gpu=True)
        make_gpu(host)

        assert chosen_at_install(image(needs_gpu=True), host) == {"uses_gpu": True, "gpus": []}

    @pytest.mark.parametrize("has_gpu", [False, None])
    def test_without_a_card_none_is_asked_for(self, has_gpu: bool | None) -> None:
        host = docker_host()
        host.has_gpu = has_gpu

        assert chosen_at_install(image(needs_gpu=True), host)["uses_gpu"] is False


class TestStart:
    def test_a_card_that_is_gone_is_told_before_docker_or_cuda_would(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=["GPU-gone"])
        make_gpu(engine.host)

        with pytest.raises(NoGpu, match=r"GPU-gone, which is not in .* any more"):
            list(before_start(engine))

    def test_where_cards_cannot_be_read_nothing_is_claimed(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=[A])
        Host.objects.filter(pk=engine.host_id).update(gpu_text="nvidia-smi does not answer.")
        engine.host.refresh_from_db()

        assert list(before_start(engine)) == [f"It is to use the cards {A}."]

    def test_a_start_says_what_it_will_use_and_that_it_may_be_tight(self) -> None:
        engine = on_docker(uses_gpu=True, gpus=[A], definition={"abm": {"vram_mb": 9_000}})
        make_gpu(engine.host, used=20)

        use, tight = before_start(engine)

        assert use == "It is to use GPU 0, RTX 3090."
        assert tight.startswith("It may not have room: it needs 8.4 GiB of VRAM")

    def test_an_engine_without_cards_says_nothing(self) -> None:
        assert list(before_start(on_docker())) == []

    @pytest.mark.parametrize("device", ["cuda", "cuda:0", "gpu", "mps", ""])
    def test_a_device_that_is_no_cpu_is_believed(self, device: str) -> None:
        engine = on_docker(uses_gpu=True, forbids_cpu=True)

        gpu_choice.require_gpu(engine, device)

        assert gpu_choice.device_text(engine, device) == ""

    def test_a_cpu_that_was_asked_for_is_no_news(self) -> None:
        engine = on_docker(uses_gpu=False)

        assert gpu_choice.device_text(engine, "cpu") == ""

    def test_falling_back_to_the_cpu_is_said(self) -> None:
        engine = on_docker(uses_gpu=True, device="cpu", state=Engine.State.RUNNING)

        assert engine.fell_back
        gpu_choice.require_gpu(engine, "cpu")
        assert gpu_choice.device_text(engine, "cpu").startswith(
            "Runs on the CPU, was to use the GPU."
        )

    def test_where_it_is_forbidden_the_start_fails(self) -> None:
        engine = on_docker(uses_gpu=True, forbids_cpu=True)

        with pytest.raises(NoGpu, match="may not do without"):
            gpu_choice.require_gpu(engine, "CPU")
