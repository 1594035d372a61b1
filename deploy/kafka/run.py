#!/usr/bin/env python3
"""Apache Kafka on this machine's loopback, without Docker: KRaft, one or three brokers, jars by Maven.

    python deploy/kafka/run.py start --folder F [--nodes 1|3] [--port P]     prints the bootstrap address
    python deploy/kafka/run.py status --folder F
    python deploy/kafka/run.py stop --folder F [--node N] [--kill]

Everything lives under the folder (jars in `$QCFUSE_KAFKA_JARS`, default `~/.cache/qcfuse/kafka-<version>`): a broker
started there again has its records. For development and tests; a plant runs its own cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.1.1"
SCALA_VERSION = "2.13"
SLF4J_VERSION = "1.7.36"  # the API version Kafka 4.1 is built against
HEAP = "-Xmx512m"
CLUSTER_ID = "cWNmdXNlLWxvY2FsLTAwMQ"  # any 16 bytes in base64url; the same again, so that a folder can be restarted
START_S = 60.0
STOP_S = 30.0

_STARTED: list[subprocess.Popen[bytes]] = []  # held, so that Python does not complain of brokers that outlive a call

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>qcfuse</groupId><artifactId>local-kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_{SCALA_VERSION}</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class NotPossible(Exception):
    """One sentence for the person who called."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Ports of node n (1, 2, 3): broker `port + 2 (n - 1)`, controller one above."""

    folder: Path
    nodes: int
    port: int

    def broker_port(self, node: int) -> int:
        return self.port + 2 * (node - 1)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self.broker_port(node)}" for node in self.node_ids)

    @property
    def node_ids(self) -> range:
        return range(1, self.nodes + 1)

    def home(self, node: int) -> Path:
        return self.folder / f"node-{node}"

    def save(self) -> None:
        (self.folder / "cluster.json").write_text(json.dumps({"nodes": self.nodes, "port": self.port}))


def load_cluster(folder: Path) -> Cluster:
    try:
        saved = json.loads((folder / "cluster.json").read_text())
    except FileNotFoundError as error:
        raise NotPossible(f"{folder}: no Kafka was ever started there (run.py start --folder {folder})") from error
    return Cluster(folder, saved["nodes"], saved["port"])


def java() -> str:
    found = shutil.which("java")
    if found is None:
        raise NotPossible("no `java` found: install Java 17 or later (Debian: apt-get install default-jre-headless)")
    return found


def fetch_jars() -> Path:
    """The folder of Kafka's jars, fetched once. Raises NotPossible without Maven or when Maven cannot fetch them."""
    default = Path.home() / ".cache" / "qcfuse" / f"kafka-{KAFKA_VERSION}"
    jars = Path(os.environ.get("QCFUSE_KAFKA_JARS", default))
    if (jars / f"kafka_{SCALA_VERSION}-{KAFKA_VERSION}.jar").is_file():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise NotPossible("no `mvn` found to fetch Kafka with: install Maven (Debian: apt-get install maven)")
    fetched = jars.with_name(jars.name + f".{os.getpid()}")
    fetched.mkdir(parents=True)
    (fetched / "pom.xml").write_text(POM)
    command = [
        maven,
        "-q",
        "-B",
        "-f",
        str(fetched / "pom.xml"),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={fetched}",
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        shutil.rmtree(fetched)
        lines = (outcome.stdout + outcome.stderr).strip().splitlines()
        raise NotPossible(f"Maven could not fetch Kafka {KAFKA_VERSION}: {lines[0] if lines else 'no output'}")
    try:
        fetched.rename(jars)
    except OSError:  # somebody else was quicker
        shutil.rmtree(fetched)
    return jars


def properties(cluster: Cluster, node: int) -> str:
    replicas = cluster.nodes
    voters = ",".join(f"{n}@127.0.0.1:{cluster.broker_port(n) + 1}" for n in cluster.node_ids)
    return "\n".join(
        [
            "process.roles=broker,controller",
            f"node.id={node}",
            f"controller.quorum.voters={voters}",
            "controller.listener.names=CONTROLLER",
            f"listeners=PLAINTEXT://127.0.0.1:{cluster.broker_port(node)},"
            f"CONTROLLER://127.0.0.1:{cluster.broker_port(node) + 1}",
            f"log.dirs={cluster.home(node) / 'records'}",
            f"default.replication.factor={replicas}",
            f"min.insync.replicas={min(2, replicas)}",
            f"offsets.topic.replication.factor={replicas}",
            "offsets.topic.num.partitions=4",
            f"transaction.state.log.replication.factor={replicas}",
            f"transaction.state.log.min.isr={min(2, replicas)}",
            "transaction.state.log.num.partitions=4",
            f"share.coordinator.state.topic.replication.factor={replicas}",
            f"share.coordinator.state.topic.min.isr={min(2, replicas)}",
            "group.initial.rebalance.delay.ms=200",  # the 3 s of production wait for members that tests do not have
            "group.min.session.timeout.ms=1000",
            "auto.create.topics.enable=false",
            "log.segment.bytes=67108864",
            "log.cleaner.dedupe.buffer.size=16777216",  # 128 MiB by default, of a heap of 512
            "num.network.threads=2",
            "num.io.threads=4",
            "",
        ]
    )


def java_command(jars: Path, arguments: list[str]) -> list[str]:
    return [
        java(),
        HEAP,
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{jars}/*",
        *arguments,
    ]


def pid_of(cluster: Cluster, node: int) -> int | None:
    """The broker's process id when it is running (and still the process that was started)."""
    try:
        pid, born = json.loads((cluster.home(node) / "pid.json").read_text())
    except FileNotFoundError:
        return None
    return pid if birth_of(pid) == born else None


def birth_of(pid: int) -> str | None:
    """Start time of a process in the kernel's ticks: a process id alone may have been given again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def start_node(cluster: Cluster, node: int, jars: Path) -> None:
    """Format the node's folder once, start the broker; does not wait for it."""
    if pid_of(cluster, node) is not None:
        return
    home = cluster.home(node)
    home.mkdir(parents=True, exist_ok=True)
    config = home / "server.properties"
    config.write_text(properties(cluster, node))
    if not (home / "records" / "meta.properties").exists():
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(config)]
        outcome = subprocess.run(java_command(jars, tool), capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            raise NotPossible(f"Kafka could not format {home}: {outcome.stderr.strip().splitlines()[-1:]}")
    with (home / "server.log").open("ab") as output:
        broker = subprocess.Popen(
            java_command(jars, ["kafka.Kafka", str(config)]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _STARTED.append(broker)
    (home / "pid.json").write_text(json.dumps([broker.pid, birth_of(broker.pid)]))


def wait_until_up(cluster: Cluster, nodes: list[int]) -> None:
    deadline = time.monotonic() + START_S
    for node in nodes:
        while not is_listening(cluster.broker_port(node)):
            log = cluster.home(node) / "server.log"
            if pid_of(cluster, node) is None:
                raise NotPossible(f"Kafka node {node} ended while starting; see {log}")
            if time.monotonic() > deadline:
                raise NotPossible(f"Kafka node {node} was not up after {START_S:g} s; see {log}")
            time.sleep(0.1)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def stop_node(cluster: Cluster, node: int, kill: bool) -> None:
    pid = pid_of(cluster, node)
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while pid_of(cluster, node) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for broker in _STARTED:
        if broker.pid == pid:
            broker.wait(STOP_S)  # its threads end a moment after its first


def free_port() -> int:
    """A port with its neighbours free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return min(port, 65000)


def start(folder: Path, nodes: int, port: int) -> Cluster:
    java()
    jars = fetch_jars()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "cluster.json").exists():
        cluster = load_cluster(folder)
    else:
        cluster = Cluster(folder.resolve(), nodes, port or free_port())
        cluster.save()
    for node in cluster.node_ids:
        start_node(cluster, node, jars)
    wait_until_up(cluster, list(cluster.node_ids))
    return cluster


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument("--folder", type=Path, required=True, help="where the brokers keep everything")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=1, help="brokers of a new cluster")
    parser.add_argument("--port", type=int, default=0, help="first port of a new cluster; 0: a free one")
    parser.add_argument("--node", type=int, help="stop only this node")
    parser.add_argument("--kill", action="store_true", help="stop without a goodbye (SIGKILL)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "start":
            print(start(options.folder, options.nodes, options.port).bootstrap)
            return 0
        cluster = load_cluster(options.folder)
        if options.command == "stop":
            for node in [options.node] if options.node else cluster.node_ids:
                stop_node(cluster, node, options.kill)
            return 0
        pids = {node: pid_of(cluster, node) for node in cluster.node_ids}
        for node, pid in pids.items():
            state = "stopped" if pid is None else f"running, pid {pid}"
            print(f"node {node} 127.0.0.1:{cluster.broker_port(node)} {state}")
        return 0 if all(pids.values()) else 1
    except NotPossible as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
