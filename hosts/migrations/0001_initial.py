import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Host",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("host_id", models.CharField(max_length=64, unique=True)),
                ("display_name", models.CharField(max_length=100)),
                (
                    "host_type",
                    models.CharField(
                        choices=[
                            ("subprocess", "Local processes"),
                            ("docker:local", "Local Docker"),
                            ("docker:remote", "Docker over SSH"),
                        ],
                        max_length=16,
                    ),
                ),
                ("ssh_url", models.CharField(blank=True, max_length=300)),
                ("is_enabled", models.BooleanField(default=True)),
                ("is_available", models.BooleanField(default=False)),
                (
                    "has_gpu",
                    models.BooleanField(
                        blank=True, help_text="Unknown until it was read.", null=True
                    ),
                ),
                ("samples_path", models.CharField(blank=True, max_length=500)),
                ("models_path", models.CharField(blank=True, max_length=500)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("disabled", "Disabled"),
                            ("client_missing", "Not installed"),
                            ("unreachable", "Unreachable"),
                            ("permission_denied", "Permission denied"),
                            ("too_old", "Version too old"),
                            ("starting", "Connecting"),
                            ("available", "Available"),
                            ("available_no_gpu", "Available, no GPU runtime"),
                            ("degraded", "Degraded"),
                            ("error", "Error"),
                        ],
                        default="starting",
                        max_length=20,
                    ),
                ),
                (
                    "state_text",
                    models.TextField(
                        blank=True, help_text="Why, in one sentence with the way out."
                    ),
                ),
                (
                    "advice",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="The way out: {steps, links, note, skip}.",
                    ),
                ),
                (
                    "facts",
                    models.JSONField(blank=True, default=dict, help_text="HostFacts as read last."),
                ),
                (
                    "strays",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Containers of ours without an engine (engines.strays).",
                    ),
                ),
                (
                    "disk",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="What takes its disk (engines.storage_work).",
                    ),
                ),
                (
                    "model_places",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Models by folder and volume (engines.model_places).",
                    ),
                ),
                (
                    "folders",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Where samples and models lie (engines.sample_work).",
                    ),
                ),
                (
                    "brought_samples",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Files that abm put there (engines.sample_work).",
                    ),
                ),
                (
                    "disk_at",
                    models.DateTimeField(
                        blank=True, help_text="When these were read last.", null=True
                    ),
                ),
                ("disk_asked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "gpu_text",
                    models.TextField(
                        blank=True, help_text="Why cards could not be read, in words."
                    ),
                ),
                ("gpu_detail", models.TextField(blank=True, help_text="The raw words.")),
                (
                    "gpus_read_at",
                    models.DateTimeField(blank=True, help_text="Even if it has none.", null=True),
                ),
                ("gpus_asked_at", models.DateTimeField(blank=True, null=True)),
                ("seen_at", models.DateTimeField(blank=True, null=True)),
                ("last_checked_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="RegistryLogin",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "registry",
                    models.CharField(help_text="As `docker.io`.", max_length=255, unique=True),
                ),
                ("username", models.CharField(max_length=255)),
                (
                    "password",
                    models.TextField(
                        editable=False, help_text="Encrypted; see accounts/secrets.py."
                    ),
                ),
                (
                    "checked_at",
                    models.DateTimeField(
                        blank=True, help_text="When it was tested last.", null=True
                    ),
                ),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why the registry did not accept it."),
                ),
                (
                    "is_unproved",
                    models.BooleanField(
                        default=False,
                        help_text="The registry lets anybody in and did not look at it.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["registry"],
            },
        ),
        migrations.CreateModel(
            name="Gpu",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.CharField(max_length=80)),
                ("vendor", models.CharField(default="nvidia", max_length=8)),
                ("index", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("name", models.CharField(max_length=200)),
                ("memory_total", models.BigIntegerField(blank=True, null=True)),
                ("memory_used", models.BigIntegerField(blank=True, null=True)),
                ("utilization", models.FloatField(blank=True, null=True)),
                ("temperature", models.FloatField(blank=True, null=True)),
                ("power", models.FloatField(blank=True, null=True)),
                ("power_limit", models.FloatField(blank=True, null=True)),
                ("driver", models.CharField(blank=True, max_length=40)),
                ("cuda", models.CharField(blank=True, max_length=20)),
                ("compute_capability", models.CharField(blank=True, max_length=20)),
                ("is_mig", models.BooleanField(blank=True, null=True)),
                (
                    "partitions",
                    models.JSONField(blank=True, default=list, help_text="[hosts.gpu Partition]"),
                ),
                (
                    "holders",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="[{engine, name, memory}], the largest first.",
                    ),
                ),
                (
                    "others",
                    models.PositiveIntegerField(
                        blank=True, help_text="Processes on it that are no engine's.", null=True
                    ),
                ),
                ("read_at", models.DateTimeField()),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="gpus",
                        to="hosts.host",
                    ),
                ),
            ],
            options={
                "ordering": ["host_id", "index", "uuid"],
                "constraints": [
                    models.UniqueConstraint(fields=("host", "uuid"), name="gpu_once_per_host")
                ],
            },
        ),
        migrations.CreateModel(
            name="HostImage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("image_id", models.CharField(max_length=80)),
                (
                    "name",
                    models.CharField(
                        help_text="As it was asked for, with its tag.", max_length=400
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="images",
                        to="hosts.host",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("host", "image_id", "name"), name="image_once_per_host"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RemoteAccess",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "owner_pk",
                    models.BigIntegerField(
                        blank=True, help_text="Who is adding it.", null=True, unique=True
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="Of the host that is being added.", max_length=100),
                ),
                (
                    "mark",
                    models.CharField(
                        help_text="The host's id, and what marks abm's key over there.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("address", models.CharField(help_text="ssh://user@host[:port]", max_length=300)),
                (
                    "key",
                    models.TextField(editable=False, help_text="Encrypted; see hosts/ssh/keys.py."),
                ),
                (
                    "pending_key",
                    models.TextField(
                        blank=True,
                        editable=False,
                        help_text="The next one, until the host lets it in.",
                    ),
                ),
                (
                    "known_keys",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Host keys that an admin has accepted, as lines.",
                    ),
                ),
                (
                    "offered_keys",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="What the host showed last, where that is another.",
                    ),
                ),
                (
                    "checks",
                    models.JSONField(
                        blank=True, default=list, help_text="Rows of hosts.remote_work."
                    ),
                ),
                (
                    "checked_at",
                    models.DateTimeField(
                        blank=True, help_text="When the last test ended.", null=True
                    ),
                ),
                ("check_asked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "is_always_on",
                    models.BooleanField(
                        default=True, help_text="Off: it may be away without that being a trouble."
                    ),
                ),
                (
                    "waits_while_away",
                    models.BooleanField(
                        default=True,
                        help_text="Off: jobs for it fail while it is away, instead of waiting.",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "host",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="access",
                        to="hosts.host",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("host", None), ("owner_pk__isnull", False)),
                            models.Q(("host__isnull", False), ("owner_pk", None)),
                            _connector="OR",
                        ),
                        name="access_of_host_or_person",
                    )
                ],
            },
        ),
    ]
