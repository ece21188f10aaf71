import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="NotifyTarget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "type",
                    models.CharField(
                        choices=[("apprise", "Message"), ("webhook", "Webhook")], max_length=8
                    ),
                ),
                (
                    "url",
                    models.TextField(help_text="Encrypted: addresses of Apprise hold passwords."),
                ),
                ("secret", models.TextField(blank=True, help_text="Encrypted; signs a webhook.")),
                ("kinds", models.JSONField(default=list, help_text="[Kind]")),
                ("is_enabled", models.BooleanField(default=True)),
                ("quiet_from", models.TimeField(blank=True, help_text="In TIME_ZONE.", null=True)),
                ("quiet_until", models.TimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True, help_text="Of the last attempt, in words.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Watermark",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("event_id", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("host_down", "A host is down, or back"),
                            ("host_key", "A host's key changed"),
                            ("engine_crashed", "An engine crashed"),
                            ("job_failed", "A job failed"),
                            ("update", "An update is available"),
                            ("disk_low", "A disk is nearly full"),
                            ("test", "A test"),
                        ],
                        max_length=16,
                    ),
                ),
                ("key", models.CharField(blank=True, max_length=200)),
                ("title", models.CharField(max_length=200)),
                ("text", models.TextField(blank=True)),
                (
                    "is_over",
                    models.BooleanField(
                        default=False, help_text="It tells that a trouble has ended."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sending", "Sending"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
                (
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="abm.notifytarget",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Trouble",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("host_down", "A host is down, or back"),
                            ("host_key", "A host's key changed"),
                            ("engine_crashed", "An engine crashed"),
                            ("job_failed", "A job failed"),
                            ("update", "An update is available"),
                            ("disk_low", "A disk is nearly full"),
                            ("test", "A test"),
                        ],
                        max_length=16,
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("text", models.TextField(blank=True)),
                (
                    "times",
                    models.PositiveIntegerField(default=1, help_text="How often it was seen."),
                ),
                ("began_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("told_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("key",),
                        name="one_open_trouble",
                    )
                ],
            },
        ),
    ]
