"""Recurring interrogations whose runs are batches; and entities as long as everywhere else."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """``as_batch``, and 400 characters."""

    dependencies: ClassVar = [("derive", "0045_saved_views")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="recurringinterrogation",
            name="as_batch",
            field=models.BooleanField(
                default=False,
                help_text="Each run makes a batch of its jobs, named after this and the time.",
                verbose_name="as a batch",
            ),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="entity_id",
            field=models.CharField(blank=True, max_length=400, verbose_name="entity"),
        ),
    ]
