"""API keys at the front door: made at the terminal, sent by clients, ended everywhere."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from backend.accounts import commands
from backend.accounts.register import KeyRegister
from backend.jobs.database import open_database
from tests.backend.accounts.conftest import STATIC, keys, new_key, stored
from tests.fake_webui import FakeWebUI
from tests.running import API, Sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
_addresses = (f"198.51.100.{number}" for number in itertools.count(1))


def by(key: str) -> dict[str, str]:
    """How the key is sent, from an address of its own."""
    return {"X-API-Key": key, "X-Forwarded-For": next(_addresses)}


@pytest.fixture(scope="module")
def key(locked: Sluice) -> str:
    return new_key(locked)


def models(sluice: Sluice, headers: dict[str, str], **options: object) -> requests.Response:
    return sluice.get(f"{API}/models", headers=headers, **options)


def test_without_a_key_only_what_is_open_answers(locked: Sluice) -> None:
    nobody = {"X-Forwarded-For": next(_addresses)}
    for path in ("/", "/docs", "/openapi.json", "/metrics", f"{API}/health", f"{API}/health/ready"):
        assert locked.get(path, headers=nobody).status_code == 200
    for path in (f"{API}/models", f"{API}/jobs", f"{API}/jobs/x", "/nowhere", f"{API}/txt2img"):
        assert locked.get(path, headers=nobody).status_code == 401
    refused = locked.post("txt2img", json=SMALL, headers=nobody)
    assert refused.json()["code"] == "key_missing"
    assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="sluice", Basic realm=')


def test_the_document_says_what_is_open(locked: Sluice) -> None:
    document = locked.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"key", "bearer", "basic"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            url = locked.url + API + re.sub(r"{\w+}", str(uuid4()), path)
            address = {"X-Forwarded-For": next(_addresses)}
            status = locked.http.request(method, url, headers=address, timeout=30).status_code
            is_open = operation.get("security") == []
            assert (status != 401, "401" not in operation["responses"]) == (is_open, is_open)


def test_a_key_opens_by_each_way_of_sending_it(locked: Sluice, key: str) -> None:
    for text in (key, STATIC):
        assert models(locked, {"X-API-Key": text}).status_code == 200
        assert models(locked, {"Authorization": f"Bearer {text}"}).status_code == 200
        for pair in (("anybody", text), (text, "")):
            assert models(locked, {}, auth=pair).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"X-API-Key": "slk_aaaaaaaa_" + "A" * 43},
        {"X-API-Key": "\xe9"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic OjpA"},
        {"Authorization": "Digest username=x"},
        {"X-API-Key": STATIC + "x"},
    ],
)
def test_what_is_no_key_opens_nothing(locked: Sluice, sent: dict[str, str]) -> None:
    headers = sent | {"X-Forwarded-For": next(_addresses)}
    refused = models(locked, headers)
    assert refused.status_code == 401
    assert refused.json()["code"] in ("key_invalid", "key_missing")


def test_the_text_of_a_key_is_kept_nowhere(locked: Sluice, key: str) -> None:
    _, _, secret = key.split("_", 2)
    models(locked, by(key))
    models(locked, by(key[:-1] + "!"))
    assert key[4:12] in keys(locked, "list").stdout
    for text in (locked.log(), keys(locked, "list").stdout):
        assert secret not in text
        assert secret[:-1] not in text
        assert STATIC not in text
    assert secret.encode() not in stored(locked.data_dir)


def test_a_key_is_counted_and_logged_by_its_id_wherever_it_comes_from(locked: Sluice) -> None:
    own = new_key(locked, "--requests", "3/minute")
    statuses = [models(locked, by(own)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    limits = models(locked, by(new_key(locked))).headers["RateLimit-Policy"]
    assert limits == '"global";q=1000;w=60'
    assert f'"caller": "key:{own[4:12]}"'.replace(" ", "") in locked.log().replace(" ", "")


def test_a_scope_that_is_missing_is_named(locked: Sluice) -> None:
    reader, admin = (new_key(locked, "--scopes", scope) for scope in ("read", "admin"))
    refused = locked.post("txt2img", json=SMALL, headers=by(reader))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "'generate'" in refused.json()["detail"]
    assert models(locked, by(reader)).status_code == 200
    refused = models(locked, by(admin))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "'read'" in refused.json()["detail"]


def test_who_may_only_read_changes_nothing(locked: Sluice) -> None:
    reader = by(new_key(locked, "--scopes", "read"))
    for path in ("/sdapi/v1/txt2img", "/v1/images/generations"):
        url = locked.url + path
        assert locked.http.post(url, json=SMALL, headers=reader, timeout=30).status_code == 403
    image = f"{locked.url}{API}/image/{uuid4()}"
    assert locked.http.delete(image, headers=reader, timeout=30).status_code == 403


def test_who_may_only_generate_is_told_all_that_takes(locked: Sluice, webui: FakeWebUI) -> None:
    maker = by(new_key(locked, "--scopes", "generate"))
    told = (f"{API}/models", f"{API}/samplers", f"{API}/account", f"{API}/jobs", "/v1/models")
    assert [locked.get(path, headers=maker).status_code for path in told] == [200] * len(told)
    webui.model.state.hold(at_step=1)
    try:
        asked = locked.post("txt2img", json=SMALL, headers=maker | {"Prefer": "respond-async"})
        urls = asked.json()["urls"]
        assert locked.get(urls["self"], headers=maker).json()["status"] in ("queued", "processing")
        canceled = locked.http.delete(locked.url + urls["cancel"], headers=maker, timeout=30)
        assert canceled.status_code == 200
    finally:
        webui.model.state.release()
    events = locked.get(urls["events"], headers=maker)
    assert (events.status_code, "event: canceled" in events.text) == (200, True)


def test_an_image_is_everybodys_to_fetch_and_its_makers_to_delete(locked: Sluice, key: str) -> None:
    url = locked.post("txt2img", json=SMALL, headers=by(key)).json()["image_url"]
    other, admin = new_key(locked), new_key(locked, "--scopes", "generate,admin")

    def delete(headers: dict[str, str]) -> int:
        return locked.http.delete(locked.url + url, headers=headers, timeout=30).status_code

    assert locked.get(url).status_code == 200
    assert delete({"X-Forwarded-For": next(_addresses)}) == 401
    assert delete(by(other)) == 404
    assert delete(by(key)) == 204
    assert delete(by(key)) == 410
    assert locked.get(url).status_code == 410
    url = locked.post("txt2img", json=SMALL, headers=by(key)).json()["image_url"]
    assert delete(by(admin)) == 204


def test_a_job_is_its_keys_own(locked: Sluice, key: str) -> None:
    asked = locked.post("txt2img", json=SMALL, headers=by(key) | {"Prefer": "respond-async"})
    path = asked.json()["urls"]["self"]
    assert locked.get(path, headers=by(key)).status_code == 200
    assert locked.get(path, headers=by(new_key(locked))).status_code == 404


def test_rotation_and_revocation_are_seen_at_once_or_within_five_seconds(locked: Sluice) -> None:
    old = keys(locked, "create", "rotated").stdout.strip()
    key_id = old[4:12]
    assert models(locked, by(old)).status_code == 200
    new = keys(locked, "rotate", key_id, "--grace", "1h").stdout.strip()
    assert [models(locked, by(text)).status_code for text in (new, old)] == [200, 200]
    newest = keys(locked, "rotate", key_id).stdout.strip()
    assert models(locked, by(newest)).status_code == 200
    for text in (new, old):
        wait_until(
            lambda text=text: models(locked, by(text)).status_code == 401,  # type: ignore[misc]
            "the old text is seen to be over",
            timeout_s=5.0,
        )
    assert keys(locked, "revoke", key_id).returncode == 0
    wait_until(lambda: models(locked, by(newest)).status_code == 401, "it is revoked", 5.0)
    assert keys(locked, "revoke", key_id).returncode == 1
    assert keys(locked, "rotate", key_id).returncode == 1
    assert "revoked" in keys(locked, "list").stdout


def test_an_expired_key_opens_nothing(locked: Sluice) -> None:
    assert models(locked, by(new_key(locked, "--expires", "0s"))).status_code == 401


def test_an_expired_key_is_given_no_new_text(locked: Sluice) -> None:
    expired = new_key(locked, "--expires", "0s")[4:12]
    refused = keys(locked, "rotate", expired, "--grace", "1h")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(
        r"that key expired at 2\d{3}-\d\d-\d\d \d\d:\d\d UTC; create another\n", refused.stderr
    )
    unexpired = new_key(locked, "--expires", "1h")
    rotated = keys(locked, "rotate", unexpired[4:12]).stdout.strip()
    assert models(locked, by(rotated)).status_code == 200


def test_wrong_keys_are_limited_and_right_ones_from_there_are_not(locked: Sluice, key: str) -> None:
    address = {"X-Forwarded-For": next(_addresses)}

    def attempt(number: int) -> int:
        text = f"slk_aaaaaaaa_{number:043}" if number % 4 else key
        return models(locked, {"X-API-Key": text} | address).status_code

    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(attempt, range(40)))
    assert statuses[::4] == [200] * 10
    assert sorted(set(statuses)) == [200, 401, 429]
    assert statuses.count(401) == 5
    refused = models(locked, {"X-API-Key": "wrong"} | address)
    assert refused.json()["code"] == "too_many_wrong_keys"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("create",),
        ("create", " "),
        ("create", "x", "--scopes", "all"),
        ("create", "x", "--scopes", ""),
        ("create", "x", "--checkpoints", " , "),
        ("create", "x", "--requests", "many"),
        ("create", "x", "--hour", "nan"),
        ("create", "x", "--jobs", "-1"),
        ("create", "x", "--expires", "soon"),
    ],
)
def test_what_makes_no_sense_at_the_terminal_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = open_database(None, tmp_path)
    with pytest.raises(SystemExit) as ended:
        commands.run(KeyRegister(database), arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
    assert KeyRegister(database).all() == []
    database.dispose()
