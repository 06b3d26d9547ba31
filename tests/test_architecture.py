"""The rules of direction: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT

WEB = {"flask", "flask_limiter", "werkzeug", "gunicorn"}
AI_NEVER = WEB | {"celery", "sqlalchemy", "backend", "pydantic", "pydantic_settings", "redis"}
ENVIRONMENT_READERS = {"backend/settings.py"}
FRAMEWORK_FREE = ("backend/generate.py", "backend/jobs/", "backend/storage/", "backend/accounts/")
FRONT_DOORS = ("backend/api/", "backend/compat/", "backend/web/")
TASKS = ("backend/worker.py", "backend/broker.py", "backend/jobs/")
NOT_FOR_FRONT_DOORS = ("celery", "kombu", "backend.worker", "backend.broker")
NOT_FOR_TASKS = ("backend.api", "backend.compat", "backend.web")
COMPOSITION = {"backend/services.py", "backend/engines.py", "backend/worker.py"}
CONCRETE = {
    "A1111Engine": "ai.engines.a1111.engine",
    "OpenVinoEngine": "ai.engines.openvino.engine",
    "LocalImageStore": "backend.storage.local",
    "EnginePool": "ai.pool",
}
"""Classes that only the composition roots, of the service and of a worker, may build."""


def _modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for top in ("ai", "backend"):
        for path in sorted((root / top).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not name.startswith("ai/demo_model/training/"):
                yield name, ast.parse(path.read_text())


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _names_used(tree: ast.Module) -> set[str]:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {func.id for func in called if isinstance(func, ast.Name)}


def violations(root: Path) -> list[str]:
    """Every breach of design's rules of direction under `root`, one line each."""
    found = []
    for name, tree in _modules(root):
        imports = set(_imports(tree))
        tops = {module.split(".")[0] for module in imports}
        if name.startswith("ai/"):
            found += [f"{name} imports {top}" for top in sorted(tops & AI_NEVER)]
        if name == "ai/routing.py":
            found += [
                f"{name} imports {top}" for top in sorted(tops & {"time", "logging", "requests"})
            ]
        if name.startswith("ai/engines/"):
            found += [
                f"{name} imports {m}"
                for m in sorted(imports & {"ai.pool", "ai.routing", "ai.health"})
            ]
        if name.startswith(FRAMEWORK_FREE):
            found += [f"{name} imports {top}" for top in sorted(tops & WEB)]
        if name not in ENVIRONMENT_READERS and _reads_environment(tree):
            found.append(f"{name} reads the environment")
        if name.startswith(FRONT_DOORS):
            found += [f"{name} imports {m}" for m in _within(imports, NOT_FOR_FRONT_DOORS)]
        if name.startswith(TASKS):
            found += [f"{name} imports {m}" for m in _within(imports, NOT_FOR_TASKS)]
        if name not in COMPOSITION:
            found += [f"{name} builds {cls}" for cls in sorted(_names_used(tree) & CONCRETE.keys())]
    return found


def _within(imports: set[str], packages: tuple[str, ...]) -> list[str]:
    return sorted(m for m in imports if any(f"{m}.".startswith(f"{p}.") for p in packages))


def _reads_environment(tree: ast.Module) -> bool:
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return any(node.attr in ("environ", "getenv") and _is_os(node.value) for node in attributes)


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_no_module_imports_against_the_rules() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        ("ai/pool.py", "from flask import request", "ai/pool.py imports flask"),
        ("ai/pool.py", "import os\nos.environ['X']", "ai/pool.py reads the environment"),
        ("ai/routing.py", "import time", "ai/routing.py imports time"),
        ("ai/engines/a.py", "from ai.pool import EnginePool", "ai/engines/a.py imports ai.pool"),
        ("backend/api/x.py", "from celery import Celery", "backend/api/x.py imports celery"),
        (
            "backend/jobs/x.py",
            "from backend.api.translate import BASE_PATH",
            "backend/jobs/x.py imports backend.api.translate",
        ),
        ("backend/generate.py", "import flask", "backend/generate.py imports flask"),
        (
            "backend/api/x.py",
            "from ai.pool import EnginePool\nEnginePool()",
            "backend/api/x.py builds EnginePool",
        ),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, source: str, breach: str) -> None:
    planted = tmp_path / path
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    assert violations(tmp_path) == [breach]
