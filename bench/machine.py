"""Where and of what the figures are: the machine, and the versions that ran on it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.nginx import nginx_path
from tests.running import ROOT

LIBRARIES = ("flask", "gunicorn", "requests", "redis", "sqlalchemy", "openvino", "pillow")


def machine() -> dict[str, object]:
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of Sluice by its commit, of its libraries, of the servers and of the rivals."""
    found = {name: metadata.version(name) for name in LIBRARIES}
    found["python"] = platform.python_version()
    found["sluice"] = _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    found["nginx"] = _said([nginx_path(), "-v"]).rpartition("/")[2]
    found["redis-server"] = _said(["redis-server", "--version"]).partition("v=")[2].split()[0]
    found["wrk"] = " ".join(_said(["wrk", "--version"]).split()[1:2])
    return found


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return ((done.stdout or done.stderr).splitlines() or ["unknown"])[0].strip()


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
