"""Installs, starts, stops and kills a one-node Kafka broker on this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.kafka import KafkaLog
from config.errors import BrokerUnavailableError, ConfigurationError, Problem

KAFKA_VERSION = "4.1.0"
_CLUSTER_ID = "b3JkZXJmbG93LWRldmVsbw"  # 16 bytes in base64, as Kafka wants a cluster id
_POM = Path(__file__).with_name("pom.xml")
_INSTALL_TIMEOUT_S = 600
_READY_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 20
_HOST = "127.0.0.1"


def missing_programs() -> list[str]:
    """What this machine lacks of `java` and `mvn`; empty if a broker can run."""
    return [program for program in ("java", "mvn") if shutil.which(program) is None]


def ensure_installed(tools_dir: Path) -> Path:
    """The folder with the broker's jars, filled by Maven on first use.

    Idempotent, and safe when several processes do it at once: one installs, the others wait for its lock. A Maven run
    that is cut short leaves nothing that looks installed.
    """
    libraries = tools_dir / f"libs-{KAFKA_VERSION}"
    if missing := missing_programs():
        raise ConfigurationError(
            [
                Problem(
                    f"{' and '.join(missing)} not found: a Kafka broker needs Java 17 or newer, and Maven to fetch it"
                )
            ]
        )
    tools_dir.mkdir(parents=True, exist_ok=True)
    with _locked(tools_dir / "install.lock"):
        if not libraries.exists():
            _download(libraries)
    return libraries


@dataclass(slots=True)
class Broker:
    """A running broker. `data_dir` holds its data, `server.properties`, `broker.log` and `broker.pid`."""

    data_dir: Path
    libraries: Path
    port: int
    controller_port: int
    pid: int

    @property
    def bootstrap(self) -> str:
        """The address clients connect to."""
        return f"{_HOST}:{self.port}"

    def stop(self) -> None:
        """Ends the broker orderly, by force if it takes too long."""
        _signal(self.pid, signal.SIGTERM)
        if not _gone_within(self.pid, _STOP_TIMEOUT_S):
            self.kill()
        (self.data_dir / "broker.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the broker with SIGKILL, as a machine's death would; its data stays."""
        _signal(self.pid, signal.SIGKILL)
        _gone_within(self.pid, _STOP_TIMEOUT_S)

    def pause(self) -> None:
        """Stops the broker in its tracks, as a machine that swaps or a virtual one that is moved: connections stay."""
        _signal(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        _signal(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Starts again on the same data and ports after `stop` or `kill`."""
        self.pid = _launch(self.data_dir, self.libraries)
        _wait_until_ready(self)


def start(data_dir: Path, *, tools_dir: Path, port: int = 0) -> Broker:
    """Starts a broker on `data_dir` in the background and returns when it answers; port 0 takes a free one.

    Its process outlives this one. Raises `BrokerUnavailableError` with the end of its log if it does not come up.
    """
    data_dir = data_dir.resolve()
    libraries = ensure_installed(tools_dir.resolve())
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    controller_port = _free_port()
    (data_dir / "server.properties").write_text(_properties(data_dir, port, controller_port))
    if not (data_dir / "data" / "meta.properties").exists():
        _format_storage(data_dir, libraries)
    broker = Broker(data_dir, libraries, port, controller_port, _launch(data_dir, libraries))
    _wait_until_ready(broker)
    return broker


def running(data_dir: Path, *, tools_dir: Path) -> Broker | None:
    """The broker started on `data_dir` by whichever process, if it still runs."""
    data_dir = data_dir.resolve()
    try:
        pid = int((data_dir / "broker.pid").read_text())
        properties = (data_dir / "server.properties").read_text()
    except (FileNotFoundError, ValueError):
        return None
    if not _is_broker(pid, data_dir):
        return None
    lines = dict(line.split("=", 1) for line in properties.splitlines() if "=" in line)
    port = int(lines["advertised.listeners"].rpartition(":")[2])
    controller_port = int(lines["controller.quorum.voters"].rpartition(":")[2])
    return Broker(data_dir, tools_dir.resolve() / f"libs-{KAFKA_VERSION}", port, controller_port, pid)


def _download(libraries: Path) -> None:
    partial = libraries.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)  # noqa: S603
    if outcome.returncode != 0:
        raise BrokerUnavailableError(
            f"Maven could not fetch the Kafka broker:\n{outcome.stdout[-2000:]}{outcome.stderr[-2000:]}"
        )
    partial.rename(libraries)


def _format_storage(data_dir: Path, libraries: Path) -> None:
    arguments = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(data_dir / "server.properties")]
    outcome = subprocess.run(  # noqa: S603
        [*_java(libraries, heap="256m"), *arguments],
        capture_output=True,
        text=True,
        timeout=_READY_TIMEOUT_S,
        check=False,
    )
    if outcome.returncode != 0:
        raise BrokerUnavailableError(
            f"the storage of the Kafka broker could not be formatted:\n{outcome.stderr[-2000:]}"
        )


def _launch(data_dir: Path, libraries: Path) -> int:
    with (data_dir / "broker.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [*_java(libraries, heap="1g"), "kafka.Kafka", str(data_dir / "server.properties")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (data_dir / "broker.pid").write_text(str(process.pid))
    # The process outlives this object on purpose, which Popen would warn about; `_alive` collects it when it ends.
    process.returncode = 0
    return process.pid


def _java(libraries: Path, *, heap: str) -> list[str]:
    return [
        "java",
        f"-Xmx{heap}",
        "-XX:+UseParallelGC",  # least processor time on a small machine that runs the flows as well
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "-cp",
        f"{libraries}/*",
    ]


def _properties(data_dir: Path, port: int, controller_port: int) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{_HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{_HOST}:{port},CONTROLLER://{_HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{_HOST}:{port}",
        "log.dirs": str(data_dir / "data"),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Events carry their own, often old, timestamps: neither may time delete them nor a clock ahead refuse them.
        "log.retention.ms": "-1",
        "log.message.timestamp.after.max.ms": str(2**63 - 1),
        # A broker that was killed may register again that much later, instead of after nine seconds. Shorter is no
        # good: a machine that is busy for so long would make its only broker lose the lead of all partitions for a
        # moment, and librdkafka may never find back (it logs "new leader-1 not found in cache").
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "6000",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _wait_until_ready(broker: Broker) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if not _alive(broker.pid):
            break
        if _accepts(broker.port):
            with closing(KafkaLog(broker.bootstrap, deadline_s=max(1.0, deadline - time.monotonic())).admin()) as admin:
                admin.topics()
                return
        time.sleep(0.05)
    tail = (broker.data_dir / "broker.log").read_text(errors="replace")[-3000:]
    broker.kill()
    raise BrokerUnavailableError(f"the Kafka broker on {broker.data_dir} did not come up; the end of its log:\n{tail}")


def _accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((_HOST, port)) == 0


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _gone_within(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while _alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _alive(pid: int) -> bool:
    """Whether the process runs. An ended child of this process is collected, so that no zombie looks alive."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # started by another process, or collected before
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_broker(pid: int, data_dir: Path) -> bool:
    """Whether this process number is still our broker's and was not given to another program since."""
    if not _alive(pid):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    return not command.parent.parent.joinpath("self").exists() or str(data_dir).encode() in command.read_bytes()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
