"""Users and groups, on unfold's forms."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from derive.admin.site.model_admin import GuardedAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, GuardedAdmin):  # type: ignore[type-arg]
    """Users; editing them needs Django's own permission, which no group has."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    # Django's dual list box does not work on phones or with screen readers; a plain list does.
    filter_horizontal = ()


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, GuardedAdmin):
    """Groups."""

    filter_horizontal = ()
