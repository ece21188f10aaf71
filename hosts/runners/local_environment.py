"""What a local engine and its installer may know of abm's environment: named variables only."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hosts.runners.base import EngineSpec
from hosts.runners.local_files import EngineFiles

PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}
    | {"CUDA_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    | {"XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE"}
    | {"OMP_NUM_THREADS"}
)
PASSED_TO_INSTALLER = ("UV_", "PIP_")


def _passed(*prefixes: str) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith(("LC_", *prefixes))
    }


def installer_environment() -> dict[str, str]:
    """For uv: what an engine gets, and the settings of package indexes.

    uv does not read pip's variables; an index that is set for pip is meant for uv as well.
    """
    found = _passed(*PASSED_TO_INSTALLER)
    for ours, theirs in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ):
        if ours in found and theirs not in found:
            found[theirs] = found[ours]
    return {**found, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def engine_environment(spec: EngineSpec, files: EngineFiles, *, port: int) -> Mapping[str, str]:
    """For the engine's process; what the user set wins, what abm must set wins over that."""
    ours = {
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": str(files.venv),
    }
    if spec.samples_dir is not None:
        ours["SAMPLES_DIR"] = str(spec.samples_dir)
    if spec.models_dir is not None:
        ours["MODELS_DIR"] = str(spec.models_dir)
    if files.shared is not None:
        theirs = spec.environment.get("PYTHONPATH")
        ours["PYTHONPATH"] = os.pathsep.join([str(files.shared), *([theirs] if theirs else [])])
    cards = {} if spec.cards is None else spec.cards.process_variables()
    return {**_passed(), **cards, **spec.environment, **ours}
