"""Try it: the one place where a page waits for an engine, so it waits without a thread."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, user_of
from accounts.models import User
from accounts.refused import Refused
from engines import trial_results, trials
from engines.models import Engine, Trial
from engines.schema import read_texts
from jobs.waiting import answer_later


@require_POST
def try_engine(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Use the engine once and answer with the result as a part."""
    user = user_of(request)
    engine = get_object_or_404(trials.to_be_tried(), pk=pk)
    call = trials.begin(_call(request, engine, user))
    return answer_later(
        request,
        wait=partial(trials.send, call),
        finish=lambda answer: _shown(request, trial_results.keep(call, answer), user),
        after=partial(trial_results.end, call),
    )


def _call(request: HttpRequest, engine: Engine, user: User) -> trials.Call:
    language, text = request.POST.get("language", ""), request.POST.get("text", "")
    if engine.engine_type == "tts":
        parameters, refused = read_texts(engine, request.POST.dict())
        if refused:
            sentences = {name: sentence for name, (_, sentence) in refused.items()}
            raise Refused(
                "PARAMETERS_INVALID", " ".join(sentences.values()), status=400, **sentences
            )
        return trials.speech_call(
            engine, user=user, text=text, language=language, parameters=parameters
        )
    if engine.engine_type == "text":
        length = request.POST.get("max_length", "250")
        return trials.segment_call(
            engine,
            user=user,
            text=text,
            language=language,
            max_length=int(length) if length.isdecimal() and len(length) < 7 else 0,
        )
    wav, name = _recording(request, user)
    return trials.sound_call(engine, user=user, wav=wav, name=name, language=language)


def _recording(request: HttpRequest, user: User) -> tuple[bytes, str]:
    """The uploaded WAV, or one that this person had spoken here before."""
    upload: Any = request.FILES.get("audio")
    if upload:
        return upload.read(), upload.name
    chosen = request.POST.get("trial", "")
    if not chosen.isdecimal():
        raise Refused("AUDIO_MISSING", "Choose a WAV file or one of your results.", status=400)
    trial = get_object_or_404(Trial.objects.select_related("engine"), pk=int(chosen))
    return trial_results.trial_audio(trial, user=user).read_bytes(), f"{trial.engine}.wav"


def _shown(request: HttpRequest, trial: Trial, user: User) -> HttpResponse:
    if not is_htmx(request):
        return redirect("engines:engine", pk=trial.engine_id)
    return render(request, "engines/_trial.html", {"trial": trial, "viewer": user})


@require_GET
def audio(request: HttpRequest, pk: int, trial_pk: int) -> FileResponse:
    """A result's WAV: played in the page, or downloaded with `?download`."""
    trial = get_object_or_404(Trial, pk=trial_pk, engine_id=pk)
    path = trial_results.trial_audio(trial, user=user_of(request))
    return FileResponse(
        path.open("rb"),
        content_type="audio/wav",
        as_attachment="download" in request.GET,
        filename=f"{trial.engine.name}-{trial.pk}.wav",
    )
