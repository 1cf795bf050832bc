"""The job behind `dsr1 model verify`: the model's facts, and its shards' hashes when they are asked
for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.facts.model.folder import model_readers
from dsr1.hosts.agent.facts.model.shards import read_sums
from dsr1.hosts.agent.model.hashes import hash_files
from dsr1.hosts.protocol.facts.fact import Fact, FactValue, Reader, observe
from dsr1.hosts.protocol.jobs.messages import JobContext, Meter
from dsr1.hosts.protocol.jobs.orders import VerifyOrder, VerifyResult

ROOT = Path("/")


def verify_model_job(order: VerifyOrder, context: JobContext) -> VerifyResult:
    facts = observe(model_readers(order.model, ROOT))
    if order.deep and facts["model.files"].value is not None:
        facts |= observe(hash_readers(facts, context.meter))
    return VerifyResult(facts)


def hash_readers(facts: Mapping[str, Fact], meter: Meter) -> Iterator[Reader]:
    """Of the files that can be read and were not hashed yet, and what the record beside them
    says."""
    folder = Path(str(facts["model.folder"].value))
    files: Any = facts["model.files"].value
    known = {name: file["digest"] for name, file in files.items() if file["digest"]}
    sizes = {
        name: file["size"]
        for name, file in files.items()
        if not file["problem"] and name not in known
    }
    meter.total, meter.doing = sum(sizes.values()), "hashing"
    yield "model.hashes", str(folder), lambda: {**known, **hash_files(folder, sizes, meter)}
    yield "model.sums", str(folder / "SHA256SUMS"), lambda: _sums(folder)


def _sums(folder: Path) -> dict[str, FactValue]:
    """Without those of its folders, which no loader reads and no check covers."""
    return {name: digest for name, digest in read_sums(folder).items() if "/" not in name}
