"""The tables, a line a script; and the unmanaged models, of which Django's state needs a name, a key and a table."""

from typing import ClassVar

from django.db import migrations, models

from derive.sql.fields import GuidField
from derive.sql.migrating import TableScript, reading_model

_TEXT = models.CharField(max_length=200, primary_key=True)
_NUMBER = models.BigIntegerField(primary_key=True)
_GUID = GuidField(primary_key=True)


class Migration(migrations.Migration):
    """The schema ``llm``."""

    initial = True

    operations: ClassVar = [
        TableScript("0001_schema"),
        TableScript("0002_roles"),
        TableScript("0003_functions"),
        TableScript("0004_job"),
        TableScript("0005_run"),
        TableScript("0006_artifact"),
        TableScript("0007_job_event"),
        TableScript("0008_worker"),
        TableScript("0009_interrogation"),
        TableScript("0010_lake_deletion"),
        TableScript("0011_grants"),
        reading_model("Job", table="job", key=("job_id", _GUID), plural="jobs"),
        reading_model("Run", table="run", key=("run_id", _GUID), plural="runs"),
        reading_model("Artifact", table="artifact", key=("artifact_id", _GUID), plural="artifacts"),
        reading_model("JobEvent", table="job_event", key=("event_seq", _NUMBER), plural="events"),
        reading_model("Worker", table="worker", key=("worker_id", _TEXT), plural="workers"),
        reading_model(
            "Interrogation", table="interrogation", key=("definition_sha256", _TEXT), plural="interrogations"
        ),
        reading_model("SchemaScript", table="schema_script", key=("script_name", _TEXT), plural="schema scripts"),
        reading_model("LakeDeletion", table="lake_deletion", key=("deletion_seq", _NUMBER), plural="lake deletions"),
    ]
