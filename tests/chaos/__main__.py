"""The long form of the chaos tests: `python -m tests.chaos --kills 200 --log both`.

A line per round goes to standard error, a JSON summary per flow and log to standard output. Exit code 1 if anything
is not exact.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package

from chaos_driver import Chaos, Report
from chaos_groups import GroupRiskJob
from chaos_jobs import ChainJob, LifecycleJob, OrderStatusJob, ViewsJob
from chaos_log import Job
from chaos_processes import ForkServer
from chaos_risk import RiskJob
from chaos_surveillance import SurveillanceJob
from chaos_world import world

TOOLS_DIR = Path(__file__).parents[2] / ".tools" / "kafka"
SHARES = {
    "order_status": 0.2,
    "lifecycle": 0.2,
    "chain": 0.12,
    "views": 0.12,
    "risk_check": 0.12,
    "risk_groups": 0.12,
    "surveillance": 0.12,
}
KILLS_PER_BROKER_KILL = 15
KILLS_PER_BROKER_PAUSE = 10


def main() -> int:
    """Runs the flows asked for on the logs asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills per log, shared among the flows")
    parser.add_argument("--log", choices=("embedded", "kafka", "both"), default="both")
    parser.add_argument("--flow", choices=tuple(SHARES), help="only this flow, with all the kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep logs and stores in this folder")
    options = parser.parse_args()
    kinds = ("embedded", "kafka") if options.log == "both" else (options.log,)
    shares = {options.flow: 1.0} if options.flow else SHARES
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves no broker behind
    exact = True
    with ForkServer() as server, tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        for kind in kinds:
            for name, share in shares.items():
                folder = (options.keep or Path(temporary)) / kind / name
                folder.mkdir(parents=True, exist_ok=True)
                report = _run(server, kind, name, folder, kills=round(options.kills * share), seed=options.seed)
                exact = exact and not report.problems and not report.unexpected
                sys.stdout.write(json.dumps(report.as_json()) + "\n")
                sys.stdout.flush()
    return 0 if exact else 1


def _run(server: ForkServer, kind: str, name: str, folder: Path, *, kills: int, seed: int) -> Report:
    def tell(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%X')} {kind} {name} {line}\n")

    with world(kind, folder, tools_dir=TOOLS_DIR) as place:  # type: ignore[arg-type] # one of the choices
        job = _job(name, kills, seed, folder)
        return Chaos(
            server, job, place, seed=seed, kills=kills, broker_kills=kills // KILLS_PER_BROKER_KILL,
            broker_pauses=kills // KILLS_PER_BROKER_PAUSE,
            history=kind == "embedded" and seed % 2 == 0, tell=tell,
        ).run()  # fmt: skip


def _job(name: str, kills: int, seed: int, folder: Path) -> Job:
    if name == "chain":
        return ChainJob(1_000 + 200 * kills, seed, folder)
    if name == "views":
        return ViewsJob(200 + 20 * kills, seed, folder)
    if name == "risk_check":
        return RiskJob(100 + 15 * kills, seed)
    if name == "risk_groups":
        return GroupRiskJob(10 + kills, seed)
    if name == "surveillance":
        return SurveillanceJob(100 + 30 * kills, seed, folder)
    if name == "lifecycle":
        return LifecycleJob(100 + 15 * kills, seed)
    return OrderStatusJob(300 + 40 * kills, seed)


if __name__ == "__main__":
    sys.exit(main())
