"""Asking what many images stand for now: one request per image for a whole fleet.

Knows no models: who calls hands over what was known and stores what comes back.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hosts.oci.digests import LocalImage, Reason, RemoteImage, judge
from hosts.oci.errors import NotARegistry, RateLimited, RegistryError, RegistryUnreachable
from hosts.oci.manifests import INDEXES, Index, Manifest
from hosts.oci.reference import DOCKER_HUB, ImageReference
from hosts.oci.registry import Registry
from jobs.outcome import CancelToken

AT_ONCE = 16
AT_ONCE_PER_REGISTRY = 4
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
JITTER = 0.25
"""Up to this share is added to each wait, so that a fleet does not come back all at once."""
KEPT_FOR_PULLS = 10
"""So many requests of a limited registry are left to installs."""
OF_THE_WHOLE_REGISTRY = (RateLimited, RegistryUnreachable, NotARegistry)
"""What one image's failure tells about all others of its registry."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last question brought no answer; it is not worth asking before `retry_at`."""

    code: str
    message: str
    detail: str
    at: datetime
    retry_at: datetime
    times: int = 1
    """How often in a row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The last good answer about an image, and the failure since then, if there is one."""

    remote: RemoteImage | None = None
    etag: str = ""
    checked_at: datetime | None = None
    """When the registry last said so; None for never."""
    failure: Failure | None = None

    def age(self, now: datetime) -> timedelta | None:
        """How old the last good answer is; None if there is none."""
        return now - self.checked_at if self.checked_at else None


@dataclass(frozen=True, slots=True)
class Question:
    """An image to ask about, what the fleet has of it, and what was known before."""

    reference: ImageReference
    held: tuple[LocalImage, ...] = ()
    known: Answer = field(default_factory=Answer)


@dataclass(slots=True)
class _Visit:
    """One registry in one round: its questions, and what ended the asking early."""

    registry: Registry
    questions: deque[Question]
    lock: threading.Lock = field(default_factory=threading.Lock)
    has_begun: bool = False
    end: RegistryError | None = None


def check(
    questions: Iterable[Question],
    *,
    open_registry: Callable[[str], Registry],
    cancel: CancelToken | None = None,
    is_wanted_now: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[ImageReference, Answer]:
    """Ask about each image once, many at a time, and give an answer for each; never raises.

    An image whose failure says to wait is not asked and keeps its answer; `is_wanted_now`
    asks it all the same, unless the registry itself asked for the wait. What a cancelled
    round did not come to keeps its answer too.
    """
    wanted = _merged(questions)
    answers = {reference: question.known for reference, question in wanted.items()}
    by_registry: dict[str, deque[Question]] = {}
    for question in wanted.values():
        if not _must_wait(question.known.failure, now(), is_wanted_now=is_wanted_now):
            by_registry.setdefault(question.reference.registry, deque()).append(question)
    with contextlib.ExitStack() as stack:
        visits = [
            _Visit(stack.enter_context(open_registry(name)), asked)
            for name, asked in by_registry.items()
        ]
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE, "image-check"))
        lanes = [
            pool.submit(_work_off, visit, cancel or CancelToken(), now)
            for number in range(AT_ONCE_PER_REGISTRY)
            for visit in visits
            if number < len(visit.questions)
        ]
        for lane in lanes:
            answers.update(lane.result())
    return answers


def _merged(questions: Iterable[Question]) -> dict[ImageReference, Question]:
    """One question for each image, with all that is held of it anywhere."""
    merged: dict[ImageReference, Question] = {}
    for question in questions:
        other = merged.get(question.reference)
        if other is not None:
            known = max(other.known, question.known, key=_freshness)
            question = Question(question.reference, other.held + question.held, known)
        merged[question.reference] = question
    return merged


def _freshness(answer: Answer) -> float:
    return answer.checked_at.timestamp() if answer.checked_at else 0.0


def _must_wait(failure: Failure | None, now: datetime, *, is_wanted_now: bool) -> bool:
    if failure is None or failure.retry_at <= now:
        return False
    return failure.code == RateLimited.code or not is_wanted_now


def _work_off(
    visit: _Visit, cancel: CancelToken, now: Callable[[], datetime]
) -> dict[ImageReference, Answer]:
    """Ask until no question of this registry is left. Several threads do this for one."""
    answers: dict[ImageReference, Answer] = {}
    _begin(visit)
    while not cancel.is_cancelled:
        try:
            question = visit.questions.popleft()
        except IndexError:
            break
        end = visit.end
        try:
            if end is not None:
                answers[question.reference] = _failed(question, end, now(), was_asked=False)
                continue
            answers[question.reference] = _ask(visit.registry, question, now())
        except RegistryError as error:
            answers[question.reference] = _failed(question, error, now(), was_asked=True)
            if isinstance(error, OF_THE_WHOLE_REGISTRY):
                visit.end = error
    return answers


def _begin(visit: _Visit) -> None:
    """The first thread finds out whether the registry is there; the others wait for that."""
    with visit.lock:
        if visit.has_begun:
            return
        visit.has_begun = True
        try:
            visit.registry.ping()
        except RegistryError as error:
            visit.end = error


def _ask(registry: Registry, question: Question, now: datetime) -> Answer:
    """One request, with the content unless that would count as a pull."""
    known = question.known
    etag = known.etag if known.remote else ""
    if question.reference.registry == DOCKER_HUB:
        return _ask_sparingly(registry, question, etag, now)
    document = registry.changed_document(question.reference, etag=etag)
    if document is None:
        return replace(known, checked_at=now, failure=None)
    return Answer(_remote(document), document.etag or f'"{document.digest}"', now)


def _ask_sparingly(registry: Registry, question: Question, etag: str, now: datetime) -> Answer:
    """Docker Hub counts what is read as a pull: ask for the digest, read an index only if needed.

    An index is needed once per digest, and only if somewhere something else is held.
    """
    head = registry.head(question.reference, etag=etag)
    remote = question.known.remote
    if remote is None or remote.digest != head.digest:
        remote = RemoteImage(head.digest, is_index=head.media_type in INDEXES)
    may_read = head.limit is None or head.limit.remaining > KEPT_FOR_PULLS
    if may_read and _needs_index(question, remote):
        # What was learned from the head counts, also if this second request fails.
        with contextlib.suppress(RegistryError):
            remote = _remote(registry.document(question.reference.at(head.digest)))
    return Answer(remote, head.etag or f'"{head.digest}"', now)


def _needs_index(question: Question, remote: RemoteImage) -> bool:
    return any(
        judge(question.reference, local, remote).reason == Reason.INDEX_NOT_READ
        for local in question.held
    )


def _remote(document: Manifest | Index) -> RemoteImage:
    if isinstance(document, Index):
        return RemoteImage(document.digest, is_index=True, children=document.children)
    return RemoteImage(document.digest, config_digest=document.config.digest)


def _failed(question: Question, error: RegistryError, now: datetime, *, was_asked: bool) -> Answer:
    """The last good answer stays; the failure says when to ask again."""
    before = question.known.failure
    times = before.times + 1 if before else 1
    wait = min(FIRST_WAIT * 2 ** min(times - 1, 20), LONGEST_WAIT)
    if isinstance(error, RateLimited) and error.retry_after is not None:
        wait = max(wait, timedelta(seconds=error.retry_after))
    wait *= 1 + JITTER * random.random()
    message = error.message
    if not was_asked:
        message = f"{error.about.registry} was not asked about {question.reference}. {message}"
    failure = Failure(error.code, message, error.detail, now, now + wait, times)
    return replace(question.known, failure=failure)
