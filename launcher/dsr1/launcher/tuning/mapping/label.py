"""How an engine divides the model among its GPUs, and the label that people write for it. Pure."""

import re

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.layout.topology import Group

_LABEL = re.compile(
    r"(?:(?P<alone>te?p)(?P<size>[1-9]\d{0,4})"
    r"|(?P<kind>de?p)(?P<data>[1-9]\d{0,4})(?:xtp(?P<tensor>[1-9]\d{0,4}))?)",
    re.ASCII,
)
FORMS = "tp8, tep8, dp8, dep16, dp2xtp4 or dep4xtp2"


@dataclass(frozen=True, slots=True)
class ParallelMapping:
    """`data` ranks of `tensor` GPUs each. With `experts` whole experts are dealt over all of them;
    without, each GPU has a slice of every expert."""

    data: int
    tensor: int
    experts: bool

    @property
    def gpus(self) -> int:
        return self.data * self.tensor

    @property
    def label(self) -> str:
        """tp8, tep8, dp8, dep16, dp2xtp4, dep4xtp2."""
        if self.data == 1:
            return f"{'tep' if self.experts else 'tp'}{self.tensor}"
        data = f"{'dep' if self.experts else 'dp'}{self.data}"
        return data if self.tensor == 1 else f"{data}xtp{self.tensor}"

    @property
    def dispatches(self) -> bool:
        """Whether vLLM runs all-to-all kernels: tokens go to ranks that have other experts."""
        return self.experts and self.data > 1


def parse_mapping(text: str) -> ParallelMapping:
    """InputError for what is no label; case doesn't matter."""
    found = _LABEL.fullmatch(text.strip().lower())
    if found is None:
        raise InputError(f"--to: {text!r} is no mapping; write it as {FORMS}")
    if found["alone"]:
        return ParallelMapping(1, int(found["size"]), found["alone"] == "tep")
    return ParallelMapping(int(found["data"]), int(found["tensor"] or 1), found["kind"] == "dep")


def mapping_of(group: Group) -> ParallelMapping:
    """Of an engine that has its place."""
    spec = group.spec
    return ParallelMapping(group.size, spec.tensor_parallel_size, spec.expert_parallel)
