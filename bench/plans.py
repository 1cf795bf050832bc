"""Measure the making of large plans: every stack and layout, up to 1,000 hosts of 8 GPUs.

usage: python bench/plans.py
"""

import time
from collections.abc import Iterator

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe

HOSTS = tuple(Host(f"node{n}", f"10.0.{n // 250}.{n % 250 + 1}", "eth0") for n in range(1000))
STACKS, LAYOUTS = ("dynamo", "vllm", "mocker"), ("per_node", "per_gpu", "headless")
COUNTS = (64, 128, 256, 512, 1000)
RECIPE = """
name: large
model: {{path: /models/r1, experts: 256}}
stack: {stack}
ports: {{base: 10000}}
engines: {{main: {{layout: {layout}, nodes: all, ranks_per_node: 8}}}}
"""


def seconds(stack: str, layout: str, count: int) -> str:
    recipe = parse_recipe(RECIPE.format(stack=stack, layout=layout), "bench")
    began = time.perf_counter()
    try:
        make_plan(recipe, HOSTS[:count], "large", "/run/large")
    except InputError:
        return "no ports"
    return f"{time.perf_counter() - began:.2f} s"


def rows() -> Iterator[tuple[str, ...]]:
    yield ("stack, layout", *(f"{count:,} hosts" for count in COUNTS))
    for stack in STACKS:
        for layout in LAYOUTS:
            yield (f"{stack}, {layout}", *(seconds(stack, layout, count) for count in COUNTS))


def main() -> None:
    print("seconds to plan hosts of 8 ranks; wanted: under 2 s, growing with the hosts")
    for first, *others in rows():
        print(f"{first:<18}", *(f"{other:>12}" for other in others), flush=True)


if __name__ == "__main__":
    main()
