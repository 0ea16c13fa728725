"""A guest waits as it is told, goes on where a download broke off, and keeps logins to itself."""

from __future__ import annotations

import email.utils
import hashlib
import time

import pytest
from archive_services import Services, serving

from scrframe.errors import ServiceError, UnfinishedError
from scrframe.plugin.helpers.guest import Guest, GuestSettings, said_in

CONTENT = bytes(range(256)) * 4000


def guest_of(**settings) -> Guest:
    quick = {"pause": 0, "first_wait": 0, "attempts": 3, "timeout": 2}
    return Guest(GuestSettings.model_validate({**quick, **settings}))


@pytest.fixture
def services():
    with serving(Services({}, {"data.bin": CONTENT})) as served:
        yield served


def test_requests_keep_their_distance(services):
    guest = guest_of(pause=0.05)
    start = time.monotonic()
    for _ in range(5):
        guest.get(f"{services.url}/files/data.bin")
    assert time.monotonic() - start >= 4 * 0.05


@pytest.mark.parametrize("stated", ["2", "date"])
def test_retry_after_is_a_number_or_a_date(services, stated, monkeypatch):
    guest = guest_of()
    waits = []
    monkeypatch.setattr(guest, "wait", lambda seconds, reason: waits.append((seconds, reason)))
    after = "2" if stated == "2" else email.utils.formatdate(time.time() + 2, usegmt=True)
    monkeypatch.setattr("archive_services.AFTER", after)
    services.faults = {"file": ["503"]}
    assert guest.get(f"{services.url}/files/data.bin").content == CONTENT
    ((seconds, reason),) = waits
    assert 0.5 < seconds <= 2
    assert "answers 503: down for a moment" in reason


def test_a_download_goes_on_where_it_broke_off(services, tmp_path):
    guest, target = guest_of(), tmp_path / "data.bin"
    md5 = hashlib.md5(CONTENT).hexdigest()
    services.faults = {"file": ["half"]}
    with pytest.raises(UnfinishedError, match="broke off"):
        guest.download(f"{services.url}/files/data.bin", target, md5)
    assert not target.exists()
    came = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < came < len(CONTENT)
    guest.download(f"{services.url}/files/data.bin", target, md5)
    assert target.read_bytes() == CONTENT
    assert services.sent == [len(CONTENT) // 2, len(CONTENT) - came]


def test_what_came_with_another_checksum_is_gone(services, tmp_path):
    services.faults = {"file": ["spoilt"]}
    with pytest.raises(UnfinishedError, match="another checksum"):
        guest_of().download(f"{services.url}/files/data.bin", tmp_path / "x", "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_tokens_and_logins_come_from_the_users_own_files(services, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    guest_of(token="SOME_TOKEN").get(f"{services.url}/files/data.bin")
    assert services.logins == ["Token s3cret"]
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login reader password pa55\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    guest_of().get(f"{services.url}/files/data.bin")
    assert services.logins[1].startswith("Basic ")


def test_nobody_is_there():
    with pytest.raises(ServiceError, match=r"cannot be reached: .*refused, 3 times in a row"):
        guest_of().get("http://127.0.0.1:9/none")


def test_words_of_pages_and_votables():
    page = "<html><head><title>x</title></head><body><h1>Gone</h1> to&nbsp;lunch</body></html>"
    assert said_in(page).startswith("Gone to")
    table = '<VOTABLE><INFO name="QUERY_STATUS" value="ERROR">no <b>such</b> table</INFO></VOTABLE>'
    assert said_in(table).startswith("no")
