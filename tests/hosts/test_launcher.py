"""The parent of an engine: outlives abm, tells how the engine ended, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hosts.runners.base import EngineEndpoint, EngineSpec, StartFailed
from hosts.runners.local import LocalRunner
from hosts.runners.local_files import files_of, read_mark
from tests.bundled.running import free_port
from tests.hosts.tiny_engine import answers, install
from tests.hosts.waiting import until

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
ABM = """
import sys, time
from pathlib import Path
from hosts.runners.base import EngineSpec
from hosts.runners.local import LocalRunner
port = int(sys.argv[2])
spec = EngineSpec("tiny", source_dir=Path(sys.argv[3]), ports=range(port, port + 1))
print(LocalRunner(Path(sys.argv[1])).start(spec).url, flush=True)
time.sleep(60)
"""


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_an_engine_outlives_the_abm_that_started_it(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path, number: signal.Signals
) -> None:
    install(runner, spec)
    abm = subprocess.Popen(
        [sys.executable, "-c", ABM, str(tmp_path), str(spec.ports.start), str(spec.source_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert abm.stdout is not None
    url = abm.stdout.readline().strip()
    until(lambda: answers(url))
    os.killpg(abm.pid, number)
    abm.wait()
    abm.stdout.close()

    status = LocalRunner(tmp_path).status(spec)

    assert status.is_running and status.endpoint and status.endpoint.url == url
    assert answers(url)


def test_the_engine_is_detached_from_its_launcher_and_from_abm(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    runner.start(spec)
    run = read_mark(files_of(spec, tmp_path).run_mark)

    assert os.getsid(run["pid"]) == os.getpgid(run["pid"]) == run["pid"]
    assert os.getsid(run["launcher"]) not in (os.getsid(0), run["pid"])
    assert psutil.Process(run["pid"]).ppid() == run["launcher"]


def test_a_launcher_costs_little_memory(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    runner.start(spec)
    launcher = psutil.Process(read_mark(files_of(spec, tmp_path).run_mark)["launcher"])

    if not hasattr(launcher, "memory_full_info"):
        pytest.skip("this system does not tell what a process has for itself")
    assert launcher.memory_full_info().uss < 6 * 2**20


def test_a_launcher_that_is_asked_to_end_ends_its_engine(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    run = read_mark(files_of(spec, tmp_path).run_mark)

    os.kill(run["launcher"], signal.SIGTERM)

    until(lambda: not lives(run["pid"]) and not lives(run["launcher"]))
    found = runner.status(spec).exit
    assert found is not None and found.signal == signal.SIGTERM


def test_without_its_launcher_an_engine_is_still_found_and_ended(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    run = read_mark(files_of(spec, tmp_path).run_mark)
    os.kill(run["launcher"], signal.SIGKILL)
    until(lambda: not lives(run["launcher"]))

    assert runner.status(spec).is_running
    runner.stop(spec, grace=1)

    found = runner.status(spec).exit
    assert not lives(run["pid"])
    assert found is not None and "without a trace" in found.reason


def child_of(runner: LocalRunner, spec: EngineSpec) -> int:
    """The child that tiny starts in the mode `parent`; it ignores SIGTERM and chatters."""
    until(lambda: any(line.startswith("child ") for line in runner.logs(spec, tail=50)))
    line = next(line for line in runner.logs(spec, tail=10_000) if line.startswith("child "))
    return int(line.split()[1])


def test_a_child_that_outlives_a_crashed_engine_is_ended(
    runner: LocalRunner, spec: EngineSpec
) -> None:
    spec = replace(spec, environment={"TINY": "parent"})
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    child, pid = child_of(runner, spec), runner.status(spec).pid
    assert pid is not None and lives(child)

    os.kill(pid, signal.SIGKILL)

    until(lambda: not runner.status(spec).is_running, seconds=2)
    found = runner.status(spec).exit
    assert found is not None and found.signal == signal.SIGKILL
    until(lambda: not lives(child))


def test_stopping_an_engine_ends_its_children(runner: LocalRunner, spec: EngineSpec) -> None:
    spec = replace(spec, environment={"TINY": "parent"})
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    child = child_of(runner, spec)

    runner.stop(spec, grace=1)

    until(lambda: not lives(child), seconds=1)


def test_a_crash_names_the_exception(runner: LocalRunner, spec: EngineSpec) -> None:
    spec = replace(spec, environment={"TINY": "crash"})
    install(runner, spec)
    runner.start(spec)
    until(lambda: not runner.status(spec).is_running)

    found = runner.status(spec).exit

    assert found is not None
    assert found.reason == "It ended with status 1: RuntimeError: tiny cannot go on."


def test_an_end_is_never_told_before_its_reason_is_known(
    runner: LocalRunner, spec: EngineSpec
) -> None:
    install(runner, spec)
    for _ in range(5):
        runner.start(spec)
        pid = runner.status(spec).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while (status := runner.status(spec)).is_running:
            time.sleep(0.001)
        assert status.exit is not None and status.exit.signal == signal.SIGKILL


def test_an_engine_that_cannot_be_written_down_is_not_left_running(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    # A folder where the launcher wants to write its file: a full disk fails at the same place.
    (files_of(spec, tmp_path).folder / "run.json.new").mkdir()

    with pytest.raises(StartFailed, match=r"run\.json\.new"):
        runner.start(spec)

    marks = f"--port {spec.ports.start}"
    until(lambda: not any(marks in " ".join(p.info["cmdline"] or []) for p in _processes()))


def _processes() -> list[psutil.Process]:
    return list(psutil.process_iter(["cmdline"]))


def test_an_engine_whose_interpreter_is_gone_is_to_be_installed_again(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    python = files_of(spec, tmp_path).python
    python.unlink()
    python.symlink_to(tmp_path / "removed-by-an-upgrade")

    assert not runner.status(spec).is_installed
    with pytest.raises(StartFailed, match=r"Install it again\."):
        runner.start(spec)


def test_two_engines_that_start_at_once_get_two_ports(tmp_path: Path) -> None:
    first = free_port()
    source = Path(__file__).parent / "tiny"
    specs = [
        EngineSpec(name, source_dir=source, ports=range(first, first + 20))
        for name in ("tiny-one", "tiny-two", "tiny-three")
    ]
    for spec in specs:
        install(LocalRunner(tmp_path), spec)
    endpoints: list[EngineEndpoint] = []

    def start(spec: EngineSpec) -> None:
        endpoints.append(LocalRunner(tmp_path).start(spec))

    threads = [threading.Thread(target=start, args=[spec]) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len({endpoint.port for endpoint in endpoints}) == 3
        for endpoint in endpoints:
            until(lambda url=endpoint.url: answers(url))  # type: ignore[misc]
    finally:
        for spec in specs:
            LocalRunner(tmp_path).stop(spec, grace=0.2)
