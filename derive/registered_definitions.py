"""Compares the interrogations of a folder with the definitions that workers have registered."""

from collections.abc import Iterable, Mapping

from django.db.models import Q

from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.models import Interrogation
from derive.sql.reading import reading


def changed_definitions(interrogations: Iterable[LoadedInterrogation]) -> Mapping[str, str]:
    """Return, by key, the interrogations whose files were changed under a version that is registered already.

    The value says so and what to do. Workers refuse such a definition. Raises QueueError.
    """
    ours = {(one.key, one.version): one for one in interrogations}
    if not ours:
        return {}
    wanted = Q()
    for key, version in ours:
        wanted |= Q(interrogation_key=key, version=version)
    rows = Interrogation.objects.filter(wanted).values_list("interrogation_key", "version", "definition_sha256")
    changed = {}
    for key, version, sha256 in reading(lambda: list(rows)):
        one = ours[key, version]
        if sha256 != one.definition.definition_sha256:
            changed[key] = f"{one.definition} was changed after it was registered: raise {one.version_place}"
    return changed
