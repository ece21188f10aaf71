"""What a person may ask of speaker samples, and of the folders that they and models lie in."""

from __future__ import annotations

import contextlib
import re
import secrets

from django.db import IntegrityError, transaction

from accounts.audit import note
from accounts.models import User
from accounts.plain import is_name
from accounts.refused import Refused
from accounts.roles import require_role
from engines.model_places import models_root, samples_place
from engines.models import Engine, Sample
from engines.recording import Judged, Unfit, judge
from engines.sample_models import draft_of, own_samples
from engines.strays import TASK
from hosts.models import Host
from hosts.runners.container import Mount
from hosts.runners.docker.creation import MODELS_INSIDE
from jobs.events import announce
from jobs.models import Job
from jobs.services import submit_once

MOST_BYTES = 50_000_000
LONGEST_NAME = 60
UNWANTED = re.compile(r"[^a-z0-9]+")
KINDS = ("samples", "models")


def add_sample(*, name: str, data: bytes, user: User) -> Sample:
    """Keep a recording, if engines can use it, and bring it to the hosts that need it.

    Raises Refused SAMPLE_NAME_INVALID, SAMPLE_TOO_LARGE, SAMPLE_UNFIT or SAMPLE_KNOWN.
    """
    require_role(user, User.Role.OPERATOR)
    name = " ".join(name.split())
    if not is_name(name, most=LONGEST_NAME):
        raise Refused("SAMPLE_NAME_INVALID", "A sample's name has 1 to 60 characters.", status=400)
    if len(data) > MOST_BYTES:
        raise Refused("SAMPLE_TOO_LARGE", "A sample has at most 50 MB. Shorten it.", status=413)
    try:
        judged = judge(data)
    except Unfit as error:
        raise Refused("SAMPLE_UNFIT", str(error), status=400) from error
    sample = _kept(name, data, judged)
    after = {"name": name, "seconds": round(sample.seconds, 1)}
    note("sample.add", name, pk=sample.pk, user=user, after=after)
    announce("engines", "sample.changed", text=f"The speaker sample {name} was added", pk=sample.pk)
    _bring_everywhere(user)
    return sample


def _kept(name: str, data: bytes, judged: Judged) -> Sample:
    """The row and its file, which gets its name with the row: engines see whole ones alone."""
    stem = UNWANTED.sub("-", name.lower()).strip("-") or "speaker"
    file, wav = f"{stem[:40]}-{secrets.token_hex(3)}.wav", judged.wav
    draft = draft_of(file)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(data)
        with transaction.atomic():
            sample = Sample.objects.create(
                name=name,
                file=file,
                rate=wav.rate,
                channels=wav.channels,
                seconds=wav.seconds,
                size=len(data),
                advice=list(judged.advice),
            )
            draft.replace(sample.path)
            return sample
    except IntegrityError as error:
        raise Refused("SAMPLE_KNOWN", f"There is a sample called {name} already.") from error
    finally:
        draft.unlink(missing_ok=True)


def delete_sample(sample: Sample, *, user: User) -> None:
    """Delete it here, and on every host that it was brought to."""
    require_role(user, User.Role.OPERATOR)
    note("sample.delete", sample.name, pk=sample.pk, user=user)
    pk, path, text = sample.pk, sample.path, f"The speaker sample {sample} was deleted"
    sample.delete()
    announce("engines", "sample.changed", text=text, pk=pk)
    transaction.on_commit(lambda: path.unlink(missing_ok=True))
    _bring_everywhere(user)


def needs_samples(host: Host) -> bool:
    """Whether its engines look for samples elsewhere than in abm's own folder."""
    return samples_place(host).source != str(own_samples())


def bring_samples(host: Host, *, user: User | None) -> Job:
    """Bring the samples that the host lacks, and delete there those that were deleted here.

    Raises Refused SAMPLES_SHARED or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    if not needs_samples(host):
        raise Refused("SAMPLES_SHARED", f"Engines on {host} read abm's own folder of samples.")
    return _submit(host, Job.Action.SAMPLES, user)


def make_folder(host: Host, *, kind: str, user: User | None) -> Job:
    """Make the folder of `samples` or `models` on the host.

    Raises Refused FOLDER_UNKNOWN or HOST_NOT_READY.
    """
    require_role(user, User.Role.ADMIN)
    if folder_of(host, kind) is None:
        raise Refused("FOLDER_UNKNOWN", f"{host} has no folder of {kind[:20]}.", status=404)
    return _submit(host, Job.Action.FOLDER, user, kind=kind)


def folder_of(host: Host, kind: str) -> Mount | None:
    """Where samples or models lie; None where each engine has a place of its own."""
    if kind == "samples":
        return samples_place(host)
    if kind != "models" or not host.models_folder:
        return None
    return Mount(models_root(host), MODELS_INSIDE)


def _bring_everywhere(user: User) -> None:
    """To each host with engines; one that cannot be asked now gets them when an engine starts."""
    there = Engine.objects.exclude(state=Engine.State.ABSENT).values("host")
    for host in Host.objects.filter(pk__in=there, is_enabled=True):
        if needs_samples(host):
            with contextlib.suppress(Refused):
                _submit(host, Job.Action.SAMPLES, user)


def _submit(host: Host, action: Job.Action, user: User | None, **params: str) -> Job:
    if not host.is_usable:
        why = host.state_text or host.get_state_display()
        raise Refused("HOST_NOT_READY", f"{host} cannot be reached now: {why}")
    return submit_once(
        at=host,
        action=action,
        task=TASK,
        subject=str(host),
        user=user,
        host=host,
        params=params,
    )
