"""What a benchmark runs on: facts about the machine, and a Kafka broker of its own."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.engines import ROOT
from broker.server.server import KAFKA_VERSION, start

_LIBRARIES: Final = ("orderflow", "bytewax", "confluent-kafka", "numpy", "pyarrow", "pyruhvro", "lmdb")
_DISK_FREE_BYTES_MIN: Final = 8 << 30


def facts() -> dict[str, str]:
    """By name what a reader needs to judge the figures; the load tells whether the machine was quiet at the start."""
    cpu = Path("/proc/cpuinfo")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor_model(cpu.read_text()) if cpu.exists() else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load at start": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        "Java": _java_version(),
        "Kafka broker and Kafka Streams": KAFKA_VERSION,
        **{name: version(name) for name in _LIBRARIES},
    }


def processor_model(cpuinfo: str) -> str:
    """The model in a text of the form of /proc/cpuinfo; "unknown" if it names none."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _java_version() -> str:
    if shutil.which("java") is None:
        return "none"
    outcome = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=False)
    return (outcome.stderr.splitlines() or ["unknown"])[0]


@contextmanager
def kafka(bootstrap: str | None) -> Iterator[str]:
    """The address of a broker: the one given, or a fresh one on a free port, gone with its data in the end."""
    if bootstrap:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-kafka-", ignore_cleanup_errors=True) as folder:
        if shutil.disk_usage(folder).free < _DISK_FREE_BYTES_MIN:
            raise RuntimeError(f"less than {_DISK_FREE_BYTES_MIN >> 30} GiB are free below {Path(folder).parent}")
        broker = start(Path(folder), tools_dir=ROOT / ".tools" / "kafka")
        try:
            yield broker.bootstrap
        finally:
            broker.stop()
