"""How large the catalog's images are and for which machines: registries tell in the background.

No page asks a registry. The clock asks a little each minute, a dialog that lacks numbers at once.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.utils import timezone

from catalog.models import Variant
from engines.sources.recipe import LOCAL
from engines.variant_budget import is_first_failure_today, rest, spend, spent
from hosts.models import Host
from hosts.oci.checker import KEPT_FOR_PULLS, OF_THE_WHOLE_REGISTRY
from hosts.oci.errors import RateLimited, RegistryError, Subject
from hosts.oci.platforms import Platform, best
from hosts.oci.reference import BadReference, ImageReference
from hosts.oci.registry import Head, Registry
from hosts.oci.sizes import ImageSizes, find_platforms, find_sizes, with_unpacked
from hosts.registry_logins import login_for
from jobs.events import announce

log = logging.getLogger(__name__)

REQUESTS_PER_MINUTE = 120
"""About so many requests are made by the clock; what a person waits for is not held back."""
REQUESTS_OF_A_LOOK, REQUESTS_OF_AN_IMAGE = 2, 8
"""Without those for each layer."""
ROUND_SECONDS = 45.0
MOST_IN_A_ROUND = 100
CLAIMED = timedelta(minutes=5)
"""So long nobody else measures what a worker has begun with."""
AGAIN = timedelta(days=1)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=1)
JITTER = 0.25
HUB_REST_SECONDS = 3600.0
AMD64 = Platform.parse("linux/amd64")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a registry told of an image; `sizes` is None where it is the one measured before."""

    digest: str
    platforms: tuple[Platform, ...] = ()
    sizes: ImageSizes | None = None


def measure_due() -> None:
    """Ask about the variants whose turn it is, as many as this minute allows."""
    ends_at = time.monotonic() + ROUND_SECONDS
    for variant in due()[:MOST_IN_A_ROUND]:
        if time.monotonic() > ends_at or spent() >= REQUESTS_PER_MINUTE:
            return
        if _claim(variant):
            _measure(variant)


def measure_wanted(variant_pk: int) -> None:
    """Ask about one variant because a person waits for its numbers; quiet if it is gone."""
    variant = _offered().filter(pk=variant_pk).first()
    if variant is not None and _claim(variant):
        _measure(variant)


def due() -> QuerySet[Variant]:
    """Variants with an image whose turn it is, those that were never asked about first."""
    is_other = ~Q(measured_image="") & ~Q(measured_image=Concat("image", Value(":"), "tag"))
    is_time = Q(measure_at=None) | Q(measure_at__lte=timezone.now())
    rows = _offered().filter(is_time | is_other)
    return rows.order_by(F("measure_at").asc(nulls_first=True), "position", "pk")


def _offered() -> QuerySet[Variant]:
    rows = Variant.objects.filter(
        is_withdrawn=False, entry__is_withdrawn=False, entry__source__is_enabled=True
    )
    is_nowhere = Q(image="") | Q(image__startswith=f"{LOCAL}/")
    return rows.exclude(is_nowhere).select_related("entry")


def _claim(variant: Variant) -> bool:
    """Take it for this worker; False if another was quicker, or it was put off meanwhile."""
    untouched = Variant.objects.filter(pk=variant.pk, measure_at=variant.measure_at)
    return bool(untouched.update(measure_at=timezone.now() + CLAIMED))


def _measure(variant: Variant) -> None:
    try:
        reference = ImageReference.parse(variant.reference)
    except BadReference as error:
        later = timezone.now() + LONGEST_WAIT
        _write(variant, {"measured_image": "", "measure_error": str(error), "measure_at": later})
        return
    try:
        with Registry(reference.registry, credentials=login_for(reference)) as registry:
            found = _ask(registry, reference, variant)
    except RegistryError as error:
        _note_failure(variant, reference, error)
        return
    layers = len(found.sizes.layers) if found.sizes else 0
    spend(REQUESTS_OF_AN_IMAGE + layers if found.sizes else REQUESTS_OF_A_LOOK)
    _note(variant, found)


def _ask(registry: Registry, reference: ImageReference, variant: Variant) -> Measured:
    """First what does not count as a pull; the rest only for an image that is new to abm."""
    head = registry.head(reference)
    if variant.is_measured and variant.digest == head.digest and variant.download_bytes:
        return Measured(head.digest)
    _leave_some_for_pulls(head, reference)
    exactly = reference.at(head.digest)
    platforms = find_platforms(registry, exactly)
    sizes = find_sizes(registry, exactly, preferred(platforms))
    return Measured(head.digest, platforms, with_unpacked(registry, sizes))


def _leave_some_for_pulls(head: Head, reference: ImageReference) -> None:
    if head.limit is not None and head.limit.remaining <= KEPT_FOR_PULLS:
        raise RateLimited(
            f"{reference.registry} lets few more requests through for now, and those are kept "
            "for installs.",
            about=Subject.of(reference),
            retry_after=HUB_REST_SECONDS,
        )


def preferred(offered: Iterable[Platform]) -> Platform:
    """The platform whose sizes are told: the most common of the Docker hosts, else amd64."""
    known = [platform for platform in offered if platform.is_known]
    hosts = Host.objects.exclude(host_type=Host.Type.SUBPROCESS).values_list("facts", flat=True)
    machines = Counter(facts["machine"] for facts in hosts if facts.get("machine"))
    wanted = [Platform.of("linux", machine) for machine, _ in machines.most_common()]
    for platform in (*wanted, AMD64):
        chosen = best(known, platform)
        if chosen is not None:
            return chosen
    return known[0] if known else AMD64


def _note(variant: Variant, found: Measured) -> None:
    """Write down what was told; open pages hear of it if it is news."""
    now = timezone.now()
    values: dict[str, Any] = {
        "digest": found.digest,
        "measured_image": variant.reference,
        "measured_at": now,
        "measure_at": now + _spread(AGAIN),
        "measure_failures": 0,
        "measure_error": "",
    }
    if found.sizes is not None:
        values["download_bytes"] = found.sizes.compressed
        if found.sizes.unpacked is not None:
            values["disk_bytes"] = found.sizes.unpacked
        if variant.has_measured_platforms or not variant.platforms:
            values["platforms"] = [str(platform) for platform in found.platforms]
            values["has_measured_platforms"] = True
    _write(variant, values)


def _note_failure(variant: Variant, reference: ImageReference, error: RegistryError) -> None:
    """What was known stays; when to ask again, and once a day a line in the log."""
    failures = variant.measure_failures + 1
    wait = min(FIRST_WAIT * 2 ** min(failures - 1, 20), LONGEST_WAIT)
    if isinstance(error, RateLimited) and error.retry_after is not None:
        wait = max(wait, timedelta(seconds=error.retry_after))
        rest(reference.registry, error.retry_after)
    put_off: dict[str, Any] = {
        "measure_at": timezone.now() + _spread(wait),
        "measure_failures": failures,
    }
    spend(REQUESTS_OF_A_LOOK)
    if isinstance(error, OF_THE_WHOLE_REGISTRY):
        others = [row.pk for row in due() if _registry_of(row.reference) == reference.registry]
        Variant.objects.filter(pk__in=others).update(**put_off)
    if not variant.is_measured:
        put_off["measured_image"] = ""
    _write(variant, {**put_off, "measure_error": error.message})
    if is_first_failure_today(reference.registry):
        log.warning("Sizes of images are not known. %s", error.message)


@transaction.atomic
def _write(variant: Variant, values: dict[str, Any]) -> None:
    """Unless a sync has made another image of the row meanwhile."""
    same = Variant.objects.filter(pk=variant.pk, image=variant.image, tag=variant.tag)
    shown = ("digest", "platforms", "download_bytes", "disk_bytes", "measure_error")
    is_news = any(name in values and values[name] != getattr(variant, name) for name in shown)
    if same.update(**values) and is_news:
        announce("catalog", "catalog.changed", pk=variant.entry.source_id)


def _registry_of(reference: str) -> str:
    try:
        return ImageReference.parse(reference).registry
    except BadReference:
        return ""


def _spread(wait: timedelta) -> timedelta:
    """So that a catalog is not asked about all at once again."""
    return wait * (1 + JITTER * random.random())
