"""Text that people can read: no control characters, and none that nobody sees or that turn it."""

from __future__ import annotations

import re

UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\xad"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
"""Control characters, those without width, and those that change the direction of writing."""
PLAIN = rf"^[^{UNSEEN}]*$"
NAMED = rf"^[^{UNSEEN}]*[^\s{UNSEEN}][^{UNSEEN}]*$"
"""The same with something to be seen in it."""

_NAME = re.compile(rf"[^{UNSEEN}]+")


def is_name(text: str, *, most: int = 100) -> bool:
    """Whether this can name a thing: 1 to `most` characters, each of which can be seen."""
    return len(text) <= most and bool(_NAME.fullmatch(text))
