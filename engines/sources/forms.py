"""What a person says of an image that comes from elsewhere; each fault stands at its field."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from django import forms
from pydantic import TypeAdapter, ValidationError

from accounts.models import User
from catalog.definition import ImageName
from engines.sources.recipe import Recipe, local_name
from engines.sources.services import Asking
from hosts.models import Host
from hosts.oci.reference import BadReference, ImageReference
from hosts.queries import operated_by

VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
LONGEST_TABLE = 20_000
UNFIT = re.compile(r"[^a-z0-9-]+")


class HostField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A Docker host that can be used now."""

    def __init__(self) -> None:
        super().__init__(queryset=Host.objects.none(), empty_label=None, label="Host")

    def __deepcopy__(self, memo: Any) -> HostField:
        copied: HostField = super().__deepcopy__(memo)
        copied.queryset = Host.objects.exclude(host_type=Host.Type.SUBPROCESS).filter(
            is_enabled=True, state__in=Host.USABLE
        )
        return copied


def narrowed(form: forms.Form, user: User) -> forms.Form:
    """The form with those hosts alone that `user` may operate."""
    field = form.fields["host"]
    if isinstance(field, HostField) and field.queryset is not None:
        field.queryset = operated_by(user, field.queryset)
    return form


class VariablesField(forms.CharField):
    """Lines of NAME=value."""

    def __init__(self, **options: Any) -> None:
        area = forms.Textarea(attrs={"rows": 3, "placeholder": "NAME=value", "spellcheck": "false"})
        super().__init__(required=False, widget=area, max_length=LONGEST_TABLE, **options)

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in str(super().clean(value)).splitlines():
            if not line.strip():
                continue
            name, has_value, text = line.strip().partition("=")
            if not has_value or not VARIABLE.match(name):
                raise forms.ValidationError(f"“{line.strip()[:60]}” is not of the form NAME=value.")
            found[name] = text
        return found


class ImageField(forms.CharField):
    """An image by name and tag."""

    def __init__(self, **options: Any) -> None:
        attrs = {"placeholder": "ghcr.io/owner/name:tag", "autocapitalize": "none"}
        widget = forms.TextInput(attrs={**attrs, "autocomplete": "off", "spellcheck": "false"})
        super().__init__(max_length=400, widget=widget, **options)

    def clean(self, value: Any) -> str:
        text = str(super().clean(value)).strip()
        if not text:
            return text
        try:
            found = ImageReference.parse(text)
            TypeAdapter(ImageName).validate_python(str(found).rpartition(":")[0])
        except BadReference as error:
            raise forms.ValidationError(str(error)) from error
        except ValidationError as error:
            raise forms.ValidationError(
                f"{text[:100]} is no name that a catalog can have: small letters, digits and "
                ". _ - between slashes, such as ghcr.io/owner/name:tag."
            ) from error
        if found.digest:
            raise forms.ValidationError("Name the image by a tag, not by a digest.")
        return str(found)


class BuildForm(forms.Form):
    """A build: from a folder or a repository."""

    host = HostField()
    url = forms.CharField(
        required=False,
        max_length=500,
        label="Git repository",
        help_text="https://…, git@host:owner/name, or a folder below instead.",
    )
    ref = forms.CharField(
        required=False, max_length=200, label="Branch, tag or commit", help_text="Empty: default."
    )
    folder = forms.CharField(
        required=False, max_length=500, label="Folder on this machine", help_text="Whole path."
    )
    sub_folder = forms.CharField(
        required=False,
        max_length=300,
        label="Context",
        help_text="A folder below the repository or folder. Empty: its top.",
    )
    dockerfile = forms.CharField(
        required=False,
        max_length=300,
        initial="Dockerfile",
        help_text="Seen from the context, such as tts/xtts/Dockerfile.",
    )
    image = ImageField(
        required=False,
        label="Name of the image",
        help_text="Empty: a name for this host alone. It can be pushed later.",
    )
    name = forms.RegexField(
        r"^[a-z][a-z0-9-]{0,63}$",
        required=False,
        label="Name in the catalog",
        help_text="Empty: the engine's own name.",
        error_messages={"invalid": "Small letters, digits and hyphens, a letter first."},
    )
    build_args = VariablesField(
        label="Build arguments", help_text="Anybody who has the image can read them."
    )
    platform = forms.RegexField(
        r"^[a-z0-9]+/[a-z0-9]+(/v[0-9])?$",
        required=False,
        help_text="Such as linux/arm64. Empty: the host's own.",
        error_messages={"invalid": "A platform looks like linux/arm64."},
    )
    network = forms.ChoiceField(
        required=False,
        choices=[("", "Docker's own"), ("host", "The host's"), ("none", "None")],
        help_text="What steps of the build may reach.",
    )
    is_fresh = forms.BooleanField(required=False, label="Build all anew, without cache")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if bool(cleaned.get("url")) == bool(cleaned.get("folder")):
            self.add_error("url", "Name either a Git repository or a folder.")
        return cleaned

    def recipe(self) -> Recipe:
        """What was chosen; of a valid form."""
        names = ("folder", "url", "ref", "sub_folder", "platform", "network", "is_fresh", "name")
        chosen = {name: self.cleaned_data[name] for name in names}
        return Recipe(
            **chosen,
            dockerfile=self.cleaned_data["dockerfile"] or "Dockerfile",
            build_args=self.cleaned_data["build_args"],
        )

    def image_name(self) -> str:
        """What the image is called; a name of this host where none was given."""
        data = self.cleaned_data
        if data["image"]:
            return str(data["image"])
        dockerfile = PurePosixPath(data["dockerfile"] or "Dockerfile").parent.name
        where = urlsplit(data["url"]).path or data["url"] or data["folder"]
        own = data["name"] or dockerfile or data["sub_folder"] or where.removesuffix(".git")
        name = UNFIT.sub("-", PurePosixPath(own.replace(":", "/")).name.lower()).strip("-")
        return f"{local_name(name or 'image')}:latest"


class ExamineForm(forms.Form):
    """An image that is to say itself what it is."""

    host = HostField()
    image = ImageField(help_text="On the host, or in a registry that the host can pull from.")
    port = forms.IntegerField(
        initial=8766, min_value=1, max_value=65_535, help_text="Where it listens inside."
    )
    seconds = forms.IntegerField(
        initial=90, min_value=5, max_value=3_600, label="Wait so many seconds for it"
    )
    needs_gpu = forms.BooleanField(required=False, label="Give it a GPU")
    environment = VariablesField(label="Variables", help_text="Only for this one start.")

    def asking(self) -> Asking:
        data = self.cleaned_data
        return Asking(data["port"], data["seconds"], data["needs_gpu"], data["environment"])


class PathForm(forms.Form):
    """A file of images on this machine."""

    host = HostField()
    path = forms.CharField(max_length=500, label="File on this machine", help_text="Whole path.")


class PushForm(forms.Form):
    """Where an image goes."""

    host = HostField()
    to = ImageField(label="Push as")
