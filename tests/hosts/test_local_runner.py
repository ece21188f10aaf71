"""Engines as processes: installed, started, found again, judged when they ended, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hosts.runners.base import EngineSpec, PortTaken
from hosts.runners.local import LocalRunner
from hosts.runners.local_files import files_of
from jobs.outcome import CancelToken
from tests.hosts.tiny_engine import TINY, answers, get, install
from tests.hosts.waiting import until

pytestmark = pytest.mark.engine


def test_an_installed_engine_starts_and_answers(runner: LocalRunner, spec: EngineSpec) -> None:
    steps = install(runner, spec)

    endpoint = runner.start(spec)

    until(lambda: answers(endpoint.url))
    status = runner.status(spec)
    assert list(dict.fromkeys(steps)) == ["copy", "venv", "fetch", "mark"]
    assert status.is_installed and status.is_running
    assert status.endpoint == endpoint
    assert endpoint.port in status.listening_ports
    assert status.memory_bytes and status.memory_bytes > 5_000_000


def test_the_engine_gets_its_folders_and_none_of_our_secrets(
    runner: LocalRunner, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "ADMIN_PASSWORD", "REDIS_URL"):
        monkeypatch.setenv(name, "hush")
    spec = replace(spec, environment={"TOKEN": "mine", "PORT": "1"})
    install(runner, spec)

    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    environment = get(f"{endpoint.url}/environment")

    assert "hush" not in environment.values()
    assert environment["TOKEN"] == "mine"
    assert environment["PORT"] == str(endpoint.port)
    assert environment["SAMPLES_DIR"] == str(spec.samples_dir)
    assert environment["MODELS_DIR"] == str(spec.models_dir)


def test_another_runner_finds_a_running_engine_again(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    runner.start(spec)

    again = LocalRunner(tmp_path).status(spec)

    assert again.is_running
    assert again.pid == runner.status(spec).pid


def test_a_process_of_another_time_is_not_taken_for_the_engine(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    mark = files_of(spec, tmp_path).run_mark
    mark.write_text(json.dumps({"pid": os.getpid(), "ticks": 1, "port": 1, "started_at": 1.0}))

    assert not runner.status(spec).is_running


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "native code")]
)
def test_an_engine_that_was_killed_says_by_what(
    runner: LocalRunner, spec: EngineSpec, number: signal.Signals, words: str
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    pid = runner.status(spec).pid
    assert pid

    os.kill(pid, number)

    until(lambda: not runner.status(spec).is_running and runner.status(spec).exit)
    until(lambda: (found := runner.status(spec).exit) and found.signal == number)
    found = runner.status(spec).exit
    assert found and words in found.reason


def test_a_crash_leaves_its_traceback(runner: LocalRunner, spec: EngineSpec) -> None:
    spec = replace(spec, environment={"TINY": "crash"})
    install(runner, spec)

    runner.start(spec)

    until(lambda: (found := runner.status(spec).exit) and found.code == 1)
    assert any("tiny cannot go on" in line for line in runner.logs(spec, tail=40))


def test_an_engine_that_ignores_requests_to_end_is_killed(
    runner: LocalRunner, spec: EngineSpec
) -> None:
    spec = replace(spec, environment={"TINY": "stubborn"})
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))

    began = time.monotonic()
    runner.stop(spec, grace=0.3)

    assert not runner.status(spec).is_running
    assert time.monotonic() - began < 4


def test_a_taken_port_is_told_with_its_holder(runner: LocalRunner, spec: EngineSpec) -> None:
    install(runner, spec)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", spec.ports.start))
        holder.listen()

        with pytest.raises(PortTaken, match=f"process {os.getpid()}"):
            runner.start(spec)


def test_ports_of_neighbours_are_left_alone(runner: LocalRunner, spec: EngineSpec) -> None:
    install(runner, spec)
    first = spec.ports.start
    spec = replace(spec, ports=range(first, first + 20), taken_ports=frozenset({first}))

    assert runner.start(spec).port > first


def test_remove_frees_what_install_made(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    runner.start(spec)

    freed = runner.remove(spec)

    assert freed > 1_000
    assert not (tmp_path / "engines" / "tiny").exists()
    assert not runner.status(spec).is_installed


def test_a_developers_environment_is_used_untouched(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    theirs = tmp_path / "theirs"
    (tmp_path / "engines" / "tiny" / "venv").rename(theirs)
    runner.remove(spec)
    before = sorted(str(path) for path in theirs.rglob("*"))
    spec = replace(spec, is_in_place=True, venv_path=theirs)

    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    command = psutil.Process(runner.status(spec).pid).cmdline()
    runner.remove(spec)

    assert command[0] == str(theirs / "bin" / "python")
    assert sorted(str(path) for path in theirs.rglob("*")) == before
    assert (TINY / "server.py").exists()


def test_the_log_is_turned_over_and_reads_on(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    spec = replace(spec, environment={"TINY": "chatty"})
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url), seconds=20)

    folder = tmp_path / "engines" / "tiny"
    sizes = [file.stat().st_size for file in folder.glob("engine.log*")]
    lines = runner.logs(spec, tail=3)

    assert 2 <= len(sizes) <= 4
    assert max(sizes) < 5_200_000
    assert lines[-1].startswith("line 199999")


def test_follow_gives_old_lines_and_then_each_new_one(
    runner: LocalRunner, spec: EngineSpec, tmp_path: Path
) -> None:
    install(runner, spec)
    endpoint = runner.start(spec)
    until(lambda: answers(endpoint.url))
    cancel = CancelToken()
    lines = runner.follow(spec, tail=10, cancel=cancel)
    first = next(lines)

    log = tmp_path / "engines" / "tiny" / "engine.log"
    with log.open("a") as file:
        file.write("a new line\n")
    second = next(lines)
    cancel.cancel()

    assert first.startswith("tiny begins")
    assert second == "a new line"
    assert list(lines) == []


def test_an_orphan_is_ended_only_if_it_is_the_same_process(runner: LocalRunner) -> None:
    process = psutil.Popen(["sleep", "60"], start_new_session=True)
    runner.end_orphan(process.pid, process.create_time() - 100)
    assert process.is_running()

    runner.end_orphan(process.pid, process.create_time())

    assert process.wait(5) == -signal.SIGKILL


def test_the_facts_of_this_machine_are_read(runner: LocalRunner) -> None:
    facts = runner.probe()

    assert facts.system and facts.machine
    assert facts.memory_total and facts.disk_free
    assert facts.cpu_count
