"""What comes of Try it: the last ten results of each person for each engine."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx
from django.db import transaction

from accounts.models import User
from accounts.refused import Refused
from engines.idle import end_use
from engines.models import Trial
from engines.trial_models import trials_folder
from engines.trials import Answer, Call, seconds_of

KEPT_PER_PERSON = 10


def keep(call: Call, answer: Answer) -> Trial:
    """Save the result. Raises Refused for a broken answer."""
    trial = Trial(
        engine=call.engine, user=call.user, request=call.kept, took_seconds=answer.seconds
    )
    if call.path == "/generate":
        trial.audio_seconds = seconds_of(answer.content, name=f"the answer of {call.engine}")
        trial.audio = _write_audio(answer.content)
    else:
        trial.result = _read_result(call, answer)
        trial.audio_seconds = call.audio_seconds
    trial.save(force_insert=True)
    return trial


def end(call: Call) -> None:
    """The call is over, however it went. Nobody waits for this: it comes after the answer."""
    with transaction.atomic():
        if call.busy_until is not None:
            end_use(call.engine, call.busy_until)
        _forget_old(call)


def _read_result(call: Call, answer: Answer) -> dict[str, Any]:
    try:
        result = httpx.Response(200, content=answer.content).json()
    except ValueError as error:
        raise Refused(
            "ENGINE_ANSWER_INVALID",
            f"{call.engine} answered with something else than JSON.",
            status=502,
        ) from error
    return result if isinstance(result, dict) else {}


def _write_audio(content: bytes) -> str:
    name = f"{secrets.token_hex(12)}.wav"
    folder = trials_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    except OSError as error:
        (folder / name).unlink(missing_ok=True)
        raise Refused(
            "DISK_FULL",
            f"The result could not be kept in {folder}: {error.strerror}. Free some space.",
            status=507,
        ) from error
    return name


def _forget_old(call: Call) -> None:
    mine = Trial.objects.filter(engine=call.engine, user=call.user).order_by("-pk")
    old = list(mine.values_list("pk", flat=True)[KEPT_PER_PERSON:])
    if old:
        Trial.objects.filter(pk__in=old).delete()


def trial_audio(trial: Trial, *, user: User) -> Path:
    """The WAV of one's own trial; Refused 404 for somebody else's or one that is gone."""
    path = trial.path
    if trial.user_id != user.pk or path is None or not path.is_file():
        raise Refused("TRIAL_NOT_FOUND", "That recording is no longer kept.", status=404)
    return path
