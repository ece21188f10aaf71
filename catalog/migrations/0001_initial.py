import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CatalogSource",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("bundled", "Comes with abm"),
                            ("online", "Online catalog"),
                            ("folder", "Engines under development"),
                            ("custom", "Made by an admin"),
                        ],
                        default="online",
                        max_length=16,
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        blank=True, help_text="http(s) address of a catalog.", max_length=500
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True)),
                (
                    "allows_private_addresses",
                    models.BooleanField(
                        default=False,
                        help_text="Let this source be fetched from loopback or a private network.",
                    ),
                ),
                ("etag", models.CharField(blank=True, editable=False, max_length=300)),
                ("last_modified", models.CharField(blank=True, editable=False, max_length=100)),
                ("content_sha256", models.CharField(blank=True, editable=False, max_length=64)),
                (
                    "read_by",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="The abm that read it; another one reads it again, also when it is unchanged.",
                        max_length=50,
                    ),
                ),
                ("registry", models.CharField(blank=True, max_length=300)),
                (
                    "synced_at",
                    models.DateTimeField(blank=True, help_text="Last good sync.", null=True),
                ),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why the last sync failed, in words."),
                ),
                (
                    "problems",
                    models.JSONField(
                        blank=True, default=list, help_text="Entries left out, and why."
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="CatalogEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                (
                    "engine_type",
                    models.CharField(
                        choices=[
                            ("tts", "Text to speech"),
                            ("stt", "Speech to text"),
                            ("text", "Text"),
                            ("audio", "Audio analysis"),
                        ],
                        max_length=8,
                    ),
                ),
                ("display_name", models.CharField(max_length=100)),
                ("description", models.TextField(blank=True)),
                ("version", models.CharField(blank=True, max_length=50)),
                ("upstream_name", models.CharField(blank=True, max_length=200)),
                ("upstream_url", models.CharField(blank=True, max_length=500)),
                ("license", models.CharField(blank=True, max_length=100)),
                ("supported_languages", models.JSONField(blank=True, default=list)),
                ("constraints", models.JSONField(blank=True, default=dict)),
                ("capabilities", models.JSONField(blank=True, default=dict)),
                ("parameters", models.JSONField(blank=True, default=dict)),
                (
                    "model_rows",
                    models.JSONField(
                        blank=True, default=list, help_text="The definition's `models`."
                    ),
                ),
                ("default_model", models.CharField(blank=True, max_length=200)),
                (
                    "extra",
                    models.JSONField(
                        blank=True, default=dict, help_text="What engine.yaml's `abm` says."
                    ),
                ),
                (
                    "folder",
                    models.CharField(
                        blank=True, help_text="Where its source lies here.", max_length=500
                    ),
                ),
                ("content_hash", models.CharField(blank=True, max_length=64)),
                ("is_withdrawn", models.BooleanField(default=False)),
                (
                    "overrides",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="What an admin says instead of the columns above.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="entries",
                        to="catalog.catalogsource",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "catalog entries",
                "ordering": ["engine_type", "name"],
            },
        ),
        migrations.CreateModel(
            name="Variant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("tag", models.CharField(default="latest", max_length=128)),
                (
                    "image",
                    models.CharField(blank=True, help_text="Without the tag.", max_length=300),
                ),
                ("platforms", models.JSONField(blank=True, default=list)),
                ("needs_gpu", models.BooleanField(default=False)),
                (
                    "position",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="0 is the default variant."
                    ),
                ),
                ("digest", models.CharField(blank=True, max_length=80)),
                ("download_bytes", models.BigIntegerField(blank=True, null=True)),
                ("disk_bytes", models.BigIntegerField(blank=True, null=True)),
                (
                    "measured_image",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Whose registry told digest and sizes; empty = they are the source's.",
                        max_length=430,
                    ),
                ),
                ("measured_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "measure_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="Not asked before; empty = at once.",
                        null=True,
                    ),
                ),
                ("measure_failures", models.PositiveSmallIntegerField(default=0, editable=False)),
                ("measure_error", models.TextField(blank=True, editable=False)),
                (
                    "has_measured_platforms",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="They are the registry's word, not the source's.",
                    ),
                ),
                ("is_withdrawn", models.BooleanField(default=False)),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="variants",
                        to="catalog.catalogentry",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "pk"],
            },
        ),
        migrations.AddConstraint(
            model_name="catalogentry",
            constraint=models.UniqueConstraint(
                fields=("source", "name"), name="entry_name_per_source"
            ),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.UniqueConstraint(
                fields=("entry", "tag"), name="variant_tag_per_entry"
            ),
        ),
    ]
