from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="catalogsource",
            name="read_by",
            field=models.CharField(
                blank=True,
                editable=False,
                help_text="The abm that read it; another one reads it again, also when it is unchanged.",
                max_length=50,
            ),
        ),
    ]
