"""The templates' own filter: ``{% load texts %}``."""

from django.template import Library

from derive.admin.texts import CELL_CHARACTERS, cell

register = Library()


@register.filter
def plain(value: object) -> str:
    """Return a stranger's short text on one line, with nothing in it that hides or reorders; none: a dash."""
    return cell(str(value), 4 * CELL_CHARACTERS) if value not in {None, ""} else "–"
