"""The dashboard in deploy/ asks for nothing that /metrics does not tell."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from abm.metrics import families
from hosts.models import Gpu
from tests.engines.factories import make_host

BOARD: dict[str, Any] = json.loads((Path(settings.BASE_DIR) / "deploy/grafana.json").read_text())
PANELS = BOARD["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
METRIC = re.compile(r"\babm_\w+")
OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
pytestmark = pytest.mark.django_db


def test_every_metric_of_the_dashboard_is_one_of_abm() -> None:
    known = {family.name: family.kind for family in families()}
    asked = {name for text in EXPRESSIONS for name in METRIC.findall(text)}

    assert asked
    for name in asked:
        base = OF_HISTOGRAM.sub("", name)
        assert name in known or known.get(base) == "histogram", name


def test_every_metric_of_abm_is_on_the_dashboard() -> None:
    text = " ".join(EXPRESSIONS)

    left_out = {family.name for family in families() if family.name not in text}

    assert left_out == {"abm_job_longest_seconds_last_day", "abm_gpu_power_watts"}


def test_panels_lie_beside_each_other_and_have_names_of_their_own() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        mine = {(column, row) for column in range(x, x + w) for row in range(y, y + h)}
        assert x + w <= 24
        assert not mine & cells, panel["title"]
        cells |= mine
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_any_prometheus_can_be_chosen() -> None:
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["datasource"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}


def test_cards_are_told_and_stale_ones_are_not(viewer: Client) -> None:
    host = make_host(host_id="box")
    card = {"host": host, "name": "RTX", "memory_total": 24, "memory_used": 8, "utilization": 50.0}
    Gpu.objects.create(uuid="GPU-1", read_at=timezone.now(), **card)
    Gpu.objects.create(uuid="GPU-2", read_at=timezone.now() - timedelta(hours=1), **card)

    text = viewer.get("/metrics").content.decode()

    assert 'abm_gpu_memory_used_bytes{host="box",card="GPU-1",name="RTX"} 8' in text
    assert 'abm_gpu_utilization_percent{host="box",card="GPU-1",name="RTX"} 50' in text
    assert "GPU-2" not in text
    assert "abm_gpu_temperature_celsius" not in text
