"""LoRAs: named in the prompt, found in one folder, applied to one picture and to no other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ai.engines.openvino.engine import OpenVinoEngine
from ai.engines.openvino.lora import MAX_LORAS, Lora, LoraFolder, without_tags
from ai.errors import InvalidRequest
from tests.ai.engines.openvino.conftest import NewEngine
from tests.ai.engines.openvino.support import generate, made, pixels, txt2img

ATTENTION = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_"
UNET_WIDTH, TEXT_WIDTH, RANK = 144, 128, 4

Tensors = Mapping[str, NDArray[np.float64]]


def write_safetensors(path: Path, tensors: Tensors) -> None:
    header: dict[str, object] = {"__metadata__": {"made": "by hand"}}
    data = b""
    for name, tensor in tensors.items():
        content = tensor.astype("<f4").tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        data += content
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)


def random_lora(seed: int, layer: str, inner: int, outer: int = UNET_WIDTH) -> Tensors:
    """A LoRA of one layer, strong enough to be seen."""
    random = np.random.default_rng(seed)
    return {
        f"{ATTENTION}{layer}.lora_down.weight": random.normal(size=(RANK, inner)) / 3,
        f"{ATTENTION}{layer}.lora_up.weight": random.normal(size=(outer, RANK)) / 3,
    }


@pytest.fixture(scope="module")
def lora_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    write_safetensors(folder / "values.safetensors", random_lora(1, "v", TEXT_WIDTH))
    write_safetensors(folder / "keys.safetensors", random_lora(2, "k", TEXT_WIDTH))
    write_safetensors(folder / "misfit.safetensors", random_lora(3, "v", TEXT_WIDTH * 2))
    (folder / "notes.txt").write_text("no LoRA")
    return folder


@pytest.fixture(scope="module")
def engine(new_engine: NewEngine, lora_dir: Path) -> OpenVinoEngine:
    return new_engine(lora_dir=lora_dir)


def test_a_lora_changes_the_picture_by_its_weight_and_only_that_picture(
    engine: OpenVinoEngine, embedded: OpenVinoEngine
) -> None:
    plain = made(embedded, txt2img())
    full, half, none = (
        made(engine, txt2img(prompt=f"a red circle<lora:values:{weight}>"))
        for weight in ("1", "0.5", "0")
    )
    assert len({picture.tobytes() for picture in (plain, full, half)}) == 3
    assert np.array_equal(none, plain)
    unnamed = made(engine, txt2img(prompt="a red circle<lora:values>"))
    assert np.array_equal(unnamed, full)
    tagged = txt2img(prompt="a red<lora:values:0> circle", negative_prompt="b<lora:values:0>")
    generation = generate(engine, tagged)
    assert generation.parameters["prompt"] == tagged.prompt
    untagged = made(embedded, txt2img(negative_prompt="b"))
    assert np.array_equal(pixels(generation.images[0]), untagged)
    assert np.array_equal(made(engine, txt2img()), plain)


def test_each_weight_of_several_counts(engine: OpenVinoEngine) -> None:
    def with_weights(values: float, keys: float) -> bytes:
        prompt = f"a red circle<lora:values:{values}><lora:keys:{keys}>"
        return made(engine, txt2img(prompt=prompt)).tobytes()

    pictures = [with_weights(*weights) for weights in ((1, 1), (0.5, 1), (1, 0.5), (1, 1))]
    assert pictures[0] == pictures[3]
    assert len(set(pictures)) == 3


def test_standing_in_a_lora_that_does_not_fit_the_model_is_left_out_and_said_so(
    engine: OpenVinoEngine, embedded: OpenVinoEngine
) -> None:
    request = txt2img(prompt="a red circle<lora:misfit:1>")
    generation = generate(engine, request, stand_in=True)
    assert generation.degraded == ("lora",)
    assert np.array_equal(pixels(generation.images[0]), made(embedded, txt2img()))


@pytest.mark.parametrize("failing", ["__init__", "paint"])
def test_a_lora_that_does_not_fit_the_model_is_refused(
    engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    class Misfit:
        loras: frozenset[Path] = frozenset()
        kinds = frozenset({"txt2img"})

        def __init__(self, *_: object) -> None:
            self._fail("__init__")

        def paint(self, *_: object) -> None:
            self._fail("paint")

        def _fail(self, where: str) -> None:
            if where == failing:
                raise RuntimeError("shapes do not match")

    monkeypatch.setattr("ai.engines.openvino.engine.Weights", Misfit)
    with pytest.raises(InvalidRequest, match="LoRA it names does not fit"):
        generate(engine, txt2img(prompt="a red circle<lora:values:1>"))


def test_standing_in_an_unknown_lora_is_left_out_and_said_so(embedded: OpenVinoEngine) -> None:
    generation = generate(embedded, txt2img(prompt="a red circle<lora:x:1>"), stand_in=True)
    assert generation.degraded == ("lora",)
    assert np.array_equal(pixels(generation.images[0]), made(embedded, txt2img()))


def test_an_unknown_lora_is_refused_with_those_there_are(engine: OpenVinoEngine) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generate(engine, txt2img(prompt="x <lora:nope:1>"))
    assert caught.value.field == "prompt"
    assert caught.value.message == "no LoRA 'nope' here; available: keys, misfit, values"


@pytest.mark.parametrize(
    "name", ["../loras/values", "/etc/passwd", "values.safetensors", "notes", ".", "", "VALUES"]
)
def test_a_name_is_no_path(lora_dir: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(f"no LoRA {name!r}")):
        LoraFolder(lora_dir).choose(f"<lora:{name}:1>")


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf", "4.1", "1:2", "one", "1e9"])
def test_a_weight_that_makes_no_sense_is_refused(lora_dir: Path, weight: str) -> None:
    with pytest.raises(InvalidRequest, match="its weight from -4 to 4"):
        LoraFolder(lora_dir).choose(f"<lora:values:{weight}>")


def test_the_order_of_tags_makes_no_difference(lora_dir: Path) -> None:
    folder = LoraFolder(lora_dir)
    chosen = folder.choose("a <lora:values:-2> b <lora:keys:0.5>")
    assert chosen == folder.choose("<lora:keys:0.5><lora:values:-2>")
    assert chosen == (
        Lora(lora_dir / "keys.safetensors", 0.5),
        Lora(lora_dir / "values.safetensors", -2.0),
    )


def test_there_is_a_bound_to_their_number(lora_dir: Path) -> None:
    with pytest.raises(InvalidRequest):
        LoraFolder(lora_dir).choose("<lora:values:1>" * (MAX_LORAS + 1))


@pytest.mark.parametrize("folder", [None, Path("/nowhere/at/all")])
def test_without_a_folder_there_are_none(folder: Path | None) -> None:
    assert LoraFolder(folder).choose("a prompt") == ()
    with pytest.raises(InvalidRequest, match="available: none"):
        LoraFolder(folder).choose("<lora:values:1>")


def test_only_lora_tags_are_taken_out() -> None:
    assert without_tags("a <lora:x:1>b<b> (c:1.2) <lora: <lora:y>") == "a b<b> (c:1.2) <lora: "


def _file(header: object, data: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def _tensor(**changes: object) -> dict[str, object]:
    return {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        (2**60).to_bytes(8, "little") + b"{}",
        (10).to_bytes(8, "little") + b"{}",
        _file([]),
        _file({}),
        _file({"__metadata__": {}}),
        _file({"x": 1}),
        _file(_tensor(), bytes(15)),
        _file(_tensor(shape=[2, 3]), bytes(16)),
        _file(_tensor(shape=[-2, -2]), bytes(16)),
        _file(_tensor(shape=None), bytes(16)),
        _file(_tensor(shape=[1, 1, 1, 2, 2]), bytes(16)),
        _file(_tensor(data_offsets=[-16, 0]), bytes(16)),
        _file(_tensor(data_offsets=[0]), bytes(16)),
        _file(_tensor(dtype="I64", shape=[2]), bytes(16)),
        _file(_tensor(dtype=["F32"]), bytes(16)),
    ],
)
def test_a_broken_file_is_refused_before_the_library_reads_it(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(content)
    with pytest.raises(InvalidRequest, match="'broken' is not a usable file") as caught:
        LoraFolder(tmp_path).choose("<lora:broken:1>")
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InvalidRequest):
        LoraFolder(tmp_path).choose("<lora:folder:1>")
