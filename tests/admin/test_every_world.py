"""Every page in five worlds: with nothing, one thing, a definition without runs, a stopped worker, ended schedules."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tests.admin.conftest import Browse
from tests.admin.pages import pages
from tests.admin.worlds import WORLDS

NO_FORMAT = "/admin/derive/jobevent/export/x/"
"""An address that needs a known format in the place of a sample."""


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("who", ["superuser", "viewer"])
def test_every_page_answers(browse: Browse, settings: Settings, tmp_path: Path, world: str, who: str) -> None:
    settings.LAKE_URL = str(tmp_path)
    WORLDS[world]()
    client, found = browse(who), list(pages(needs_rows=False))
    assert len(found) > 30
    codes = {address: client.get(address).status_code for address in found if address != NO_FORMAT}
    # 405 is what answers to forms alone.
    others = {200, 302, 405, 403} if who == "viewer" else {200, 302, 405}
    assert not {address: code for address, code in codes.items() if code not in others}
