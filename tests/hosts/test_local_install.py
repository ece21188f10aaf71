"""Installing local engines: real environments, real failures, a real full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hosts.runners.base import EngineSpec, HostNotReady, InstallFailed, Progress
from hosts.runners.local import LocalRunner
from hosts.runners.local_files import files_of
from jobs.outcome import CancelToken
from tests.hosts.waiting import until
from tests.hosts.wheels import make_backend, make_source, make_wheel

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    wheel = make_wheel(tmp_path / "wheels")
    return EngineSpec("tiny", source_dir=make_source(tmp_path / "tiny", f"little @ file://{wheel}"))


def install(data_dir: Path, spec: EngineSpec) -> list[Progress]:
    return list(LocalRunner(data_dir).install(spec, CancelToken()))


def test_requirements_are_put_in_place_step_by_step(data_dir: Path, spec: EngineSpec) -> None:
    told = install(data_dir, spec)

    steps = list(dict.fromkeys(progress.step for progress in told))
    assert steps == ["copy", "venv", "fetch", "link", "mark"]
    assert any("little==1.0" in progress.line for progress in told)
    python = files_of(spec, data_dir).python
    said = subprocess.check_output([python, "-c", "import little; print(little.VERSION)"])
    assert said == b"1.0\n"


def test_the_installers_process_is_told_so_that_it_can_be_ended(
    data_dir: Path, spec: EngineSpec
) -> None:
    for progress in LocalRunner(data_dir).install(spec, CancelToken()):
        if progress.child_pid is not None:
            created = psutil.Process(progress.child_pid).create_time()
            assert progress.child_created == created
            return
    pytest.fail("no process was told")


def test_an_install_that_is_given_up_leaves_no_process(data_dir: Path, spec: EngineSpec) -> None:
    told = LocalRunner(data_dir).install(spec, CancelToken())
    pid = next(progress.child_pid for progress in told if progress.child_pid is not None)

    told.close()  # type: ignore[attr-defined]

    assert not psutil.pid_exists(pid)


def test_a_retry_after_abm_was_killed_starts_from_nothing(data_dir: Path, spec: EngineSpec) -> None:
    files = files_of(spec, data_dir)
    files.venv.mkdir(parents=True)
    (files.venv / "half").write_text("made")
    files.source.mkdir()
    (files.source / "old.py").write_text("")

    assert not LocalRunner(data_dir).status(spec).is_installed
    install(data_dir, spec)

    assert LocalRunner(data_dir).status(spec).is_installed
    assert not (files.venv / "half").exists() and not (files.source / "old.py").exists()


HOLDING = """
import sys
from pathlib import Path
from hosts.runners.base import EngineSpec
from hosts.runners.local import LocalRunner
from jobs.outcome import CancelToken
spec = EngineSpec("tiny", source_dir=Path(sys.argv[2]))
for progress in LocalRunner(Path(sys.argv[1])).install(spec, CancelToken()):
    if progress.child_pid is not None:
        print(progress.step, progress.child_pid, progress.child_created, flush=True)
"""


def test_what_a_killed_abm_left_running_is_ended_by_the_next_one(
    data_dir: Path, tmp_path: Path, held_url: str
) -> None:
    source = make_source(tmp_path / "held", f"nothing @ {held_url}")
    abm = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(data_dir), str(source)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert abm.stdout is not None
    told = next(line.split() for line in abm.stdout if line.startswith("fetch"))
    abm.kill()
    abm.wait()
    abm.stdout.close()
    pid, created = int(told[1]), float(told[2])
    assert psutil.pid_exists(pid)

    LocalRunner(data_dir).end_orphan(pid, created)

    until(lambda: not _lives(pid))
    assert not LocalRunner(data_dir).status(EngineSpec("tiny")).is_installed


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("little == 99.0 @ file:///nowhere", "requirements.txt"),
        ("broken @ file://{folder}/broken", "broken"),
        ("absent @ file://{folder}/absent-1-py3-none-any.whl", "absent"),
    ],
)
def test_the_requirement_that_failed_is_named(
    data_dir: Path, tmp_path: Path, requirement: str, words: str
) -> None:
    make_backend(tmp_path / "broken", 'raise SystemExit("no compiler here")\n')
    source = make_source(tmp_path / "tiny", requirement.format(folder=tmp_path))

    with pytest.raises(InstallFailed) as failed:
        install(data_dir, EngineSpec("tiny", source_dir=source))

    assert words in failed.value.message
    assert failed.value.detail
    assert not LocalRunner(data_dir).status(EngineSpec("tiny")).is_installed


def test_what_a_package_said_when_it_could_not_be_built_is_told(
    data_dir: Path, tmp_path: Path
) -> None:
    broken = make_backend(tmp_path / "broken", 'raise SystemExit("no compiler here")\n')
    source = make_source(tmp_path / "tiny", f"broken @ file://{broken}")

    with pytest.raises(InstallFailed, match="no compiler here"):
        install(data_dir, EngineSpec("tiny", source_dir=source))


@pytest.mark.parametrize("version", ["--help", "/bin/sh", "three", "^x"])
def test_a_python_version_that_is_none_is_refused(
    data_dir: Path, spec: EngineSpec, version: str
) -> None:
    with pytest.raises(InstallFailed, match=r"installation\.python_version"):
        install(data_dir, replace(spec, python_version=version))


@pytest.mark.parametrize("version", ["", "3", "^3.9", f"~{OURS}", ">=3.9, <4", f"=={OURS}.*"])
def test_the_ways_to_ask_for_an_interpreter_are_understood(
    data_dir: Path, tmp_path: Path, version: str
) -> None:
    source = make_source(tmp_path / "bare", "")
    spec = EngineSpec("tiny", source_dir=source, python_version=version)

    install(data_dir, spec)

    assert LocalRunner(data_dir).status(spec).is_installed


@pytest.mark.parametrize("version", ["^3.99", ">=3.99", "~3.99", "2.1"])
def test_an_interpreter_that_is_missing_is_named(
    data_dir: Path, spec: EngineSpec, version: str
) -> None:
    number = version.lstrip("^>=~")
    with pytest.raises(HostNotReady, match=f"apt install python{number}"):
        install(data_dir, replace(spec, python_version=version))


def test_the_installer_gets_no_secret_of_abm_but_the_settings_of_indexes(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "index")
    spy = make_backend(
        tmp_path / "spy",
        "import os\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    open({str(tmp_path / 'seen')!r}, 'w').write(repr(sorted(os.environ)))\n"
        "    raise SystemExit('seen')\n",
    )
    for name in ("SECRET_KEY", "DATABASE_URL", "ADMIN_PASSWORD", "REDIS_URL", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    source = make_source(tmp_path / "tiny", f"spy @ file://{spy}")

    with pytest.raises(InstallFailed):
        install(data_dir, EngineSpec("tiny", source_dir=source))

    seen = (tmp_path / "seen").read_text()
    assert "UV_FIND_LINKS" in seen
    assert not any(name in seen for name in ("SECRET", "DATABASE", "ADMIN", "REDIS", "TOKEN"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB: only root can make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("a full disk needs root, who may mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("step", ["copy", "venv", "link"])
def test_a_full_disk_is_called_so_at_each_step(small_disk: Path, tmp_path: Path, step: str) -> None:
    wheel = make_wheel(tmp_path / "wheels", size=3_000_000)
    source = make_source(tmp_path / "tiny", f"little @ file://{wheel}")
    filling = {"copy": 1_048_576, "venv": 1_020_000, "link": 0}[step]
    (small_disk / "filling").write_bytes(b"x" * filling)
    seen: list[str] = []

    with pytest.raises(InstallFailed) as failed:
        for progress in LocalRunner(small_disk).install(
            EngineSpec("tiny", source_dir=source), CancelToken()
        ):
            seen.append(progress.step)

    assert seen[-1] == step
    assert failed.value.code == "DISK_FULL"
    assert "Free some space" in failed.value.message
    assert not LocalRunner(small_disk).status(EngineSpec("tiny")).is_installed


def test_an_installer_that_is_killed_from_outside_is_a_failed_install(
    data_dir: Path, tmp_path: Path, held_url: str
) -> None:
    source = make_source(tmp_path / "held", f"nothing @ {held_url}")
    told = LocalRunner(data_dir).install(EngineSpec("tiny", source_dir=source), CancelToken())
    pids = []
    with pytest.raises(InstallFailed):
        for progress in told:
            if progress.child_pid is not None and progress.step == "fetch":
                pids.append(progress.child_pid)
                os.killpg(progress.child_pid, signal.SIGKILL)

    assert len(pids) == 1


def test_credentials_of_an_index_never_reach_the_log(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    url = "http://user:hush@127.0.0.1:9/x-1-py3-none-any.whl"
    source = make_source(tmp_path / "private", f"x @ {url}")
    lines = []

    with pytest.raises(InstallFailed) as failed:
        for progress in LocalRunner(data_dir).install(
            EngineSpec("tiny", source_dir=source), CancelToken()
        ):
            lines.append(progress.line)

    assert "127.0.0.1:9 could not be reached" in failed.value.message
    assert "hush" not in "\n".join(lines) + failed.value.message + failed.value.detail
