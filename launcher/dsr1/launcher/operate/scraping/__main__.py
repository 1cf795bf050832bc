"""`python -m dsr1.launcher.operate.scraping FOLDER ADDRESS`: see programs.py."""

import sys
from pathlib import Path

from dsr1.hosts.errors import Dsr1Error
from dsr1.launcher.operate.scraping.access import read_access
from dsr1.launcher.operate.scraping.programs import run_programs
from dsr1.launcher.operate.scraping.server import open_bridge
from dsr1.launcher.run.store import Run


def main() -> None:
    run, address = Run(Path(sys.argv[1])), sys.argv[2]
    try:
        access = read_access(run.recipe().metrics)
        server = open_bridge(run, address, 0, access)
        run_programs(run, address, server.reached, access)
    except (Dsr1Error, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
