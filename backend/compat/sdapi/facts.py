"""What the engines have, in a WebUI's lists: merged, without paths, looked up now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from ai.engines.base import ListName
from ai.extras import AUTOMATIC_VAE
from ai.pool import PoolCheckpoint
from backend.errors import FieldError, InvalidBody
from backend.pool_view import PoolView

FRESH_S = 10.0
"""Lists change when somebody puts a file into a folder."""
_NAME_KEYS = ("name", "model_name", "title")
_ALWAYS_A_VAE = (AUTOMATIC_VAE, "None")
_CONTROLNET_LISTS: Mapping[str, ListName] = {
    "model_list": "controlnet/model_list",
    "module_list": "controlnet/module_list",
}
_BUILT_IN: Mapping[ListName, tuple[str, ...]] = {
    "latent-upscale-modes": (
        "Latent",
        "Latent (antialiased)",
        "Latent (bicubic)",
        "Latent (bicubic antialiased)",
        "Latent (nearest)",
        "Latent (nearest-exact)",
    ),
    "sd-vae": _ALWAYS_A_VAE,
    "upscalers": ("None", "Lanczos", "Nearest"),
}
"""What every WebUI has, taken where no engine tells its list: no name of a file."""
SCRIPTS = ("controlnet", "adetailer")
"""The always-on scripts whose units are taken."""


class Facts:
    """The lists of all engines of `pool` together; each engine is asked once in FRESH_S.

    What they told last stands while none of them tells.
    """

    def __init__(self, pool: PoolView, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._asking = {name: threading.Lock() for name in get_args(ListName)}
        self._told: dict[ListName, tuple[float, list[Any]]] = {}

    def listings(self, name: ListName) -> list[Any]:
        """What each engine that has such a list answers."""
        with self._asking[name]:
            told_at, told = self._told.get(name, (float("-inf"), []))
            if self._clock() - told_at >= FRESH_S:
                told = self._pool.listings(name) or told
                self._told[name] = (self._clock(), told)
            return told

    def rows(self, name: ListName) -> list[dict[str, Any]]:
        """A list of named things, each name once."""
        found: dict[str, dict[str, Any]] = {}
        for row in _rows(self.listings(name)):
            key = next((row[key] for key in _NAME_KEYS if isinstance(row.get(key), str)), None)
            if key is not None:
                found.setdefault(key, row)
        return list(found.values())

    def sd_models(self, checkpoints: Iterable[PoolCheckpoint]) -> list[dict[str, Any]]:
        """These of the pool's checkpoints as the WebUI lists them."""
        digests = {row.get("model_name"): row.get("sha256") for row in self.rows("sd-models")}
        return [
            {
                "title": found.title,
                "model_name": found.name,
                "hash": found.hash,
                "sha256": digests.get(found.name),
                "filename": found.title.partition(" [")[0],
                "config": None,
            }
            for found in checkpoints
        ]

    def samplers(self) -> list[dict[str, Any]]:
        """Every sampler, with the options of those that a WebUI told of."""
        options = {
            row["name"]: row.get("options") for row in self.rows("samplers") if "name" in row
        }
        return [
            {
                "name": sampler.name,
                "aliases": list(sampler.aliases),
                "options": options.get(sampler.name) or {},
            }
            for sampler in self._pool.samplers()
        ]

    def schedulers(self) -> list[dict[str, Any]]:
        """Every noise schedule, as a WebUI told of it where one did."""
        rows = self.rows("schedulers")
        labels = {row.get("label") for row in rows}
        bare = [name for name in self._pool.schedulers() if name not in labels]
        return rows + [_scheduler(name) for name in bare]

    def embeddings(self) -> dict[str, dict[str, Any]]:
        merged: dict[str, dict[str, Any]] = {"loaded": {}, "skipped": {}}
        for told in self.listings("embeddings"):
            for part, known in merged.items():
                members = told.get(part) if isinstance(told, dict) else None
                known.update(members if isinstance(members, dict) else {})
        return merged

    def controlnet(self, part: Literal["model_list", "module_list"]) -> list[str]:
        """Every model or preprocessor that some engine's ControlNet has, once each."""
        names: dict[str, None] = {}
        for told in _objects(self.listings(_CONTROLNET_LISTS[part])):
            listed = told.get(part)
            known = listed if isinstance(listed, list) else []
            names.update(dict.fromkeys(name for name in known if isinstance(name, str)))
        return list(names)

    def controlnet_version(self) -> int | None:
        """Of the first ControlNet that tells."""
        told = (row.get("version") for row in _objects(self.listings("controlnet/version")))
        return next((version for version in told if isinstance(version, int)), None)

    def memory(self) -> dict[str, Any]:
        """Of the first engine that tells."""
        return next(
            _objects(self.listings("memory")), {"ram": {}, "cuda": {"error": "unavailable"}}
        )

    def scripts(self) -> list[str]:
        """Those of the scripts we take units for that some engine has."""
        abilities = self._pool.abilities()
        return [script for script in SCRIPTS if script in abilities]

    def checkpoint(self, asked: str) -> PoolCheckpoint | None:
        """The checkpoint that `asked` means by name or title, letter case aside, or by hash."""
        for found in self._pool.checkpoints():
            names = (found.name, found.title, found.title.partition(" [")[0])
            if asked == found.hash or asked.lower() in (name.lower() for name in names):
                return found
        return None

    def in_memory(self) -> PoolCheckpoint | None:
        """The checkpoint a request that names none gets, as far as that can be told."""
        found = self._pool.checkpoints()
        loaded = (checkpoint for checkpoint in found if checkpoint.loaded_on)
        return next(loaded, found[0] if found else None)

    def require_vae(self, asked: str | None) -> None:
        """Raises InvalidBody for a VAE that no engine has."""
        if asked is not None and asked not in _ALWAYS_A_VAE:
            self._require(asked, ("sd-vae",), "override_settings.sd_vae")

    def require_upscaler(self, asked: str, field: str, *, latent: bool = False) -> None:
        """Raises InvalidBody for an upscaler that no engine has; `latent` ones count if said."""
        if asked != "None":
            self._require(
                asked, ("upscalers", "latent-upscale-modes") if latent else ("upscalers",), field
            )

    def _require(self, asked: str, lists: Iterable[ListName], field: str) -> None:
        """A WebUI would crash, silently take another, or open a file of that name."""
        names = [name for listed in lists for name in self._names(listed)]
        if asked not in names:
            offered = ", ".join(dict.fromkeys(names))
            raise InvalidBody([FieldError(field, f"no {asked!r} here; available: {offered}")])

    def _names(self, listed: ListName) -> Iterable[str]:
        rows = self.rows(listed)
        names = [row[key] for row in rows for key in _NAME_KEYS if isinstance(row.get(key), str)]
        return names or _BUILT_IN[listed]


def _scheduler(name: str) -> dict[str, Any]:
    usual = {"aliases": None, "default_rho": -1.0, "need_inner_model": False}
    return {"name": name, "label": name, **usual}


def _objects(listings: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (listing for listing in listings if isinstance(listing, dict))


def _rows(listings: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for listing in listings:
        if isinstance(listing, list):
            yield from (row for row in listing if isinstance(row, dict))
