"""Keys the way the WebUI's clients send them, and the cost of tools."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import webuiapi

from tests.fake_webui import FakeWebUI
from tests.pictures import opened, png
from tests.running import Sluice, running_sluice

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
