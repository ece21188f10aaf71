import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("catalog", "0001_initial"),
        ("hosts", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImageCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "reference",
                    models.CharField(
                        help_text="Its whole name and tag.", max_length=400, unique=True
                    ),
                ),
                (
                    "remote",
                    models.JSONField(
                        blank=True, default=dict, help_text="RemoteImage; empty for none."
                    ),
                ),
                ("etag", models.CharField(blank=True, max_length=300)),
                (
                    "checked_at",
                    models.DateTimeField(
                        blank=True, help_text="Of the last good answer.", null=True
                    ),
                ),
                (
                    "failure",
                    models.JSONField(
                        blank=True, default=dict, help_text="Failure; empty for none."
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(blank=True, help_text="Set while it is asked.", null=True),
                ),
            ],
            options={
                "ordering": ["reference"],
            },
        ),
        migrations.CreateModel(
            name="StoredSettings",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("category", models.CharField(max_length=20, unique=True)),
                ("value", models.JSONField(default=dict)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="Engine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("display_name", models.CharField(max_length=100)),
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
                ("tag", models.CharField(blank=True, max_length=128)),
                ("version", models.CharField(blank=True, max_length=100)),
                (
                    "definition",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="The entry as it was installed (engine.yaml's keys).",
                    ),
                ),
                ("content_hash", models.CharField(blank=True, max_length=64)),
                (
                    "attached_url",
                    models.CharField(
                        blank=True,
                        help_text="Runs elsewhere, under a debugger; abm only asks it.",
                        max_length=300,
                    ),
                ),
                (
                    "image",
                    models.CharField(blank=True, help_text="Without the tag.", max_length=300),
                ),
                (
                    "platform",
                    models.CharField(
                        blank=True, help_text="Empty takes the host's.", max_length=40
                    ),
                ),
                (
                    "image_id",
                    models.CharField(blank=True, help_text="What a start runs.", max_length=80),
                ),
                (
                    "image_digest",
                    models.CharField(blank=True, help_text="Of its registry.", max_length=80),
                ),
                (
                    "image_found",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Its digests and platform, as the host said last.",
                    ),
                ),
                ("previous_image_id", models.CharField(blank=True, max_length=80)),
                ("previous_image_digest", models.CharField(blank=True, max_length=80)),
                (
                    "previous",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="All that Roll back brings again (engines.versions).",
                    ),
                ),
                ("uses_gpu", models.BooleanField(default=False)),
                (
                    "gpus",
                    models.JSONField(
                        blank=True, default=list, help_text="UUIDs; empty takes every card."
                    ),
                ),
                (
                    "forbids_cpu",
                    models.BooleanField(
                        default=False,
                        help_text="A start that ends up on the CPU instead of its GPU fails.",
                    ),
                ),
                ("ports", models.JSONField(blank=True, default=list, help_text="[PortBinding]")),
                ("mounts", models.JSONField(blank=True, default=list, help_text="[Mount]")),
                (
                    "limits",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="The rest of ContainerSpec that a user set.",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("absent", "Not installed"),
                            ("installing", "Installing"),
                            ("stopped", "Stopped"),
                            ("starting", "Starting"),
                            ("downloading", "Downloading its model"),
                            ("loading", "Loading"),
                            ("running", "Running"),
                            ("stopping", "Stopping"),
                            ("failed", "Failed"),
                            ("missing", "Missing"),
                            ("uninstalling", "Uninstalling"),
                        ],
                        default="absent",
                        max_length=16,
                    ),
                ),
                ("state_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "state_text",
                    models.TextField(blank=True, help_text="More about the state, in words."),
                ),
                (
                    "seen_at",
                    models.DateTimeField(
                        blank=True, help_text="When the host last told.", null=True
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("error", models.TextField(blank=True)),
                (
                    "error_detail",
                    models.TextField(blank=True, help_text="The last log lines, or the raw text."),
                ),
                ("port", models.PositiveIntegerField(blank=True, null=True)),
                ("url", models.CharField(blank=True, max_length=300)),
                ("device", models.CharField(blank=True, max_length=16)),
                ("loaded_model", models.CharField(blank=True, max_length=200)),
                ("package_version", models.CharField(blank=True, max_length=100)),
                ("memory_bytes", models.BigIntegerField(blank=True, null=True)),
                ("disk_bytes", models.BigIntegerField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("installed_at", models.DateTimeField(blank=True, null=True)),
                ("busy_until", models.DateTimeField(blank=True, null=True)),
                (
                    "used_at",
                    models.DateTimeField(
                        blank=True, help_text="End of the last request.", null=True
                    ),
                ),
                (
                    "idle_minutes",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Stopped after so long unused; 0 never; empty = setting.",
                        null=True,
                    ),
                ),
                ("auto_updates", models.BooleanField(default=False)),
                (
                    "skipped_digest",
                    models.CharField(
                        blank=True,
                        help_text="Failed or rolled back from: not taken by itself.",
                        max_length=80,
                    ),
                ),
                ("update_checked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "update_digest",
                    models.CharField(
                        blank=True, help_text="Newer, at its registry.", max_length=80
                    ),
                ),
                (
                    "update_text",
                    models.TextField(blank=True, help_text="What the last check found, in words."),
                ),
                (
                    "consent_text",
                    models.TextField(blank=True, help_text="What was agreed to, as it stood."),
                ),
                ("consented_at", models.DateTimeField(blank=True, null=True)),
                (
                    "parameters",
                    models.JSONField(blank=True, default=dict, help_text="Set by users."),
                ),
                ("environment", models.JSONField(blank=True, default=dict)),
                (
                    "secrets",
                    models.JSONField(blank=True, default=dict, help_text="{NAME: encrypted value}"),
                ),
                ("default_language", models.CharField(blank=True, max_length=16)),
                ("is_default", models.BooleanField(default=False)),
                (
                    "is_enabled",
                    models.BooleanField(default=True, help_text="Off: it cannot be started."),
                ),
                ("keep_running", models.BooleanField(default=False)),
                ("restarts_on_change", models.BooleanField(default=False)),
                ("crash_count", models.PositiveIntegerField(default=0, help_text="In a row.")),
                (
                    "restart_at",
                    models.DateTimeField(blank=True, help_text="After a crash.", null=True),
                ),
                ("tested_at", models.DateTimeField(blank=True, null=True)),
                ("test_passed", models.BooleanField(blank=True, null=True)),
                ("test_text", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "consented_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="engines",
                        to="hosts.host",
                    ),
                ),
                (
                    "variant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="engines",
                        to="catalog.variant",
                    ),
                ),
            ],
            options={
                "ordering": ["engine_type", "name", "host_id"],
            },
        ),
        migrations.CreateModel(
            name="EngineModel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("display_name", models.CharField(blank=True, max_length=200)),
                ("languages", models.JSONField(blank=True, default=list)),
                (
                    "fields",
                    models.JSONField(
                        blank=True, default=list, help_text="[{key, value, fieldType}]"
                    ),
                ),
                ("size_bytes", models.BigIntegerField(blank=True, null=True)),
                ("is_default", models.BooleanField(default=False)),
                ("discovered_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "engine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="engine_models",
                        to="engines.engine",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Sample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                (
                    "file",
                    models.CharField(
                        help_text="Below DATA_DIR/samples.", max_length=80, unique=True
                    ),
                ),
                ("rate", models.PositiveIntegerField(help_text="Hz.")),
                ("channels", models.PositiveSmallIntegerField()),
                ("seconds", models.FloatField()),
                ("size", models.BigIntegerField(help_text="Bytes.")),
                (
                    "advice",
                    models.JSONField(
                        blank=True, default=list, help_text="What may sound better: sentences."
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("name"), name="sample_name_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Trial",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("request", models.JSONField(default=dict)),
                ("result", models.JSONField(blank=True, default=dict)),
                (
                    "audio",
                    models.CharField(
                        blank=True, help_text="File below DATA_DIR/trials.", max_length=200
                    ),
                ),
                ("audio_seconds", models.FloatField(blank=True, null=True)),
                ("took_seconds", models.FloatField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "engine",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="trials",
                        to="engines.engine",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.AddIndex(
            model_name="engine",
            index=models.Index(fields=["engine_type", "name", "host"], name="engine_list_order"),
        ),
        migrations.AddConstraint(
            model_name="engine",
            constraint=models.UniqueConstraint(
                fields=("host", "name"), name="engine_name_per_host"
            ),
        ),
        migrations.AddConstraint(
            model_name="engine",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_default", True)),
                fields=("engine_type",),
                name="one_default_per_type",
            ),
        ),
        migrations.AddConstraint(
            model_name="enginemodel",
            constraint=models.UniqueConstraint(
                fields=("engine", "name"), name="model_name_per_engine"
            ),
        ),
        migrations.AddConstraint(
            model_name="enginemodel",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_default", True)),
                fields=("engine",),
                name="one_default_model",
            ),
        ),
    ]
