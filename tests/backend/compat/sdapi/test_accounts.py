"""Keys the way the WebUI's clients send them, and the cost of tools."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import webuiapi

from tests.backend.accounts.conftest import new_key
from tests.fake_webui import TINY_A, TINY_B, FakeWebUI
from tests.pictures import opened, png
from tests.running import Sluice, running_sluice, wait_until

KEY = "a-key-of-thirty-two-characters-x"
PICTURE = opened(png())


@pytest.fixture(scope="module")
def guarded(webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """Asks for keys; an hour's budget is enough for one tool."""
    env = {
        "SD_WEBUI_URL": webui.url,
        "CPU_FALLBACK": "false",
        "RATELIMIT_ENABLED": "false",
        "AUTH": "keys",
        "API_KEY": KEY,
        "BUDGET_HOUR": "1.5",
    }
    with running_sluice(tmp_path_factory.mktemp("guarded"), env) as sluice:
        yield sluice


def test_without_a_key_the_client_is_told_so(guarded: Sluice) -> None:
    for path in ("/sdapi/v1/sd-models", "/controlnet/model_list"):
        answer = guarded.get(path)
        assert answer.status_code == 401
        assert isinstance(answer.json()["detail"], str)


def test_a_key_that_may_only_generate_is_enough_for_the_client(
    guarded: Sluice, webui: FakeWebUI
) -> None:
    key = new_key(guarded, "--scopes", "generate")
    client = webuiapi.WebUIApi(port=guarded.port, username="me", password=key, steps=4)
    client.session.trust_env = False
    assert client.get_samplers()
    assert client.util_get_model_names() == [TINY_A.title, TINY_B.title]
    client.util_set_model(TINY_B.title)
    assert client.util_get_current_model() == TINY_B.title
    webui.model.state.hold(at_step=2)
    try:
        with ThreadPoolExecutor(1) as threads:
            made = threads.submit(client.txt2img, prompt="a cat", width=64, height=64)
            webui.model.state.wait_for_step(2)
            wait_until(lambda: client.get_progress()["progress"] > 0, "its progress is told")
            client.interrupt()
            webui.model.state.release()
            with pytest.raises(RuntimeError, match="409"):
                made.result()
    finally:
        webui.model.state.release()
    assert client.skip() is None
    client.session.close()


def test_the_password_is_the_key_and_tools_cost_too(guarded: Sluice, webui: FakeWebUI) -> None:
    client = webuiapi.WebUIApi(port=guarded.port, username="me", password=KEY)
    client.session.trust_env = False
    assert client.get_sd_models()
    webui.seen.clear()
    assert client.extra_single_image(image=PICTURE, upscaling_resize=2).image.size == (128, 128)
    with pytest.raises(RuntimeError, match="429"):
        client.interrogate(PICTURE)
    assert webui.bodies("interrogate") == []
    client.session.close()
