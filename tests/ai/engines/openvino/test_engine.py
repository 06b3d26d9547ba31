"""The embedded engine: what it makes of words, what it refuses, what it says of itself."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai.demo_model import CHECKPOINT_DIR, CHECKPOINT_NAME
from ai.engines.base import Engine
from ai.engines.openvino.engine import OpenVinoEngine
from ai.engines.openvino.weights import Weights
from ai.errors import (
    EngineFailed,
    EngineMadeNan,
    EngineOutOfMemory,
    EngineUnavailable,
    InvalidRequest,
    UnknownCheckpoint,
    UnknownSampler,
    UnknownScheduler,
    UnsupportedRequest,
)
from ai.extras import Extras, HiresFix
from ai.generation import MAX_SEED, Img2Img
from tests.ai.engines.openvino.conftest import NewEngine
from tests.ai.engines.openvino.support import colourful, generate, made, picture, pixels, txt2img
from tests.running import ROOT

SAMPLERS = ("Euler", "Euler a", "DDIM", "PLMS", "LCM")


def test_it_describes_its_checkpoint_samplers_and_kinds(embedded: OpenVinoEngine) -> None:
    engine: Engine = embedded
    facts = engine.describe()
    (checkpoint,) = facts.checkpoints
    assert checkpoint.name == facts.loaded == CHECKPOINT_NAME
    assert checkpoint.hash is not None
    assert len(checkpoint.hash) == 10
    assert checkpoint.title == f"{CHECKPOINT_NAME} [{checkpoint.hash}]"
    assert tuple(sampler.name for sampler in facts.samplers) == SAMPLERS
    assert facts.schedulers == ()
    assert facts.kinds == {"txt2img", "img2img", "inpainting"}
    assert (engine.name, engine.tier, engine.device, engine.concurrency) == (
        "embedded",
        "cpu",
        "cpu",
        1,
    )


def test_a_generation_says_what_was_really_used(embedded: OpenVinoEngine) -> None:
    request = txt2img(negative_prompt="blur", sampler_name="k_euler_a", cfg_scale=6.0)
    generation = generate(embedded, request)
    checkpoint = embedded.describe().checkpoints[0]
    assert generation.checkpoint == CHECKPOINT_NAME
    assert generation.checkpoint_hash == checkpoint.hash
    assert generation.degraded == ()
    assert generation.parameters == {
        "prompt": "a red circle",
        "negative_prompt": "blur",
        "steps": 2,
        "cfg_scale": 6.0,
        "width": 64,
        "height": 64,
        "seed": 7,
        "sampler_name": "Euler a",
        "scheduler": "Automatic",
        "batch_size": 1,
    }
    (image,) = generation.images
    assert (image.media_type, image.width, image.height, image.seed) == ("image/png", 64, 64, 7)
    with Image.open(io.BytesIO(image.data)) as opened:
        assert opened.size == (64, 64)
        assert opened.info["parameters"] == (
            "a red circle\nNegative prompt: blur\n"
            "Steps: 2, Sampler: Euler a, CFG scale: 6.0, Seed: 7, Size: 64x64, "
            f"Model hash: {checkpoint.hash}, Model: {CHECKPOINT_NAME}, Version: Sluice"
        )


def test_the_same_seed_makes_the_same_picture_and_another_seed_another(
    embedded: OpenVinoEngine,
) -> None:
    first = generate(embedded, txt2img()).images[0].data
    other = generate(embedded, txt2img(seed=8)).images[0].data
    assert generate(embedded, txt2img()).images[0].data == first
    assert other != first


_IN_ANOTHER_PROCESS = """
import hashlib, os
from ai.demo_model import CHECKPOINT_DIR, CHECKPOINT_NAME
from ai.engines.openvino.engine import OpenVinoEngine
from tests.ai.engines.openvino.conftest import NewEngine
from tests.ai.engines.openvino.support import generate, txt2img

def seconds_of_each_thread():
    threads = {}
    for thread in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ():
        with open(f"/proc/self/task/{thread}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        threads[thread] = int(fields[11]) + int(fields[12])
    return threads

engine = OpenVinoEngine(
    CHECKPOINT_DIR, checkpoint_name=CHECKPOINT_NAME, precision="f32", threads=1
)
digest = hashlib.sha256(generate(engine, txt2img()).images[0].data).hexdigest()
before = seconds_of_each_thread()
generate(engine, txt2img(width=512, height=512, steps=6))
spent = [ticks - before.get(thread, 0) for thread, ticks in seconds_of_each_thread().items()]
print(digest, sum(ticks > 0.2 * sum(spent) for ticks in spent))
"""


def test_another_process_makes_the_same_picture_on_no_more_cores_than_it_may(
    embedded: OpenVinoEngine, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _IN_ANOTHER_PROCESS]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    output = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    ).stdout
    assert list(tmp_path.iterdir()) == [], "something was left in the home of its user"
    digest, busy_threads = output.split()
    assert digest == hashlib.sha256(generate(embedded, txt2img()).images[0].data).hexdigest()
    assert int(busy_threads) <= 1


def test_a_batch_follows_its_seeds_as_single_images_do(embedded: OpenVinoEngine) -> None:
    batch = generate(embedded, txt2img(seed=40, batch_size=3)).images
    singles = [generate(embedded, txt2img(seed=seed)).images[0] for seed in (40, 41, 42)]
    assert [image.seed for image in batch] == [40, 41, 42]
    assert [image.data for image in batch] == [image.data for image in singles]


def test_after_the_largest_seed_comes_zero(embedded: OpenVinoEngine) -> None:
    batch = generate(embedded, txt2img(seed=MAX_SEED, batch_size=2)).images
    assert [image.seed for image in batch] == [MAX_SEED, 0]
    assert batch[1].data == generate(embedded, txt2img(seed=0)).images[0].data


def test_a_seed_left_to_chance_is_drawn_and_told(embedded: OpenVinoEngine) -> None:
    drawn = {generate(embedded, txt2img(seed=-1)).images[0].seed for _ in range(3)}
    assert len(drawn) > 1
    seed = drawn.pop()
    assert generate(embedded, txt2img(seed=seed)).parameters["seed"] == seed


@pytest.mark.parametrize(("width", "height"), [(64, 64), (72, 64), (80, 136), (200, 72)])
def test_every_multiple_of_eight_is_made_in_exactly_that_size(
    embedded: OpenVinoEngine, width: int, height: int
) -> None:
    (image,) = generate(embedded, txt2img(width=width, height=height)).images
    assert (image.width, image.height) == (width, height)
    assert pixels(image).shape == (height, width, 3)


def test_each_sampler_makes_a_picture_of_its_own(embedded: OpenVinoEngine) -> None:
    pictures = {
        name: made(embedded, txt2img(sampler_name=name, steps=4)).tobytes() for name in SAMPLERS
    }
    assert len(set(pictures.values())) == len(SAMPLERS)
    assert made(embedded, txt2img(steps=4)).tobytes() == pictures["Euler"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_takes_a_single_step(embedded: OpenVinoEngine, sampler: str) -> None:
    assert made(embedded, txt2img(sampler_name=sampler, steps=1)).shape == (64, 64, 3)


def test_a_negative_prompt_changes_the_picture(embedded: OpenVinoEngine) -> None:
    plain = made(embedded, txt2img())
    assert not np.array_equal(plain, made(embedded, txt2img(negative_prompt="a blue square")))


@pytest.mark.parametrize("cfg_scale", [1.0, 0.5, 0.0, -3.0])
def test_without_guidance_a_negative_prompt_has_no_say(
    embedded: OpenVinoEngine, cfg_scale: float
) -> None:
    generation = generate(embedded, txt2img(cfg_scale=cfg_scale, negative_prompt="a blue square"))
    plain = made(embedded, txt2img(cfg_scale=1.0))
    assert np.array_equal(pixels(generation.images[0]), plain)
    assert generation.parameters["cfg_scale"] == 1.0


def test_prompts_of_any_length_and_script_are_taken(embedded: OpenVinoEngine) -> None:
    for prompt in ("a red circle, " * 500, "赤い円 🎨", "zero \0 byte"):
        generation = generate(embedded, txt2img(prompt=prompt))
        with Image.open(io.BytesIO(generation.images[0].data)) as opened:
            assert opened.info["parameters"].startswith(prompt.strip("\0"))


def test_a_prompt_that_is_no_unicode_is_refused(embedded: OpenVinoEngine) -> None:
    with pytest.raises(InvalidRequest, match="negative_prompt: "):
        generate(embedded, txt2img(negative_prompt="half a pair \ud800"))


def test_numbers_that_overflow_are_an_error_and_no_black_picture(
    embedded: OpenVinoEngine,
) -> None:
    with pytest.raises(EngineMadeNan):
        generate(embedded, txt2img(cfg_scale=1e38))
    assert made(embedded, txt2img()).shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["DPM++ 2M", "Heun", "UniPC", "LMS", "nonsense"])
def test_a_sampler_it_lacks_is_refused_with_the_list(embedded: OpenVinoEngine, name: str) -> None:
    with pytest.raises(UnknownSampler) as caught:
        generate(embedded, txt2img(sampler_name=name))
    assert caught.value.available == SAMPLERS


def test_names_it_lacks_are_refused(embedded: OpenVinoEngine) -> None:
    with pytest.raises(UnknownCheckpoint) as caught:
        generate(embedded, txt2img(checkpoint="another"))
    assert caught.value.available == (CHECKPOINT_NAME,)
    with pytest.raises(UnknownScheduler):
        generate(embedded, txt2img(scheduler="Karras"))


def test_its_own_names_are_taken(embedded: OpenVinoEngine) -> None:
    checkpoint = embedded.describe().checkpoints[0]
    for name in (checkpoint.name, checkpoint.title, checkpoint.hash):
        request = txt2img(checkpoint=name, sampler_name="euler A", scheduler="automatic")
        assert generate(embedded, request).degraded == ()


def test_standing_in_it_does_the_nearest_and_says_so(embedded: OpenVinoEngine) -> None:
    asked = txt2img(checkpoint="another", sampler_name="DPM++ SDE", scheduler="Karras")
    generation = generate(embedded, asked, stand_in=True)
    assert set(generation.degraded) == {"model", "sampler", "scheduler"}
    assert generation.checkpoint == CHECKPOINT_NAME
    assert generation.parameters["sampler_name"] == "Euler a"
    assert generation.images == generate(embedded, txt2img(sampler_name="Euler a")).images


def test_what_only_a_webui_can_is_refused_or_left_out_by_name(embedded: OpenVinoEngine) -> None:
    hires = HiresFix(width=128, height=128, upscaler="Latent")
    asked = txt2img(extras=Extras(hires=hires, tiling=True, inpainting_fill=0))
    with pytest.raises(UnsupportedRequest, match="tiling, hires"):
        generate(embedded, asked)
    generation = generate(embedded, asked, stand_in=True)
    assert generation.degraded == ("hires", "inpainting_fill", "tiling")
    assert generation.images == generate(embedded, txt2img()).images


def test_several_batches_are_so_many_images(embedded: OpenVinoEngine) -> None:
    made = generate(embedded, txt2img(batch_size=2, extras=Extras(n_iter=2)))
    assert [image.seed for image in made.images] == [7, 8, 9, 10]


def test_standing_in_for_what_it_has_is_not_degraded(embedded: OpenVinoEngine) -> None:
    request = txt2img(checkpoint=CHECKPOINT_NAME, sampler_name="DDIM")
    assert generate(embedded, request, stand_in=True).degraded == ()


@pytest.mark.parametrize(
    ("breakage", "expected"),
    [
        (MemoryError(), EngineOutOfMemory),
        (RuntimeError("Failed to allocate 9 bytes of memory"), EngineOutOfMemory),
        (RuntimeError("Check failed at /home/someone/secret.hpp:1"), EngineFailed),
    ],
)
def test_a_failing_library_is_an_engine_error_that_tells_nothing_of_the_inside(
    monkeypatch: pytest.MonkeyPatch, breakage: Exception, expected: type[EngineFailed]
) -> None:
    class Failing:
        kinds = frozenset({"txt2img"})
        loras: frozenset[Path] = frozenset()

        def __init__(self, *_: object) -> None:
            pass

        def paint(self, *_: object) -> None:
            raise breakage

    monkeypatch.setattr("ai.engines.openvino.engine.Weights", Failing)
    with pytest.raises(EngineFailed) as caught:
        generate(OpenVinoEngine(CHECKPOINT_DIR), txt2img())
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value)
    assert "allocate" not in str(caught.value)


def test_after_a_failure_it_loads_anew_and_works(
    embedded: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(embedded, txt2img())
    with monkeypatch.context() as patch:
        patch.setattr(Weights, "paint", Weights.preview)
        with pytest.raises(EngineFailed):
            generate(embedded, txt2img())
    assert np.array_equal(made(embedded, txt2img()), before)


def test_a_folder_without_a_model_is_an_engine_that_is_not_there(tmp_path: Path) -> None:
    engine = OpenVinoEngine(tmp_path)
    for ask in (engine.describe, lambda: generate(engine, txt2img())):
        with pytest.raises(EngineUnavailable) as caught:
            ask()
        assert str(tmp_path) not in str(caught.value)


def test_a_broken_model_is_an_engine_that_is_not_there(tmp_path: Path) -> None:
    folder = _demo_without(tmp_path, "text_encoder")
    shutil.copytree(CHECKPOINT_DIR / "text_encoder", folder / "text_encoder")
    (folder / "text_encoder" / "openvino_model.xml").write_text("<net/>")
    with pytest.raises(EngineUnavailable) as caught:
        OpenVinoEngine(folder).describe()
    assert str(tmp_path) not in str(caught.value)


def test_a_model_that_cannot_read_pictures_makes_them_from_words_alone(
    new_engine: NewEngine, tmp_path: Path
) -> None:
    engine = new_engine(_demo_without(tmp_path, "vae_encoder"))
    assert engine.describe().kinds == {"txt2img"}
    assert made(engine, txt2img()).shape == (64, 64, 3)
    image = picture(colourful(64, 64))
    with pytest.raises(UnsupportedRequest):
        generate(engine, Img2Img(prompt="x", image=image, width=64, height=64))


def test_kept_compiled_weights_make_the_same_pictures(
    embedded: OpenVinoEngine, new_engine: NewEngine, compiled_dir: Path
) -> None:
    picture_made = made(embedded, txt2img())
    assert any(compiled_dir.iterdir())
    assert np.array_equal(made(new_engine(), txt2img()), picture_made)


def test_a_place_to_keep_them_that_cannot_be_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, object]] = []

    def note(_: object, properties: dict[str, object], __: object) -> Weights:
        given.append(properties)
        raise RuntimeError

    monkeypatch.setattr("ai.engines.openvino.engine.Weights", note)
    (tmp_path / "file").touch()
    for name in ("folder", "file/folder"):
        with pytest.raises(EngineUnavailable):
            OpenVinoEngine(CHECKPOINT_DIR, cache_dir=tmp_path / name).describe()
    assert given == [{"CACHE_DIR": str(tmp_path / "folder")}, {}]


def test_a_closed_engine_serves_nothing(tmp_path: Path) -> None:
    engine = OpenVinoEngine(CHECKPOINT_DIR)
    engine.close()
    with pytest.raises(EngineUnavailable):
        engine.describe()


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    check = "import sys, ai.engines.openvino.engine; assert 'openvino_genai' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def _demo_without(tmp_path: Path, part: str) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for entry in CHECKPOINT_DIR.iterdir():
        if entry.name != part:
            (folder / entry.name).symlink_to(entry)
    return folder
