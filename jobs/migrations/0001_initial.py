import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("engines", "0001_initial"),
        ("hosts", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("topic", models.CharField(max_length=64)),
                ("name", models.CharField(max_length=64)),
                ("ids", models.JSONField(default=dict)),
                (
                    "text",
                    models.CharField(
                        blank=True, help_text="For people; empty = unlisted.", max_length=300
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        help_text="The process that already announced it.", max_length=64
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("name", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("holder", models.CharField(help_text="The name of a `Process`.", max_length=64)),
                ("expires_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Process",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="As `Job.worker` names it.", max_length=64, unique=True
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("web", "Web"), ("worker", "Worker"), ("link", "Link")],
                        max_length=8,
                    ),
                ),
                (
                    "machine",
                    models.CharField(
                        help_text="The name of its machine or container.", max_length=255
                    ),
                ),
                ("version", models.CharField(max_length=32)),
                (
                    "is_standby",
                    models.BooleanField(default=False, help_text="A link that waits for its turn."),
                ),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name_plural": "processes",
                "ordering": ["role", "started_at"],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("install", "Install"),
                            ("uninstall", "Uninstall"),
                            ("start", "Start"),
                            ("stop", "Stop"),
                            ("restart", "Restart"),
                            ("load", "Load a model"),
                            ("discover", "Discover models"),
                            ("test", "Test"),
                            ("update", "Update"),
                            ("rollback", "Roll back"),
                            ("reclaim", "Give back disk space of"),
                            ("adopt", "Adopt"),
                            ("remove", "Remove"),
                            ("delete", "Delete"),
                            ("build", "Build"),
                            ("push", "Push"),
                            ("load_image", "Load images"),
                            ("save", "Save"),
                            ("copy", "Copy"),
                            ("examine", "Examine"),
                            ("sync", "Sync the catalog"),
                            ("samples", "Bring samples to"),
                            ("folder", "Make a folder on"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "task",
                    models.CharField(
                        help_text="The Celery task that does this action.", max_length=100
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting"),
                            ("running", "Running"),
                            ("succeeded", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "registry",
                    models.CharField(
                        blank=True,
                        help_text="Where it pulls from; a registry's pulls queue.",
                        max_length=255,
                    ),
                ),
                (
                    "subject",
                    models.CharField(help_text="What it is done to, in words.", max_length=200),
                ),
                ("params", models.JSONField(blank=True, default=dict)),
                (
                    "steps",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="[{key, title, started_at, finished_at, is_failed}], UTC ISO.",
                    ),
                ),
                (
                    "progress_done",
                    models.BigIntegerField(default=0, help_text="Bytes, or steps without bytes."),
                ),
                ("progress_total", models.BigIntegerField(blank=True, null=True)),
                ("progress_unit", models.CharField(default="steps", max_length=8)),
                ("percent", models.FloatField(default=0, help_text="0 to 100; never goes back.")),
                ("rate", models.FloatField(blank=True, help_text="Bytes a second.", null=True)),
                (
                    "transfer",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="More of a download; see jobs/transfer.py.",
                    ),
                ),
                ("waiting_for", models.CharField(blank=True, max_length=200)),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("error", models.TextField(blank=True, help_text="One sentence with the way out.")),
                (
                    "error_detail",
                    models.TextField(blank=True, help_text="The raw text, folded out on demand."),
                ),
                ("rung_at", models.DateTimeField(blank=True, null=True)),
                ("worker", models.CharField(blank=True, max_length=64)),
                ("child_pid", models.IntegerField(blank=True, null=True)),
                (
                    "child_created",
                    models.FloatField(blank=True, help_text="Epoch seconds (psutil).", null=True),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("deadline_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                (
                    "engine",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="jobs",
                        to="engines.engine",
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="jobs",
                        to="hosts.host",
                    ),
                ),
                (
                    "retry_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="jobs.job",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="JobLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("text", models.TextField()),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="jobs.job",
                    ),
                ),
            ],
            options={
                "ordering": ["number"],
            },
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["status", "heartbeat_at"], name="job_status_heartbeat"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=("engine",),
                name="one_open_job_per_engine",
            ),
        ),
        migrations.AddConstraint(
            model_name="jobline",
            constraint=models.UniqueConstraint(fields=("job", "number"), name="job_line_number"),
        ),
    ]
