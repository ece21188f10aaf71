"""Which engines could be newer: each image is asked about once, and what was said is kept.

The clock and the Check now buttons end up in `ask`, in a worker; pages read rows alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from engines.image_models import ImageCheck, asking_since
from engines.models import Engine
from hosts.oci.checker import Answer, Question, check
from hosts.oci.digests import Judgement, LocalImage, RemoteImage, Verdict, judge, own_digests
from hosts.oci.platforms import Platform
from hosts.oci.reference import BadReference, ImageReference
from hosts.oci.registry import Registry
from hosts.registry_logins import credentials_of
from hosts.runners.base import ImageState
from jobs.events import announce, hint

NOTHING = RemoteImage("")
"""For an image that no registry knows: there is nothing to compare it with."""


def reference_of(engine: Engine) -> ImageReference | None:
    """The name that the engine's image was asked for by; None for an engine without one."""
    if not engine.image:
        return None
    try:
        return ImageReference.parse(f"{engine.image}:{engine.tag}")
    except BadReference:
        return None


def local_image_of(engine: Engine) -> LocalImage:
    """What the engine runs, as its host said when it was looked at last."""
    found = engine.image_found
    platform = str(found.get("platform") or "")
    return LocalImage(
        tuple(found.get("repo_digests") or ()),
        engine.image_id,
        Platform.parse(platform) if platform.count("/") in (1, 2) else None,
    )


def found_row(image: ImageState, *, is_pulled: bool) -> dict[str, Any]:
    """An image as `Engine.image_found` keeps it; `is_pulled` if it has just come."""
    pulled = {"pulled_at": timezone.now().isoformat()} if is_pulled else {}
    return {"repo_digests": list(image.repo_digests), "platform": image.platform, **pulled}


def note_image(engine: Engine, image: ImageState | None, *, is_pulled: bool = False) -> None:
    """Write down which image the engine runs, and judge it by what its registry said last."""
    if image is None:
        return
    found = found_row(image, is_pulled=is_pulled)
    if not is_pulled and image.id == engine.image_id and "pulled_at" in engine.image_found:
        found["pulled_at"] = engine.image_found["pulled_at"]
    engine.image_id, engine.image_found = image.id, found
    engine.save(update_fields=["image_id", "image_found", "updated_at"])
    judge_engine(engine, answer_about(engine))


def ask_about_pulled(engine: Engine, image: ImageState) -> None:
    """A pull may have brought what is newer than the last answer: then the registry is asked.

    Costs no request where the answer names what came.
    """
    reference = reference_of(engine)
    remote = answer_about(engine).remote
    if reference is None or not image.repo_digests:
        return
    if remote is None or remote.digest not in own_digests(reference, image.repo_digests):
        ask(claim([reference.canonical]))


def check_of(engine: Engine) -> ImageCheck | None:
    """The row of the engine's image; None if its registry was never asked."""
    reference = reference_of(engine)
    if reference is None:
        return None
    return ImageCheck.objects.filter(reference=reference.canonical).first()


def answer_about(engine: Engine) -> Answer:
    """What is known of the engine's image; an empty answer if nothing is."""
    row = check_of(engine)
    return row.answer if row else Answer()


def judgement_of(engine: Engine, answer: Answer) -> Judgement | None:
    """What an engine runs beside what its registry has; None for an engine without an image.

    An answer from before the image was pulled cannot say that there is something newer.
    """
    reference = reference_of(engine)
    if reference is None:
        return None
    local = local_image_of(engine)
    found = judge(reference, local, answer.remote or (NOTHING if engine.is_built_here else None))
    if found.verdict is Verdict.OUTDATED and _is_pulled_since(engine, answer.checked_at):
        return judge(reference, local, None)
    return found


def judge_engine(engine: Engine, answer: Answer) -> None:
    """Write down whether there is something newer, and tell pages what has changed."""
    found = judgement_of(engine, answer)
    if found is None:
        return
    remote = answer.remote
    newer = remote.digest if remote and found.verdict is Verdict.OUTDATED else ""
    values = {
        "image_digest": _digest_shown(engine, answer),
        "update_digest": newer,
        "update_text": found.sentence,
        "update_checked_at": answer.checked_at,
    }
    is_news = newer and newer not in (engine.update_digest, engine.skipped_digest)
    if all(getattr(engine, name) == value for name, value in values.items()):
        return
    for name, value in values.items():
        setattr(engine, name, value)
    Engine.objects.filter(pk=engine.pk).update(**values)
    if is_news:
        text = f"There is an update for {engine} on {engine.host}"
        announce("engines", "engine.changed", text=text, pk=engine.pk)
    else:
        hint("engines", "engine.changed", pk=engine.pk)


def _digest_shown(engine: Engine, answer: Answer) -> str:
    """Of several under which it came, the registry's own of today if that is one of them."""
    reference = reference_of(engine)
    own = own_digests(reference, local_image_of(engine).repo_digests) if reference else frozenset()
    if answer.remote and answer.remote.digest in own:
        return answer.remote.digest
    return min(own, default="")


def registry_digest_of(engine: Engine) -> str:
    """What the registry calls the image that the engine runs; empty if it never said."""
    answer = answer_about(engine)
    found = judgement_of(engine, answer)
    if answer.remote and found and found.verdict is Verdict.CURRENT:
        return answer.remote.digest
    return engine.image_digest


def engines_by_image(engines: Iterable[Engine] | None = None) -> Mapping[str, list[Engine]]:
    """Installed engines by the name of their image; without those that were built where they run.

    All of abm's, or of these.
    """
    if engines is None:
        engines = (
            Engine.objects.filter(state__in=Engine.INSTALLED, attached_url="")
            .exclude(image="")
            .select_related("host")
        )
    found: defaultdict[str, list[Engine]] = defaultdict(list)
    for engine in engines:
        reference = reference_of(engine)
        if reference is not None and not engine.is_built_here:
            found[reference.canonical].append(engine)
    return found


def claim(references: Iterable[str]) -> list[int]:
    """Take these images for asking; those that somebody asks about just now are left to them."""
    wanted = set(references)
    ImageCheck.objects.bulk_create(
        [ImageCheck(reference=name) for name in wanted], ignore_conflicts=True
    )
    free = ImageCheck.objects.filter(Q(asked_at=None) | Q(asked_at__lt=asking_since()))
    now = timezone.now()
    return [
        pk
        for pk in free.filter(reference__in=wanted).values_list("pk", flat=True)
        if free.filter(pk=pk).update(asked_at=now)
    ]


def claim_due() -> list[int]:
    """Take the images whose time has come; none where UPDATE_CHECK_HOURS is 0."""
    if not settings.UPDATE_CHECK_HOURS:
        return []
    used = engines_by_image()
    ImageCheck.objects.exclude(reference__in=used).delete()
    rows = {row.reference: row for row in ImageCheck.objects.all()}
    now = timezone.now()
    return claim(
        name
        for name, engines in used.items()
        if name not in rows or _is_due(rows[name], engines, now)
    )


def _is_due(row: ImageCheck, engines: Iterable[Engine], now: datetime) -> bool:
    """Its time has come, or what was pulled since then is something else than was heard of."""
    due_at = row.due_at
    if due_at is None or due_at <= now:
        return True
    heard = row.remote.get("digest")
    return not row.failure and any(
        engine.image_digest != heard and _is_pulled_since(engine, row.checked_at)
        for engine in engines
    )


def _is_pulled_since(engine: Engine, checked_at: datetime | None) -> bool:
    pulled_at = parse_datetime(engine.image_found.get("pulled_at") or "")
    return bool(pulled_at and checked_at and checked_at < pulled_at)


def ask(check_pks: Iterable[int], *, is_wanted_now: bool = False) -> None:
    """Ask registries about claimed images, one request each, and judge the engines that run them.

    What a registry does not say leaves the last answer as it was, with the reason beside it.
    """
    rows = {row.reference: row for row in ImageCheck.objects.filter(pk__in=list(check_pks))}
    if not rows:
        return
    used = engines_by_image()
    questions = [
        Question(
            ImageReference.parse(name),
            tuple(local_image_of(engine) for engine in used.get(name, ())),
            row.answer,
        )
        for name, row in rows.items()
    ]
    answers = check(questions, open_registry=open_registry, is_wanted_now=is_wanted_now)
    used = engines_by_image()  # a registry may have taken its time
    for reference, answer in answers.items():
        rows[reference.canonical].keep(answer)
        for engine in used.get(reference.canonical, ()):
            judge_engine(engine, answer)
            hint("engines", "engine.changed", pk=engine.pk)


def open_registry(name: str) -> Registry:
    """A client of a registry, with the login that is stored for it."""
    return Registry(name, credentials=credentials_of(name))
