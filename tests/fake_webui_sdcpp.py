"""How stable-diffusion.cpp's server differs where it speaks the WebUI's API."""

from __future__ import annotations

from tests.fake_webui_faults import Fault
from tests.fake_webui_model import FakeModel
from tests.fake_webui_wire import Json, Refusal

SAMPLERS = ("default", "euler", "euler_a", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "lcm")
SCHEDULERS = ("default", "discrete", "normal", "karras", "exponential")


class FakeSdcppModel(FakeModel):
    """One checkpoint for good, no options to set, `parameters` as sent and `info` empty."""

    def generate(self, kind: str, body: Json, fault: Fault | None = None) -> Json:
        if not body.get("prompt"):
            raise Refusal(400, "prompt required")
        heeded = {key: value for key, value in body.items() if key != "override_settings"}
        answer = super().generate(kind, heeded, fault)
        return answer | {"parameters": body, "info": ""}

    def list_checkpoints(self) -> list[Json]:
        name = self.in_memory.name
        return [
            {
                "title": name,
                "model_name": name,
                "filename": self.in_memory.filename,
                "hash": "8" * 10,
                "sha256": "8" * 64,
                "config": None,
            }
        ]

    def list_samplers(self) -> list[Json]:
        return [{"name": name, "aliases": [name], "options": {}} for name in SAMPLERS]

    def list_schedulers(self) -> list[Json]:
        return [{"name": name, "label": name} for name in SCHEDULERS]

    def all_options(self) -> Json:
        return {"samples_format": "png", "sd_model_checkpoint": self.in_memory.name}
