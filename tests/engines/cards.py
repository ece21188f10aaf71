"""Cards of hosts for tests; each takes only what the test talks about."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from engines.models import Engine
from hosts.models import Gpu, Host

GIB = 2**30
A, B = "GPU-aaaa", "GPU-bbbb"


def make_gpu(host: Host, uuid: str = A, *, total: float = 24, used: float = 0, **more: Any) -> Gpu:
    """A card with its memory in GiB. The host then counts as read."""
    now = timezone.now()
    Host.objects.filter(pk=host.pk).update(gpus_read_at=now)
    host.refresh_from_db()
    values = {
        "index": 0 if uuid == A else 1,
        "name": "RTX 3090",
        "memory_total": int(total * GIB),
        "memory_used": int(used * GIB),
        "read_at": now,
        **more,
    }
    return Gpu.objects.create(host=host, uuid=uuid, **values)


def holds(engine: Engine, gib: float) -> dict[str, Any]:
    """A row of `Gpu.holders`."""
    return {"engine": engine.pk, "name": engine.display_name, "memory": int(gib * GIB)}
