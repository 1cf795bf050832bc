"""`ps`, `status` and `stop` are asked often, and by scripts: what they do loads no recipe."""

import subprocess
import sys

HEAVY = {"pydantic", "yaml", "httpx", "rich", "dsr1.launcher.recipe.models"}
PROGRAM = "import sys, dsr1.launcher.operate.status; print(*sys.modules)"


def test_a_runs_status_loads_no_recipe() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=300
    )
    assert HEAVY.isdisjoint(done.stdout.split())
