"""Django's admin edits the catalog; people and their roles have a page of their own."""

from django.contrib import admin
from django.contrib.auth.models import Group

admin.site.unregister(Group)
