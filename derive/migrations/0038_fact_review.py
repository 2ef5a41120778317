"""Reviews of facts by people."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.fields import GuidField
from derive.sql.migrating import TableScript, reading_model

SEEN_BY = ("Viewer", "Operator", "Maintainer", "Reviewer")
REVIEWED_BY = ("Operator", "Maintainer", "Reviewer")
REVIEWERS_SEE = ("fact", "job", "run", "artifact")


def let_review(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let operators and reviewers decide on facts, and everybody see the reviews; maintainers set policies.

    The permissions are made here, before Django's own signal would.
    """
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)

    def grant(model: str, codename: str, name: str, to: tuple[str, ...]) -> None:
        content_type, _made = content_types.get_or_create(app_label="derive", model=model)
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        for group in to:
            groups.get_or_create(name=group)[0].permissions.add(permission)

    grant("factreview", "view_factreview", "Can view review", SEEN_BY)
    grant("factreview", "review_facts", "Can decide on facts", REVIEWED_BY)
    grant("factreview", "set_review_policy", "Can set how many facts are reviewed, and by how many", ("Maintainer",))
    grant("job", "see_payloads", "Can see payloads: input, evidence, prompts, answers, artifacts", ("Reviewer",))
    for model in REVIEWERS_SEE:
        grant(model, f"view_{model}", f"Can view {model}", ("Reviewer",))


class Migration(migrations.Migration):
    """The tables, who may decide, and the group for those who do nothing else."""

    dependencies: ClassVar = [("derive", "0041_batch")]

    operations: ClassVar = [
        TableScript("0044_fact_review"),
        reading_model(
            "FactReview",
            table="fact_review",
            key=("review_id", GuidField(primary_key=True)),
            plural="reviews",
        ),
        migrations.AlterModelOptions(
            "factreview",
            {
                "managed": False,
                "default_permissions": ("view",),
                "permissions": [
                    ("review_facts", "Can decide on facts"),
                    ("set_review_policy", "Can set how many facts are reviewed, and by how many"),
                ],
                "verbose_name": "review",
                "verbose_name_plural": "reviews",
            },
        ),
        reading_model(
            "ReviewPolicy",
            table="review_policy",
            key=("policy_seq", models.BigIntegerField(primary_key=True)),
            plural="review policies",
        ),
        migrations.AlterModelOptions(
            "reviewpolicy",
            {
                "managed": False,
                "default_permissions": ("view",),
                "verbose_name": "review policy",
                "verbose_name_plural": "review policies",
            },
        ),
        migrations.RunPython(let_review, migrations.RunPython.noop),
    ]
