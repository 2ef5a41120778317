"""What operators set for a model: pauses, limits, its context."""

from typing import ClassVar

from django.db import migrations, models

from derive.sql.migrating import TableScript, reading_model


class Migration(migrations.Migration):
    """``llm.model``, its history, and the starts that count against a limit."""

    dependencies: ClassVar = [("derive", "0023_fact_cost")]

    operations: ClassVar = [
        TableScript("0037_model"),
        reading_model(
            "LanguageModel",
            table="model",
            key=("model", models.CharField(max_length=200, primary_key=True)),
            plural="models",
        ),
    ]
