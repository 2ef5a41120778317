"""What the web server sends with every page."""

import re

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_a_page_forbids_what_it_does_not_need(client: Client) -> None:
    page = client.get("/admin/login/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    for directive in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in policy
    assert not re.search(r"https?:|\*", policy)
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "same-origin"


def test_a_page_loads_nothing_from_elsewhere(client: Client) -> None:
    text = client.get("/admin/login/").content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text)


def test_static_files_are_served_without_a_collectstatic(client: Client) -> None:
    page = client.get("/admin/login/").content.decode()
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert found
    for address in found:
        answer = client.get(address)
        assert answer.status_code == 200, address
        answer.close()


def test_a_host_that_was_not_named_is_refused(client: Client) -> None:
    assert client.get("/admin/login/", headers={"host": "elsewhere.example"}).status_code == 400
