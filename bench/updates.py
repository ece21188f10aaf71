"""The update check of a fleet in a database of its own, counted at the door of a registry."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab.faulty_registry import FaultyRegistry
from lab.made_images import tiny_layer, tiny_run
from lab.own import own_registry
from lab.place import Place
from lab.pushing import Layer, Pusher

ROOT = Path(__file__).resolve().parents[1]
ENGINES, IMAGES = 200, 20


def manifest_requests(place: Place) -> tuple[int, int]:
    """How many requests for manifests the first check takes, and one right after it."""
    with own_registry(place) as registry, FaultyRegistry(registry.address) as door:
        with Pusher(registry.address) as pusher:
            for number in range(IMAGES):
                layers = [tiny_layer(), Layer.of_files({"number": f"{number}".encode()})]
                pusher.push(f"lab/image-{number}", "latest", layers, run=tiny_run())
        with tempfile.TemporaryDirectory(prefix="abm-bench-") as folder:
            _check(door.address, folder)
            first = door.count("/manifests/")
            _check(door.address, folder)
            return first, door.count("/manifests/") - first


def _check(registry: str, folder: str) -> None:
    environment = {
        **os.environ,
        "DATA_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "abm.settings",
    }
    subprocess.run(
        [sys.executable, "-m", "bench.updates", registry], cwd=ROOT, env=environment, check=True
    )


def main(registry: str) -> None:
    import django  # noqa: PLC0415  settings are read at import, so after the environment stands

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    from engines.image_checks import claim, engines_by_image  # noqa: PLC0415
    from engines.models import Engine  # noqa: PLC0415
    from engines.updates import check_updates  # noqa: PLC0415
    from hosts.services import ensure_docker_host  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    host = ensure_docker_host()
    if not Engine.objects.exists():
        Engine.objects.bulk_create(_engine(registry, host, number) for number in range(ENGINES))
    wanted = engines_by_image()
    assert sum(len(engines) for engines in wanted.values()) == ENGINES
    check_updates(claim(wanted))
    told = Engine.objects.exclude(update_text="").count()
    assert told == ENGINES, f"{told} engines were judged"


def _engine(registry: str, host: Any, number: int) -> Any:
    """One that runs an image of long ago."""
    from engines.models import Engine  # noqa: PLC0415

    image = f"{registry}/lab/image-{number % IMAGES}"
    return Engine(
        host=host,
        name=f"engine-{number}",
        display_name=f"Engine {number}",
        engine_type="tts",
        state=Engine.State.STOPPED,
        image=image,
        tag="latest",
        image_id=f"sha256:{number:064x}",
        image_found={"repo_digests": [f"{image}@sha256:{'0' * 64}"], "platform": "linux/amd64"},
    )


if __name__ == "__main__":
    main(sys.argv[1])
