"""The webuiapi client as it comes from PyPI, its address changed and nothing else."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import webuiapi

from tests.fake_webui import TINY_B, FakeWebUI
from tests.fake_webui_tools import CAPTION
from tests.pictures import mask, opened, png

SIZE = {"width": 64, "height": 64}
PICTURE = opened(png())


def test_txt2img(api: webuiapi.WebUIApi) -> None:
    made = api.txt2img(prompt="a red circle", negative_prompt="blurry", seed=42, **SIZE)
    assert made.image.size == (64, 64)
    assert made.image.info["parameters"].startswith("a red circle\nNegative prompt: blurry")
    assert made.info["all_seeds"] == [42]
    assert made.info["infotexts"] == [made.image.info["parameters"]]
    assert made.info["sd_model_name"] == "tinyA"
    assert made.parameters["prompt"] == "a red circle"
    assert made.parameters["steps"] == 4


def test_several_batches(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.txt2img(prompt="a red circle", seed=7, batch_size=2, n_iter=2, **SIZE)
    assert len(made.images) == 4
    assert made.info["all_seeds"] == [7, 8, 9, 10]
    assert webui.bodies("txt2img")[0]["n_iter"] == 2


def test_hires_fix(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.txt2img(
        prompt="a red circle",
        enable_hr=True,
        hr_scale=1.5,
        hr_upscaler=webuiapi.HiResUpscaler.Latent,
        denoising_strength=0.5,
        **SIZE,
    )
    assert made.image.size == (96, 96)
    sent = webui.bodies("txt2img")[0]
    assert (sent["hr_resize_x"], sent["hr_resize_y"], sent["denoising_strength"]) == (96, 96, 0.5)


def test_img2img(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.img2img(images=[PICTURE], prompt="a cat", denoising_strength=0.5, **SIZE)
    assert made.image.size == (64, 64)
    assert made.info["denoising_strength"] == 0.5
    assert webui.bodies("img2img")[0]["denoising_strength"] == 0.5


def test_inpainting(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.img2img(
        images=[PICTURE],
        mask_image=opened(mask()),
        mask_blur=0,
        inpainting_fill=1,
        inpaint_full_res=False,
        prompt="a cat",
        **SIZE,
    )
    assert made.image.getpixel((1, 1)) == PICTURE.getpixel((1, 1))
    assert made.image.getpixel((32, 32)) != PICTURE.getpixel((32, 32))


def test_a_mask_the_other_way_round(api: webuiapi.WebUIApi) -> None:
    made = api.img2img(
        images=[PICTURE],
        mask_image=opened(mask()),
        mask_blur=0,
        inpainting_mask_invert=1,
        inpaint_full_res=False,
        prompt="a cat",
        **SIZE,
    )
    assert made.image.getpixel((32, 32)) == PICTURE.getpixel((32, 32))
    assert made.image.getpixel((1, 1)) != PICTURE.getpixel((1, 1))


def test_a_controlnet_unit(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    unit = webuiapi.ControlNetUnit(
        image=PICTURE, module="canny", model="control_canny [d14c016b]", weight=0.8, control_mode=1
    )
    made = api.txt2img(prompt="a cat", controlnet_units=[unit], **SIZE)
    assert made.image.size == (64, 64)
    (sent,) = webui.bodies("txt2img")[0]["alwayson_scripts"]["ControlNet"]["args"]
    assert (sent["module"], sent["model"]) == ("canny", "control_canny [d14c016b]")
    assert (sent["weight"], sent["control_mode"]) == (0.8, "My prompt is more important")
    assert sent["image"]


def test_an_adetailer_unit(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    unit = webuiapi.ADetailer(ad_model="face_yolov8n.pt", ad_prompt="a face")
    api.txt2img(prompt="a cat", adetailer=[unit], alwayson_scripts={}, **SIZE)
    arguments = webui.bodies("txt2img")[0]["alwayson_scripts"]["ADetailer"]["args"]
    assert arguments[0] is True
    assert (arguments[2]["ad_model"], arguments[2]["ad_prompt"]) == ("face_yolov8n.pt", "a face")
    assert "ad_checkpoint" not in arguments[2]


def test_options_choose_the_checkpoint_for_this_caller(
    api: webuiapi.WebUIApi, webui: FakeWebUI
) -> None:
    try:
        api.util_set_model(TINY_B.title, find_closest=False)
        assert api.util_get_current_model().startswith("tinyB")
        assert api.txt2img(prompt="a cat", **SIZE).info["sd_model_name"] == "tinyB"
    finally:
        api.set_options({"sd_model_checkpoint": "tinyA"})
    assert webui.bodies("options") == [None] * len(webui.bodies("options")), "never written to"
    assert api.txt2img(prompt="a cat", **SIZE).info["sd_model_name"] == "tinyA"


def test_progress_and_interrupt(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=2)
    try:
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(api.txt2img, prompt="a cat", **SIZE)
            webui.model.state.wait_for_step(2)
            progress = api.get_progress()
            assert progress["state"]["job_count"] == 1
            assert progress["state"]["sampling_steps"] == 4
            assert progress["progress"] > 0
            assert progress["current_image"]
            assert api.interrupt() == {}
            with pytest.raises(RuntimeError, match="409"):
                made.result()
    finally:
        webui.model.state.release()
    idle = api.get_progress()
    assert (idle["progress"], idle["state"]["job_count"]) == (0.0, 0)
    api.util_wait_for_ready()


def test_skip(api: webuiapi.WebUIApi) -> None:
    assert api.skip() is None


def test_lists(api: webuiapi.WebUIApi) -> None:
    assert [model["model_name"] for model in api.get_sd_models()] == ["tinyA", "tinyB"]
    assert api.get_sd_models()[1]["sha256"] == TINY_B.sha256
    assert {"Euler a", "DPM++ 2M"} <= set(api.util_get_sampler_names())
    assert "karras" in api.util_get_scheduler_names()
    assert "R-ESRGAN 4x+" in [row["name"] for row in api.get_upscalers()]
    assert "Latent" in [row["name"] for row in api.get_latent_upscale_modes()]
    assert [row["model_name"] for row in api.get_sd_vae()] == ["soft.vae.pt"]
    assert api.get_loras() == []
    assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert [row["name"] for row in api.get_hypernetworks()] == ["brush"]
    assert [row["name"] for row in api.get_face_restorers()] == ["CodeFormer", "GFPGAN"]
    assert [row["name"] for row in api.get_realesrgan_models()] == ["R-ESRGAN 4x+"]
    assert api.get_prompt_styles() == []
    assert api.get_cmd_flags() == {}
    assert api.get_scripts()["txt2img"] == ["controlnet", "adetailer"]
    assert api.get_memory()["ram"]["total"] > 0
    assert api.refresh_checkpoints() is None


def test_the_lists_of_controlnet(api: webuiapi.WebUIApi) -> None:
    assert api.controlnet_version() == 3
    assert api.controlnet_model_list() == ["None", "control_canny [d14c016b]"]
    assert api.controlnet_module_list() == ["none", "canny"]


def test_extra_single_image(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.extra_single_image(
        image=PICTURE, upscaling_resize=2, upscaler_1=webuiapi.Upscaler.ESRGAN_4x
    )
    assert made.image.size == (128, 128)
    assert webui.bodies("extra-single-image")[0]["upscaler_1"] == "R-ESRGAN 4x+"


def test_interrogate(api: webuiapi.WebUIApi) -> None:
    assert api.interrogate(PICTURE).info == CAPTION


def test_png_info(api: webuiapi.WebUIApi, webui: FakeWebUI) -> None:
    made = api.txt2img(prompt="a red circle", seed=42, **SIZE)
    told = api.png_info(made.image)
    assert told.info == made.info["infotexts"][0]
    assert told.parameters["Seed"] == "42"
    assert told.parameters["Size-1"] == "64"
    assert webui.bodies("png-info") == []


def test_use_async(api: webuiapi.WebUIApi) -> None:
    async def two() -> list[webuiapi.WebUIApiResult]:
        asked = [api.txt2img(prompt=text, use_async=True, **SIZE) for text in ("a", "b")]
        return list(await asyncio.gather(*asked))

    assert [made.info["prompt"] for made in asyncio.run(two())] == ["a", "b"]


def test_one_request_in_flight_at_the_webui_tools_included(
    api: webuiapi.WebUIApi, webui: FakeWebUI
) -> None:
    webui.max_in_flight = 0
    together = threading.Barrier(4, timeout=30)

    def ask(number: int) -> webuiapi.WebUIApiResult:
        together.wait()
        if number % 2:
            return api.extra_single_image(image=PICTURE, upscaler_1="Lanczos")
        return api.txt2img(prompt="a cat", **SIZE)

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(ask, range(4)))) == 4
    assert webui.max_in_flight == 1
