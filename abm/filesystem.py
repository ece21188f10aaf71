"""Which file system the data lies on: SQLite's WAL is only safe where memory can be shared."""

from __future__ import annotations

from pathlib import Path

LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "apfs", "bcachefs"}
)


def file_system_of(folder: Path) -> str:
    """The type of file system that holds `folder`, or empty where nobody says (not Linux)."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.is_file():
        return ""
    found, longest = "", -1
    for line in mounts.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = Path(fields[4].encode().decode("unicode_escape"))
        if (point == folder or point in folder.parents) and len(point.parts) >= longest:
            root = fields[3]
            kind = after.split()[0]
            # A mount whose root is a folder of its file system is a bind mount.
            found = f"bind:{kind}" if root != "/" and kind not in {"btrfs", "zfs"} else kind
            longest = len(point.parts)
    return found


def journal_for(folder: Path, wanted: str) -> str:
    """`WAL` or `DELETE`: as wanted, or by the file system of `folder` where that is auto."""
    if wanted != "auto":
        return wanted.upper()
    return "WAL" if file_system_of(folder) in LOCAL else "DELETE"
