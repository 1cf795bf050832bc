"""How many files a process may have open: a service's limit of 1024 is little for a server that
strangers may connect to."""

import resource

MOST_FILES = 1 << 16


def raise_open_files() -> None:
    """Of this process and what it starts from now on, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
