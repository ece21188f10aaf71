"""Views whose code is read when they are first asked for.

django-allauth, passkeys and HTTP clients behind it take 0.15 s and 20 MB, and most requests of abm
are for none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string


def late(path: str, *, is_open: bool = False) -> Callable[..., HttpResponseBase]:
    """The view of this dotted path, imported at its first request.

    `is_open` lets in who is not signed in: what the view says of that itself is read too late.
    """

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer: HttpResponseBase = import_string(path)(request, *args, **kwargs)
        return answer

    view.login_required = not is_open  # type: ignore[attr-defined]
    return view
