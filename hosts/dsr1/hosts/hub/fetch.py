"""The job behind `dsr1 model fetch`: a model from a hub into a folder, gone on with after any
interruption.

huggingface_hub asks and carries; the parts are kept here, since from its version 2 on a file that
breaks off begins anew, and hashes are compared here, since it compares sizes alone.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from dsr1.hosts.agent.facts.model.shards import SUMS, WORK, render_sums
from dsr1.hosts.agent.model.hashes import hash_file
from dsr1.hosts.agent.model.inside import StagingArea, model_roots, part_name, size_inside
from dsr1.hosts.agent.model.staging import (
    refuse_without_room,
    size_on_disk,
    staging_folder,
)
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.hub.listing import (
    HubClient,
    HubFile,
    HubListing,
    blob_hash,
    client_error,
    first_line,
)
from dsr1.hosts.protocol.jobs.messages import JobContext, JobRefused, Meter
from dsr1.hosts.protocol.jobs.orders import FetchOrder, FetchResult

AT_ONCE = 8
LONGEST_PAUSE_S = 30.0
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
}


@dataclass(frozen=True, slots=True)
class Download:
    """A file to fetch: its address, its hub's entry, its part, and the folder that it goes into."""

    url: str
    file: HubFile
    part: Path
    folder: Path

    @property
    def exists(self) -> bool:
        final = self.folder / self.file.name
        return size_inside(final, model_roots(self.folder)) == self.file.size

    @property
    def done(self) -> int:
        return self.file.size if self.exists else min(size_on_disk(self.part), self.file.size)


class RetryBudget:
    """How long to try again: any byte that came counts the time anew."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._began, self._pause, self._seen = limit_s, time.monotonic(), 1.0, -1

    def wait(self, there: int) -> bool:
        """False: it was too long."""
        if there > self._seen >= 0:
            self._began, self._pause = time.monotonic(), 1.0
        self._seen = there
        if time.monotonic() - self._began + self._pause > self._limit_s:
            return False
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        return True


def fetch_model_job(order: FetchOrder, context: JobContext) -> FetchResult:
    os.environ.update(QUIET | ({"HF_ENDPOINT": order.endpoint} if order.endpoint else {}))
    hub = HubClient(order.endpoint, order.token)
    try:
        return _fetch_all(order, hub, context.meter)
    except ModuleNotFoundError as error:
        raise JobRefused(
            "check", f"its Python has no {error.name}: name the environment that has vLLM by --venv"
        ) from None
    except OSError as error:
        kind = "check" if error.errno in OF_THE_DISK else "work"
        text = f"{error.filename or order.to}: {first_line(error)}"
        raise JobRefused(kind, without_token(hub.token, text)) from None
    except JobRefused as refused:
        raise JobRefused(refused.kind, without_token(hub.token, str(refused))) from None


def without_token(token: str | None, text: str) -> str:
    """No message carries the token, whoever worded it."""
    return text.replace(token, "***") if token else text


def _fetch_all(order: FetchOrder, hub: HubClient, meter: Meter) -> FetchResult:
    """All are listed, and the room for all is checked, before the first byte comes."""
    to = Path(order.to)
    listings = [hub.listing(repo, order.revision) for repo in order.repos]
    folders = {to / listing.repo.partition("/")[2]: listing for listing in listings}
    plans = {folder: list(_plan(hub, listing, folder)) for folder, listing in folders.items()}
    meter.total, meter.doing = sum(listing.size for listing in listings), "fetching"
    meter.measure = lambda: sum(one.done for plan in plans.values() for one in plan)
    refuse_without_room(to, meter.total - meter.measure())
    download = partial(_download, hub.headers(), order.patience_s)
    for folder, plan in plans.items():
        _fetch_one(plan, folder, download)
    return FetchResult({str(folder): listing.commit for folder, listing in folders.items()})


def _plan(hub: HubClient, listing: HubListing, folder: Path) -> Iterator[Download]:
    for file in listing.files:
        part = folder / WORK / part_name(f"{file.name}.{(file.sha256 or file.blob)[:16]}")
        yield Download(hub.address(listing, file.name), file, part, folder)


def _fetch_one(plan: Sequence[Download], folder: Path, download: "partial[None]") -> None:
    with staging_folder(folder) as area, ThreadPoolExecutor(AT_ONCE) as pool:
        left = [replace(one, part=area.work / one.part.name) for one in plan if not one.exists]
        futures = [pool.submit(_fetch_file, one, area, download) for one in left]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        sums = {one.file.name: one.file.sha256 or _hash_of(one, area) for one in plan}
        draft = area.part(SUMS)
        draft.write_text(render_sums(sums))
        area.adopt(draft, SUMS)
        for other in area.work.glob("*.part"):  # of other commits
            other.unlink()


def _hash_of(one: Download, area: StagingArea) -> str:
    with area.opened(one.file.name) as file:
        return hash_file(file, Meter())


def _fetch_file(one: Download, area: StagingArea, download: "partial[None]") -> None:
    """After a wrong hash once more from the start: the part of a former fetch may have been
    spoilt."""
    wanted = one.file.sha256 or one.file.blob
    for _ in range(2):
        download(one)
        digest = digest_of(one.part, one.file)
        if digest == wanted:
            area.adopt(one.part, one.file.name)
            return
        one.part.unlink()
    why = f"came twice with the hash {digest}, and {wanted} is the hub's own"
    raise JobRefused("work", f"{one.file.name}: {why}")


def digest_of(part: Path, file: HubFile) -> str:
    """By the kind of hash that the hub has of it."""
    return hash_file(part, Meter()) if file.sha256 else blob_hash(part.read_bytes())


def _download(headers: dict[str, str], patience_s: float, one: Download) -> None:
    """The rest of the part."""
    budget = RetryBudget(patience_s)
    while True:
        try:
            _download_once(headers, one)
            return
        except (client_error(), OSError) as error:
            if _is_final(error):
                raise
            if not budget.wait(size_on_disk(one.part)):
                why = f"the hub was out of reach for {patience_s:.0f} s: {first_line(error)}"
                remedy = "the same command goes on where it stopped"
                raise JobRefused("work", f"{one.file.name}: {why}; {remedy}") from None


def _download_once(headers: dict[str, str], one: Download) -> None:
    from huggingface_hub.file_download import http_get

    one.part.touch()
    with one.part.open("r+b") as part:
        size, start = one.file.size, part.seek(0, os.SEEK_END)
        if start > size:  # not a part of this file
            start = 0
        part.truncate(part.seek(start))
        http_get(one.url, part, resume_size=start, headers=dict(headers), expected_size=size)


def _is_final(error: Exception) -> bool:
    """The disk's errors, and answers of the hub that stay the same; what the network does may
    pass."""
    response = getattr(error, "response", None)
    if response is not None:
        return bool(response.status_code < 500 and response.status_code not in (408, 429))
    return (
        isinstance(error, OSError)
        and error.errno is not None
        and not isinstance(error, ConnectionError)
    )
