"""Certificates that nobody signed but their owner."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.running import installed


def self_signed(alternative: str, folder: Path) -> Path:
    """A certificate for `alternative`, "DNS:..." or "IP:...", with its key; alone in .crt too."""
    file = folder / "self-signed.pem"
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    name = alternative.partition(":")[2]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"]
    output = ["-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
    subprocess.run(
        [installed("openssl"), *command.split(), *names, *output], check=True, capture_output=True
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file
