"""How often a retry policy queues one job anew."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """A limit for every policy, those that there are included."""

    dependencies: ClassVar = [("derive", "0009_retention_policies")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="retrypolicy",
            name="max_requeues",
            field=models.PositiveIntegerField(
                default=3,
                help_text="How often this policy queues one job anew. A job that ends again after so many is left "
                "alone, and the report says so.",
                verbose_name="times a job",
            ),
        ),
    ]
