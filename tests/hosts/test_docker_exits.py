"""An ended container is explained by its code, the daemon's words and what the engine said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hosts.runners.container import Mount
from hosts.runners.docker.exits import LONGEST, Ending, explain_exit
from hosts.runners.docker.last_words import SAID

TRACEBACK = """\
Traceback (most recent call last):
  File "/app/server.py", line 190, in <module>
    main()
  File "/app/server.py", line 180, in main
    misbehave()
"""
ENVIRON = """\
Traceback (most recent call last):
  File "/app/server.py", line 3, in <module>
    token = os.environ["HF_TOKEN"]
            ~~~~~~~~~~^^^^^^^^^^^^
  File "<frozen os>", line 679, in __getitem__
"""


def ended(said: str = "", *, code: int = 1, **more: object) -> str:
    ending = Ending("xtts", code, lines=said.splitlines(), image="ghcr.io/lab/xtts:latest")
    return explain_exit(replace(ending, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said",
    [
        ENVIRON + "KeyError: 'HF_TOKEN'",
        "error: the environment variable HF_TOKEN is not set",
        "ValueError: HF_TOKEN must be set",
        'Error: "HF_TOKEN" is required',
        "RuntimeError: Missing required environment variable: HF_TOKEN",
        "Please set the environment variable HF_TOKEN and try again",
        "/entrypoint.sh: line 3: HF_TOKEN: unbound variable",
    ],
)
def test_a_missing_variable_is_named(said: str) -> None:
    assert ended(said) == (
        "xtts needs the variable HF_TOKEN, which is not set. Set it in its environment."
    )


def test_a_key_that_is_no_variable_is_only_repeated() -> None:
    said = f"{TRACEBACK}KeyError: 'SPEAKER'"

    assert ended(said) == "It ended with status 1: KeyError: 'SPEAKER'."


def test_the_memory_limit_is_said_in_gigabytes() -> None:
    words = ended(code=137, is_oom=True, memory_limit=1_500_000_000)

    assert words == (
        "xtts was ended because it took more memory than it may. Its limit is 1.5 GB: raise it in "
        "its settings, or choose a smaller model."
    )


def test_without_a_limit_the_host_had_no_memory_left() -> None:
    assert "gpu-box itself had none left" in ended(code=137, is_oom=True, host_name="gpu-box")


@pytest.mark.parametrize(
    "said",
    [
        "OSError: [Errno 98] Address already in use",
        "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8766): address already "
        "in use",
        "httpd: bind: Address already in use",
        "Error: listen EADDRINUSE: address already in use 0.0.0.0:8766",
    ],
)
def test_a_port_in_use_inside_is_told_apart_from_the_hosts(said: str) -> None:
    assert ended(said).startswith("Inside its container the port is in use")
    assert "8766" in ended(said)


def test_an_address_that_the_container_lacks_is_explained() -> None:
    words = ended("OSError: [Errno 99] Cannot assign requested address")

    assert "0.0.0.0" in words and "HOST" in words


@pytest.mark.parametrize(
    "said",
    [
        "exec /usr/local/bin/python: exec format error",
        "standard_init_linux.go:228: exec user process caused: exec format error",
        "[FATAL tini (7)] exec /engine failed: Exec format error",
    ],
)
def test_a_foreign_architecture_is_named_as_such(said: str) -> None:
    assert "made for another architecture" in ended(said)


def test_an_image_for_other_machines_is_told_by_what_it_is_made_for() -> None:
    # execvp looks for a shell to run what the kernel refuses, and complains of that.
    said = "[FATAL tini (6)] exec /engine failed: No such file or directory"

    assert "made for linux/arm64, which this machine is not" in (
        ended(said, code=127, made_for="linux/arm64")
    )
    assert "has no program /engine" in ended(said, code=127)


@pytest.mark.parametrize(
    "said",
    [
        "PermissionError: [Errno 13] Permission denied: '/app/external_models/xtts/model.pth'",
        "mkdir: cannot create directory '/app/external_models/xtts': Permission denied",
        "mkdir: cannot create directory ‘/app/external_models/xtts’: Permission denied",
        "sh: can't create /app/external_models/xtts: Permission denied",
        "Error: EACCES: permission denied, open '/app/external_models/x'",
    ],
)
def test_a_forbidden_volume_is_named_with_its_folder_and_user(said: str) -> None:
    mounts = [Mount("/srv/models/xtts", "/app/external_models"), Mount("voices", "/app")]

    words = ended(said, user="1001:1001", mounts=mounts)

    assert "runs as 1001:1001" in words and "/app/external_models/x" in words
    assert words.endswith("sudo chown -R 1001:1001 /srv/models/xtts")


def test_a_forbidden_volume_of_the_daemon_has_another_way_out() -> None:
    said = "PermissionError: [Errno 13] Permission denied: '/data/x'"

    words = ended(said, user="whisper", mounts=[Mount("whisper-models", "/data")])

    assert "its volume whisper-models" in words and "chown" not in words


def test_a_forbidden_place_of_the_image_has_another_way_out() -> None:
    words = ended("PermissionError: [Errno 13] Permission denied: '/opt/x'", user="1001")

    assert "may not use /opt/x of its image" in words


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("OSError: [Errno 30] Read-only file system: '/app/samples/x.wav'", "mounted read-only"),
        ("OSError: [Errno 28] No space left on device", "disk of this machine is full"),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
            "driver of this machine is too old",
        ),
        (
            "RuntimeError: CUDA failed with error CUDA driver version is insufficient for CUDA "
            "runtime version",
            "driver of this machine is too old",
        ),
        (
            "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an "
            "NVIDIA GPU",
            "looked for a GPU and was given none",
        ),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "not made for the GPU",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "of the GPU"),
        (
            "RuntimeError: Library libcublas.so.12 is not found or cannot be loaded",
            "lacks the library cublas",
        ),
        (
            ' | > Otherwise, I agree to the terms: I have read, understood and agreed to" - [y/n]\n'
            "EOFError: EOF when reading a line",
            "asks for its licence",
        ),
        (
            "huggingface_hub.errors.GatedRepoError: 401 Client Error.",
            "set HF_TOKEN in its environment",
        ),
        (
            "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', "
            "port=443): Max retries exceeded with url: /api",
            "could not reach what it wanted",
        ),
        ("MemoryError", "did not get the memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "did not get the"),
    ],
)
def test_known_last_words_are_explained(said: str, meant: str) -> None:
    assert meant in ended(said)


def test_of_several_known_words_the_last_ones_count() -> None:
    said = "PermissionError: [Errno 13] Permission denied: '/x'\nOSError: No space left on device"

    assert "disk of this machine is full" in ended(said)


def test_a_traceback_gives_its_last_line() -> None:
    said = f"{TRACEBACK}FileNotFoundError: [Errno 2] No such file or directory: '/app/w.bin'"

    assert ended(said) == (
        "It ended with status 1: FileNotFoundError: [Errno 2] No such file or directory: "
        "'/app/w.bin'."
    )


def test_a_long_line_is_cut() -> None:
    assert len(ended(f"ValueError: {'x' * 5000}")) < LONGEST + 100


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        (0, "as if it were done"),
        (126, "no program"),
        (127, "not found in ghcr.io/lab/xtts:latest"),
        (132, "instructions that this processor lacks"),
        (134, "signal 6"),
        (135, "shared memory"),
        (137, "signal 9"),
        (139, "signal 11"),
        (143, "ended from outside"),
        (3, "status 3 and without a word"),
        (255, "status 255 and without a word"),
    ],
)
def test_each_code_has_its_meaning(code: int, meant: str) -> None:
    assert meant in ended(code=code)


def test_what_was_said_before_a_kill_is_not_taken_for_its_cause() -> None:
    said = "warning: HF_TOKEN is not set, gated models are left out"

    assert "signal 15" in ended(said, code=143)
    assert "signal 9" in ended(said, code=137)


def test_the_last_line_stands_where_nothing_is_known() -> None:
    assert ended("loading\ngiving up now\n\n", code=3) == (
        "It ended with status 3. Its last line: giving up now."
    )


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        ('could not select device driver "" with capabilities: [[gpu]]', "NVIDIA Container Tool"),
        (
            "driver failed programming external connectivity on endpoint x: Bind for "
            "127.0.0.1:8766 failed: port is already allocated",
            "Port 8766 of this machine is in use",
        ),
        (
            'OCI runtime create failed: runc create failed: exec: "serve": executable file not '
            "found in $PATH: unknown",
            "no program serve",
        ),
        ("the moon is full", "Docker could not start xtts: the moon is full."),
    ],
)
def test_a_start_that_failed_is_explained_by_dockers_words(error: str, meant: str) -> None:
    assert meant in ended(code=128, error=error)


def test_every_sentence_can_be_said_and_ends_as_one() -> None:
    facts = {"name": "n", "image": "i", "host": "h", "port": "1", "memory": "M.", "variable": "V"}
    for said in SAID:
        words = said.sentence.format(**facts, permission="P.", path="/p", library="l", program="p")

        assert words.endswith("."), said


@pytest.mark.parametrize("code", [1, 126, 127, 137, 139])
def test_every_ending_is_sentences(code: int) -> None:
    assert ended("x" * 40, code=code).endswith(".")


def test_a_mount_counts_only_for_what_is_below_it() -> None:
    mounts = [Mount(str(Path("/srv/m")), "/app/mod")]

    words = ended("PermissionError: Permission denied: '/app/models/x'", mounts=mounts)

    assert "of its image" in words
