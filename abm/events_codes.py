"""Why a host is lost, in the words of the API's contract."""

from __future__ import annotations

from hosts.models import Host

HOST_CODES = {
    Host.State.CLIENT_MISSING: "DOCKER_NOT_FOUND",
    Host.State.PERMISSION_DENIED: "SSH_AUTH_FAILED",
    Host.State.UNREACHABLE: "CONNECTION_LOST",
    Host.State.TOO_OLD: "DOCKER_NOT_FOUND",
}
"""By state, as far as the contract has a word."""
SSH_CODES = {
    "SSH_NAME_UNKNOWN": "DNS_FAILED",
    "SSH_NO_ROUTE": "NETWORK_UNREACHABLE",
    "SSH_REFUSED": "CONNECTION_REFUSED",
    "SSH_TIMEOUT": "CONNECTION_TIMEOUT",
    "SSH_SILENT": "CONNECTION_TIMEOUT",
    "SSH_LOST": "CONNECTION_LOST",
    "SSH_NO_REPLY": "CONNECTION_LOST",
    "SSH_KEY_REFUSED": "SSH_AUTH_FAILED",
    "SSH_HUNG_UP": "SSH_CONNECTION_FAILED",
    "SSH_NOT_SSH": "SSH_CONNECTION_FAILED",
    "SSH_HOST_KEY_UNKNOWN": "SSH_CONNECTION_FAILED",
    "SSH_HOST_KEY_CHANGED": "SSH_CONNECTION_FAILED",
    "SSH_FORWARDING_FORBIDDEN": "SSH_CONNECTION_FAILED",
    "SSH_TOO_MANY_SESSIONS": "SSH_CONNECTION_FAILED",
    "SSH_NO_DOCKER": "DOCKER_NOT_FOUND",
    "SSH_DOCKER_DOWN": "DOCKER_NOT_FOUND",
    "SSH_TOO_OLD": "DOCKER_NOT_FOUND",
    "SSH_SOCKET_FORBIDDEN": "DOCKER_NOT_FOUND",
}
"""By the code of what failed over SSH (hosts/ssh/errors.py)."""


def error_code(state: Host.State, code: str) -> str:
    """One of the contract's codes; DOCKER_NOT_FOUND is any trouble that it has no word for."""
    return SSH_CODES.get(code) or HOST_CODES.get(state, "DOCKER_NOT_FOUND")
