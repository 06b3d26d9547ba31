"""The bundled checkpoint of the embedded engine: where it lies and what it is called."""

from pathlib import Path

CHECKPOINT_DIR = Path(__file__).parent / "checkpoint"
CHECKPOINT_NAME = "sluice-demo"
