"""A plan without facts is what a person waits for at every change: it loads nothing that it can do
without."""

import subprocess
import sys

HEAVY = (
    "ClusterShell",
    "cryptography",
    "dsr1.env.checks",
    "dsr1.env.hcas",
    "dsr1.launcher.layout.adapters",
    "fabric",
    "httpx",
    "huggingface_hub",
    "psutil",
    "rich",
)
PROGRAM = """
import sys
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import render_text
from dsr1.launcher.recipe.load import load_recipe

hosts = [Host(access.name, access.target) for access in parse_hosts("a,b")]
assert "main-1" in render_text(make_plan(load_recipe("dsr1-dep"), hosts, "r", "/r"))
print(*sys.modules)
"""


def test_a_plan_without_facts_loads_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=300
    )
    assert set(done.stdout.split()).isdisjoint(HEAVY)
