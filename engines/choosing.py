"""What the install dialog shows: variants, hosts with their verdicts, and numbers on their way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from accounts.refused import Refused
from catalog.models import CatalogEntry, Variant
from engines.consent import consent_of
from engines.sources.recipe import is_local
from engines.variant_budget import is_first_wish, is_resting
from engines.verdict import verdicts
from hosts.oci.reference import BadReference, ImageReference
from jobs.services import ring_task

LONGEST_WAIT = 20.0
"""Seconds after which a dialog waits no longer for a registry's numbers."""


def choice(entry: CatalogEntry, query: Mapping[str, str]) -> dict[str, Any] | None:
    """The dialog as `query` has it filled in; None while the numbers it waits for are missing.

    Raises Refused VARIANT_MISSING.
    """
    variants = [variant for variant in entry.variants.all() if not variant.is_withdrawn]
    if not variants:
        raise Refused("VARIANT_MISSING", f"{entry} has no variant to install. An admin adds one.")
    wanted = query.get("variant", "")
    chosen = next((row for row in variants if str(row.pk) == wanted), None) or variants[0]
    is_waiting = "since" in query
    if is_waiting and _is_coming(chosen, query):
        return None
    platform = query.get("platform", "")
    platform = platform if platform in chosen.platforms else ""
    found = verdicts(entry, chosen, platform=platform)
    return {
        "entry": entry,
        "variants": variants,
        "chosen": chosen,
        "chosen_host": query.get("host", ""),
        "is_ticked": {
            name: name in query if is_waiting else name == "starts"
            for name in ("starts", "consents", "overrules")
        },
        "verdicts": found,
        "platform": platform,
        "consent": consent_of(entry),
        "can_overrule": any(row.can_overrule for row in found),
        "waits_since": "" if is_waiting or not want_numbers(chosen) else int(time.time()),
    }


def want_numbers(variant: Variant) -> bool:
    """Have a worker ask for the sizes of a variant that lacks them; whether they may come soon."""
    if (
        not variant.image
        or is_local(variant.image)
        or variant.is_measured
        or (variant.download_bytes and variant.disk_bytes)
    ):
        return False
    try:
        registry = ImageReference.parse(variant.reference).registry
    except BadReference:
        return False
    if is_resting(registry):
        return False
    if is_first_wish(variant.pk):
        ring_task("engines.measure_variant", variant.pk)
        return True
    return not variant.measure_error  # somebody else's wish, of a moment ago


def _is_coming(variant: Variant, query: Mapping[str, str]) -> bool:
    """Whether the registry has neither answered nor failed since the dialog was drawn."""
    since, failures = query.get("since", ""), query.get("failures", "")
    if not since.isdecimal() or len(since) > 12:
        return False
    has_failed = failures != str(variant.measure_failures)
    return not variant.is_measured and not has_failed and time.time() - int(since) < LONGEST_WAIT
