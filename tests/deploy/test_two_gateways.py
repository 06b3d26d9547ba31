"""The dashboard's own queries over two gateways: an engine each, or before the same workers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.prometheus import SHIPPED
from tests.running import ROOT, installed

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/sluice.json").read_text())
RULES = [str(SHIPPED / "recording.yml"), str(SHIPPED / "alerts.yml")]
GATEWAYS = ("a", "b")
Samples = dict[str, float]
"""What a panel shows, by its legend."""

ENGINES_OF_THEIR_OWN: dict[str, tuple[str, float, float]] = {
    "engine_state": ('engine="webui",tier="gpu",state="up",view="own"', 0, 1),
    "engine_in_flight": ('engine="webui",view="own"', 0, 1),
    "engine_checkpoint": ('engine="webui",checkpoint="x",view="own"', 1, 1),
    "queue_length": ('view="own"', 3, 4),
    "queue_oldest_seconds": ('view="own"', 20, 30),
    "can_generate": ('view="own"', 0, 1),
    "store_bytes": ("", 700, 700),
}
THE_SAME_WORKERS: dict[str, tuple[str, float, float]] = {
    "engine_state": ('engine="gpu1-webui",tier="gpu",state="up",view="shared"', 1, 1),
    "engine_in_flight": ('engine="gpu1-webui",view="shared"', 1, 1),
    "engine_checkpoint": ('engine="gpu1-webui",checkpoint="x",view="shared"', 1, 1),
    "queue_length": ('view="shared"', 4, 4),
    "queue_oldest_seconds": ('view="shared"', 30, 30),
    "can_generate": ('view="shared"', 1, 1),
    "store_bytes": ("", 700, 700),
}
SHOWN_OF_THEIR_OWN: dict[str, list[Samples]] = {
    "Gateways": [{"{}": 2}],
    "Engines up": [{"{}": 1}],
    "Waiting": [{"{}": 7}, {"{}": 1}],
    "Oldest waiting": [{"{}": 30}],
    "Engines": [
        {
            'sluice:engine_up:max{job="sluice",instance="a",engine="webui",tier="gpu"}': 0,
            'sluice:engine_up:max{job="sluice",instance="b",engine="webui",tier="gpu"}': 1,
        }
    ],
    "Busy": [
        {
            'sluice:engine_in_flight:max{job="sluice",instance="a",engine="webui"}': 0,
            'sluice:engine_in_flight:max{job="sluice",instance="b",engine="webui"}': 1,
        }
    ],
    "Loaded": [
        {
            '{instance="a",engine="webui",checkpoint="x"}': 1,
            '{instance="b",engine="webui",checkpoint="x"}': 1,
        }
    ],
    "Kept": [{"{}": 700}],
}
SHOWN_OF_THE_SAME: dict[str, list[Samples]] = {
    "Gateways": [{"{}": 2}],
    "Engines up": [{"{}": 1}],
    "Waiting": [{"{}": 4}, {"{}": 1}],
    "Oldest waiting": [{"{}": 30}],
    "Engines": [{'sluice:engine_up:max{job="sluice",engine="gpu1-webui",tier="gpu"}': 1}],
    "Busy": [{'sluice:engine_in_flight:max{job="sluice",engine="gpu1-webui"}': 1}],
    "Loaded": [{'{engine="gpu1-webui",checkpoint="x"}': 1}],
    "Kept": [{"{}": 700}],
}


def queries(title: str) -> list[str]:
    [panel] = [panel for panel in DASHBOARD["panels"] if panel["title"] == title]
    return [target["expr"] for target in panel["targets"]]


@pytest.mark.parametrize(
    ("told", "shown"),
    [(ENGINES_OF_THEIR_OWN, SHOWN_OF_THEIR_OWN), (THE_SAME_WORKERS, SHOWN_OF_THE_SAME)],
    ids=["engines of their own", "the same workers"],
)
def test_each_engine_is_seen_and_nothing_counts_twice(
    tmp_path: Path,
    told: dict[str, tuple[str, float, float]],
    shown: dict[str, list[Samples]],
) -> None:
    series = [
        {
            "series": f'sluice_{name}{{job="sluice",instance="{gateway}",{labels}}}',
            "values": f"{values[n]}x5",
        }
        for name, (labels, *values) in told.items()
        for n, gateway in enumerate(GATEWAYS)
    ]
    asked = [
        {
            "expr": query,
            "eval_time": "3m",
            "exp_samples": [{"labels": key, "value": value} for key, value in samples.items()],
        }
        for title, expected in shown.items()
        for query, samples in zip(queries(title), expected, strict=True)
    ]
    case = {"interval": "1m", "input_series": series, "promql_expr_test": asked}
    file = tmp_path / "two_gateways.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": RULES, "evaluation_interval": "1m", "tests": [case]})
    )
    done = subprocess.run(
        [installed("promtool"), "test", "rules", file], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
