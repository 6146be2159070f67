"""`python -m broker.server start|stop|status`: the development broker from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from broker.server.server import running, start
from config.errors import OrderflowError


def main(arguments: list[str]) -> int:
    """Runs one command; the address goes to standard output, everything else to standard error."""
    parser = argparse.ArgumentParser(prog="python -m broker.server", description=__doc__)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("--data", type=Path, default=Path(".orderflow/kafka"), help="folder of data, log and pid")
    parser.add_argument("--tools", type=Path, default=Path(".tools/kafka"), help="folder of the broker's jars")
    parser.add_argument("--port", type=int, default=9092, help="port to listen on; 0 takes a free one")
    options = parser.parse_args(arguments)
    try:
        return _run(options.command, options.data, options.tools, options.port)
    except OrderflowError as error:
        _say(str(error))
        return error.exit_code


def _run(command: str, data_dir: Path, tools_dir: Path, port: int) -> int:
    broker = running(data_dir, tools_dir=tools_dir)
    if command == "start":
        _say(f"already running as process {broker.pid}" if broker else "starting a Kafka broker ...")
        broker = broker or start(data_dir, tools_dir=tools_dir, port=port)
        sys.stdout.write(f"{broker.bootstrap}\n")
        return 0
    if broker is None:
        _say("no broker is running")
        return 0 if command == "stop" else 1
    if command == "stop":
        broker.stop()
        _say("stopped")
        return 0
    sys.stdout.write(f"{broker.bootstrap}\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
