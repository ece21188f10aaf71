"""What an admin pastes on the far host to let abm in, for each system, and what takes it back.

Each may be run twice: the line marked with the host's id is replaced, every other stays. Lines
are short, since the shells of small NAS systems cut long ones that are typed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hosts.ssh.key_line import ENGINE_PORTS, line_pieces, marked, windows_key_line

HERE = Path(__file__).parent
CHUNK = 90
"""Letters of the key line that stand on one line of the script."""
POWERSHELL = """\
& {{
$id = '{id}'
$line = '{first}'
{rest}
$ssh = "$env:ProgramData\\ssh"
$member = (whoami /groups) -match 'S-1-5-32-544'
$me = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
$elevated = $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
$file = "$HOME\\.ssh\\authorized_keys"
if ($member) {{ $file = "$ssh\\administrators_authorized_keys" }}
if ($member -and -not $elevated) {{
'abm: Open PowerShell as administrator and paste this again.'
}} else {{
New-Item -ItemType Directory -Force (Split-Path $file) | Out-Null
$kept = @()
if (Test-Path $file) {{ $kept = @([IO.File]::ReadAllLines($file)) }}
$kept = @($kept | Where-Object {{ -not $_.EndsWith(" $id") }})
[IO.File]::WriteAllLines($file, [string[]]($kept + $line))
if ($member) {{
icacls.exe $file /inheritance:r /grant '*S-1-5-32-544:F' /grant '*S-1-5-18:F' | Out-Null
}}
"abm: The key is in $file."
}}
}}
"""
"""A block of its own, since a terminal that pastes line by line runs each statement at its end: an
`else` that began a line would then be a command, and the rest be done all the same."""


class FarSystem(StrEnum):
    LINUX = "linux"
    NAS = "nas"
    MACOS = "macos"
    WSL = "wsl"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class Guide:
    """How abm's key gets on a host."""

    system: FarSystem
    title: str
    before: tuple[str, ...]
    """What must be so first, each a sentence."""
    command: str
    """To paste, as the user that abm is to log in as."""
    removal: str
    """Takes the key away again."""


TITLES = {
    FarSystem.LINUX: "Linux",
    FarSystem.NAS: "NAS (Synology, QNAP, Unraid, TrueNAS)",
    FarSystem.MACOS: "macOS",
    FarSystem.WSL: "Windows with WSL 2",
    FarSystem.WINDOWS: "Windows (OpenSSH)",
}
BEFORE = {
    FarSystem.LINUX: (
        "An SSH server runs there: sudo apt install openssh-server, or your system's package.",
    ),
    FarSystem.NAS: (
        "Switch SSH on in the NAS's settings, and home folders for users where it has that switch.",
        "Log in as the user whom abm is to use; it must be allowed to use Docker.",
    ),
    FarSystem.MACOS: (
        "Switch Remote Login on: System Settings, General, Sharing.",
        "Docker Desktop, OrbStack or Colima runs, and starts when you log in.",
    ),
    FarSystem.WSL: (
        "Paste this inside WSL. An SSH server runs there (sudo apt install openssh-server), and "
        "Windows passes its port on: networkingMode=mirrored in .wslconfig, or netsh portproxy.",
        "Docker runs inside WSL, or Docker Desktop's WSL integration is on for it.",
    ),
    FarSystem.WINDOWS: (
        "Install OpenSSH Server (Settings, System, Optional features) and start it.",
        "Paste this into PowerShell. For a member of Administrators it must be opened as "
        "administrator; the key then lets abm in for all administrators.",
    ),
}


def guides(public: str, host_id: str, *, ports: range = ENGINE_PORTS) -> tuple[Guide, ...]:
    """One for each system. Raises ValueError for a key or id that cannot stand in the line."""
    shell = (install_command(public, host_id, ports=ports), removal_command(host_id))
    windows = (_windows_command(public, host_id, ports), _windows_removal(host_id))
    return tuple(
        Guide(
            system,
            TITLES[system],
            BEFORE[system],
            *(windows if system is FarSystem.WINDOWS else shell),
        )
        for system in FarSystem
    )


def install_command(public: str, host_id: str, *, ports: range = ENGINE_PORTS) -> str:
    """For every POSIX shell."""
    lines = "\n".join(_assignments(public, host_id, ports))
    script = (HERE / "install.sh").read_text()
    script = script.replace("@ID@", marked(host_id))
    return _pasted(script.replace("@LINE@", lines))


def removal_command(host_id: str) -> str:
    """For every POSIX shell."""
    return _pasted((HERE / "remove.sh").read_text().replace("@ID@", marked(host_id)))


def _pasted(script: str) -> str:
    return f"sh <<'ABM'\n{script}ABM\n"


def _assignments(public: str, host_id: str, ports: range) -> list[str]:
    """The key line, put together in the shell variable `c` from short parts."""
    lines = []
    for piece in line_pieces(public, host_id, ports=ports):
        if piece.place:
            lines.append(f"c=$c${piece.place}")
            continue
        for number, text in enumerate(piece.text.split("'")):
            if number:
                lines.append("c=$c$q")
            lines += [f"c=$c'{part}'" for part in _chunks(text)]
    return lines


def _chunks(text: str) -> list[str]:
    return [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]


def _windows_command(public: str, host_id: str, ports: range) -> str:
    first, *rest = _chunks(windows_key_line(public, host_id, ports=ports))
    more = "\n".join(f"$line += '{part}'" for part in rest)
    return POWERSHELL.format(id=marked(host_id), first=first, rest=more)


def _windows_removal(host_id: str) -> str:
    return (
        f"& {{\n$id = '{marked(host_id)}'\n"
        'foreach ($file in "$env:ProgramData\\ssh\\administrators_authorized_keys", '
        '"$HOME\\.ssh\\authorized_keys") {\n'
        "if (Test-Path $file) {\n"
        '$kept = [IO.File]::ReadAllLines($file) | Where-Object { -not $_.EndsWith(" $id") }\n'
        "[IO.File]::WriteAllLines($file, [string[]]@($kept))\n"
        "} }\n}\n"
    )
