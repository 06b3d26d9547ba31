"""What becomes of each field a WebUI heeds and this door does not offer.

A field not named here or in the schemas is ignored, as a WebUI ignores fields it does not
know. docs/compat.md has the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping

from backend.errors import FieldError, InvalidBody

UNSET: tuple[object, ...] = (None, "", [], {})
REFUSED_UNLESS: Mapping[str, tuple[object, ...]] = {
    "script_name": ("None",),
    "script_args": (),
    "styles": (),
    "infotext": (),
    "firstpass_image": (),
    "latent_mask": (),
    "include_init_images": (False,),
    "mask_round": (True,),
    "refiner_checkpoint": ("None",),
    "hr_checkpoint_name": ("None", "Use same checkpoint"),
    "hr_sampler_name": ("None", "Use same sampler"),
    "hr_scheduler": ("None", "Use same scheduler"),
    "hr_additional_modules": (["Use same choices"],),
    "seed_resize_from_h": (0, -1),
    "seed_resize_from_w": (0, -1),
    "firstphase_width": (0,),
    "firstphase_height": (0,),
    "initial_noise_multiplier": (1,),
    "disable_extra_networks": (False,),
}
"""Refused, by name, when they hold anything but these values or nothing: what they ask for
would reach beyond the caller's own picture, or be left out unsaid."""

IGNORED = (
    "comments",
    "distilled_cfg_scale",
    "do_not_save_grid",
    "do_not_save_samples",
    "force_task_id",
    "hr_cfg",
    "hr_distilled_cfg",
    "image_cfg_scale",
    "override_settings_restore_afterwards",
    "refiner_switch_at",
    "save_images",
)
"""Heeded by a WebUI, ignored here: the WebUI keeps no pictures, options are always restored, and
the rest means nothing without what is refused above or to checkpoints of this kind."""


def require_allowed(values: Mapping[str, object]) -> None:
    """Raises InvalidBody naming every refused field."""
    errors = [
        FieldError(name, "is not offered here; leave it out")
        for name, allowed in REFUSED_UNLESS.items()
        if values.get(name) not in (*UNSET, *allowed)
    ]
    if errors:
        raise InvalidBody(errors)
