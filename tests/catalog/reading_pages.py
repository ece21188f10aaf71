"""What a page of the catalog shows."""

from __future__ import annotations

from django.test import Client


def page_of(client: Client, address: str = "/catalog/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def names_on(client: Client, address: str) -> set[str]:
    answer = client.get(address)
    return {entry.name for entry in answer.context["page"]}
