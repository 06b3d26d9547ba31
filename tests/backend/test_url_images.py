"""Pictures fetched from URLs: only where allowed, from outside, so many bytes and so long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from ai.errors import ImageTooLarge, InvalidImage
from ai.images import ImageLimits
from backend import create_app
from backend.addresses import AddressRules
from backend.errors import TooManyFetches
from backend.pictures import CallerPictures
from backend.services import build_services
from backend.settings import Settings
from backend.url_images import MAX_REDIRECTS, PARALLEL, PictureFetcher
from tests.backend.receivers import Receiver, receiving
from tests.backend.strangers import resolving, serving, trusting
from tests.certificates import self_signed
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, mask, png
from tests.running import API, Sluice, running_sluice

LOCAL = AddressRules(allow_http=True, allow_private=True)
MAX_BYTES = 10_000
FORM = "multipart/form-data"


@pytest.fixture
def host() -> Iterator[Receiver]:
    """A server that has one picture."""
    with receiving() as receiver:
        receiver.script = [200] * 20
        receiver.content = png()
        receiver.headers = {"Content-Type": "image/png"}
        yield receiver


def fetch(url: str, rules: AddressRules = LOCAL, **options: float) -> bytes:
    return PictureFetcher(rules, MAX_BYTES, **options).fetch(url, "image")


def complaint(url: str, rules: AddressRules = LOCAL, **options: float) -> str:
    with pytest.raises(InvalidImage) as refused:
        fetch(url, rules, **options)
    assert refused.value.field == "image"
    return refused.value.message


def test_a_picture_is_fetched_as_it_is(host: Receiver) -> None:
    assert fetch(host.url) == png()


@pytest.mark.parametrize("media_type", ["text/html", "application/json", "image"])
def test_what_is_not_said_to_be_a_picture_is_left_there(host: Receiver, media_type: str) -> None:
    host.headers["Content-Type"] = media_type
    assert "no picture" in complaint(host.url)
    host.headers["Content-Type"] = "application/octet-stream"
    assert fetch(host.url)


def test_an_error_is_no_picture(host: Receiver) -> None:
    host.script = [404]
    assert complaint(host.url) == "its server answered 404"


@pytest.mark.parametrize("says_length", [True, False])
def test_no_more_is_read_than_is_taken(host: Receiver, says_length: bool) -> None:
    host.content = b"x" * (MAX_BYTES + 1)
    if says_length:
        host.headers["Content-Length"] = str(len(host.content))
    with pytest.raises(ImageTooLarge, match="10,000 bytes"):
        fetch(host.url)
    host.content = b"x" * MAX_BYTES
    host.headers["Content-Length"] = str(MAX_BYTES)
    assert len(fetch(host.url)) == MAX_BYTES


def test_a_body_cut_short_is_no_picture(host: Receiver) -> None:
    host.headers["Content-Length"] = str(len(host.content) + 1)
    assert complaint(host.url) == "could not be fetched from its server"


def test_a_body_that_trickles_is_given_up_on() -> None:
    with trickling() as url:
        assert complaint(url, total_timeout_s=0.2) == "its server did not answer in time"


def test_redirects_are_followed_but_not_for_ever(host: Receiver) -> None:
    host.headers["Location"] = "/elsewhere"
    host.script = [302] * MAX_REDIRECTS + [200]
    assert fetch(host.url) == png()
    assert [request.path for request in host.received][1:] == ["/elsewhere"] * MAX_REDIRECTS
    host.script = [302] * (MAX_REDIRECTS + 1)
    assert "redirected" in complaint(host.url)


def test_a_redirect_to_nowhere_is_a_failure(host: Receiver) -> None:
    host.headers["Location"] = "http://[broken"
    host.script = [302]
    assert complaint(host.url) == "could not be fetched from its server"


def test_only_https_is_fetched(host: Receiver) -> None:
    assert complaint(host.url, AddressRules()) == "must begin with https://"
    assert host.received == []


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "localhost", "2130706433"]
)
def test_nothing_inside_is_asked(inside: str) -> None:
    assert "not allowed" in complaint(f"https://{inside}/", AddressRules())


def test_a_redirect_to_inside_is_not_followed(
    host: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AddressRules, "check_address", refuse_all_but("127.0.0.1"))
    for inside in ("http://169.254.169.254/latest/meta-data", "//10.0.0.1/x.png"):
        host.script = [302]
        host.headers["Location"] = inside
        assert "not allowed" in complaint(host.url, AddressRules(allow_http=True))


def refuse_all_but(allowed: str) -> object:
    judge = AddressRules.check_address

    def check(self: AddressRules, address: object) -> None:
        if str(address) != allowed:
            judge(self, address)  # type: ignore[arg-type]

    return check


def test_a_name_that_turns_inside_the_second_time_is_looked_up_but_once(
    host: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    assert fetch(f"http://rebinding.example:{host.port}/") == png()
    assert resolver.asked == ["rebinding.example"]


def test_a_name_that_is_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "127.0.0.1"])
    assert "not allowed" in complaint("https://both.example/", AddressRules())


def test_no_more_are_fetched_at_once_than_there_are_turns(
    host: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.url_images.TURN_TIMEOUT_S", 0.01)
    fetcher = PictureFetcher(LOCAL, MAX_BYTES)
    host.is_slow = True
    threads = [
        threading.Thread(target=fetcher.fetch, args=(host.url, "image")) for _ in range(PARALLEL)
    ]
    for thread in threads:
        thread.start()
    while len(host.received) < PARALLEL:
        threading.Event().wait(0.01)
    with pytest.raises(TooManyFetches):
        fetcher.fetch(host.url, "image")
    host.let_go.set()
    for thread in threads:
        thread.join()
    assert fetcher.fetch(host.url, "image") == png()


@contextmanager
def trickling() -> Iterator[str]:
    """The URL of a picture that never ends, and says no length."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n"
                connection.sendall(head + png()[:50])
                done.wait(30)

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()


# Through the front door.


@pytest.fixture(scope="module")
def allowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "ALLOW_URL_IMAGES": "true"}
        with running_sluice(tmp_path_factory.mktemp("urls"), env) as sluice:
            yield sluice


@pytest.mark.parametrize("form", [False, True])
def test_a_url_from_inside_is_a_wrong_value(allowing: Sluice, host: Receiver, form: bool) -> None:
    url = f"https://127.0.0.1:{host.port}/picture.png"
    body = {"prompt": "x", "image": url}
    parts = {name: (None, value) for name, value in body.items()}
    answer = allowing.post("img2img", **({"files": parts} if form else {"json": body}))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "image", "message": "is at an address that is not allowed"}
    ]
    assert host.received == []


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlaskClient, FakeWebUI]]:
    """A gateway that may fetch from this machine, for no other has our pictures."""
    with FakeWebUI() as webui:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("door"),
            sd_webui_url=(webui.url,),
            cpu_fallback="false",
        )
        services = build_services(settings)
        limits = ImageLimits(max_bytes=MAX_BYTES, max_pixels=100_000)
        fetcher = PictureFetcher(AddressRules(allow_private=True), MAX_BYTES)
        pictures = CallerPictures(limits, fetcher)
        yield create_app(services=replace(services, pictures=pictures)).test_client(), webui
        services.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed("DNS:pictures.example", tmp_path_factory.mktemp("tls"))


def test_image_and_mask_may_be_urls_at_every_door(
    door: tuple[FlaskClient, FakeWebUI], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, webui = door
    trusting(monkeypatch, certificate)
    resolving(monkeypatch, ["127.0.0.1"])
    with receiving(tls=serving(certificate)) as host:
        host.script, host.content = [200] * 20, mask()
        host.headers = {"Content-Type": "image/png"}
        url = f"https://pictures.example:{host.port}/mask.png"
        body = {"prompt": "x", "image": url, "mask": url}
        assert client.post(f"{API}/inpainting", json=body).status_code == 200
        assert client.post(f"{API}/inpainting", data=body, content_type=FORM).status_code == 200
        edit = {"prompt": "x", "image": url}
        assert client.post("/v1/images/edits", data=edit, content_type=FORM).status_code == 200
        webui_s = {"prompt": "x", "init_images": [url], "mask": url, "inpainting_mask_invert": 1}
        assert client.post("/sdapi/v1/img2img", json=webui_s).status_code == 200
        assert len(host.received) == 7
        webui_tool = {"image": url}
        for route in ("extra-single-image", "interrogate", "png-info"):
            assert client.post(f"/sdapi/v1/{route}", json=webui_tool).status_code == 200, route
        assert len(host.received) == 10
        unit = {"module": "canny", "model": "canny [1]", "image": url, "mask": url}
        scripts = {"ControlNet": {"args": [unit]}}
        webui_s = {"prompt": "x", "alwayson_scripts": scripts}
        assert client.post("/sdapi/v1/txt2img", json=webui_s).status_code == 200
        assert len(host.received) == 12
    for sent in webui.bodies("img2img"):
        assert sent["init_images"][0].endswith(b64(mask()))


def test_what_was_fetched_is_looked_at_like_any_picture(
    door: tuple[FlaskClient, FakeWebUI], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = door
    trusting(monkeypatch, certificate)
    resolving(monkeypatch, ["127.0.0.1"])
    with receiving(tls=serving(certificate)) as host:
        host.script, host.headers = [200] * 2, {"Content-Type": "image/png"}
        url = f"https://pictures.example:{host.port}/"
        for content, status in ((b"no picture", 422), (png(400, 400), 413)):
            host.content = content
            answer = client.post(f"{API}/img2img", json={"prompt": "x", "image": url})
            problem = answer.get_json()
            assert (answer.status_code, problem["errors"][0]["field"]) == (status, "image")
