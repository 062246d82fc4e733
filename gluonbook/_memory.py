"""How much of the machine's memory may be taken."""

from pathlib import Path
from typing import Optional

RESERVE = 0.9  # share of the free memory that is taken at most
CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Return the bytes that may be taken: a share of what is free, within the limit of the container, if it has one."""
    import psutil

    free = psutil.virtual_memory().available
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    if limit is not None and used is not None:
        free = min(free, max(limit - used, 0))
    return int(RESERVE * free)


def _number(path: Path) -> Optional[int]:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
