"""`python -m dsr1.launcher.operate.scraping FOLDER ADDRESS`: see server.py."""

import sys
from pathlib import Path

from dsr1.hosts.errors import Dsr1Error
from dsr1.launcher.operate.scraping.server import serve_until_end
from dsr1.launcher.run.store import Run


def main() -> None:
    try:
        serve_until_end(Run(Path(sys.argv[1])), sys.argv[2])
    except (Dsr1Error, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
