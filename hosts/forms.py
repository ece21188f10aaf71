"""What a person may set on a host."""

from __future__ import annotations

from django import forms

from hosts.models import Host


class HostForm(forms.ModelForm):  # type: ignore[type-arg]
    """A host's name, its folders, and whether abm uses it."""

    class Meta:
        model = Host
        fields = ["display_name", "samples_path", "models_path", "is_enabled"]
        labels = {
            "display_name": "Name",
            "samples_path": "Folder of speaker samples",
            "models_path": "Folder of models",
            "is_enabled": "abm uses this host",
        }
        help_texts = {
            "samples_path": "On that machine. Empty: abm's own; on another machine a volume.",
            "models_path": "On that machine. Empty: abm's own; on another machine volumes.",
            "is_enabled": "Switched off, abm leaves it alone; its engines are not touched.",
        }
