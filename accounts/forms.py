"""The sign-in form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accounts.audit import note
from accounts.models import User
from accounts.throttle import is_paused, note_failure, note_success


class SignInForm(AuthenticationForm):
    """Name and password; too many wrong ones lead to a pause."""

    username = forms.CharField(label="Name", max_length=150)

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        if is_paused(name, address):
            raise ValidationError("Too many wrong attempts. Wait five minutes, then try again.")
        try:
            cleaned = super().clean()
        except ValidationError:
            note_failure(name, address)
            known = User.objects.filter(username=name).first()
            # People type passwords where the name goes, so an unknown one is not kept.
            note("user.sign_in_failed", known or "Nobody of that name", user=None)
            raise
        note_success(name, address)
        return cleaned
