"""What a hub has of a model: names, sizes and hashes of one commit. Asked with huggingface_hub,
which vLLM brings."""

import hashlib
import re
from typing import TYPE_CHECKING

from dsr1.hosts.agent.model.store import is_safe_name
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.jobs.messages import JobRefused

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

LEFT_OUT = (".gitattributes", ".gitignore")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a hub. `sha256` is of what git LFS keeps, `blob` git's own hash, of all others."""

    name: str
    size: int
    sha256: str = ""
    blob: str = ""


@dataclass(frozen=True, slots=True)
class HubListing:
    repo: str
    commit: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class HubClient:
    """`token` None: what the host's own login left, if anything."""

    endpoint: str | None
    token: str | None

    def listing(self, repo: str, revision: str | None) -> HubListing:
        """JobRefused names what isn't there, or may not be read."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        api = HfApi(endpoint=self.endpoint, token=self.token)
        try:
            info = api.model_info(repo, revision=revision, files_metadata=True)
        except GatedRepoError:
            why = f"is gated: accept its terms on {api.endpoint}, and set HF_TOKEN"
            raise JobRefused("input", f"{repo}: {why}") from None
        except RepositoryNotFoundError:
            hint = "HF_TOKEN may not read it" if self.token else "if it is private, set HF_TOKEN"
            why = f"{api.endpoint} has no such repository ({hint})"
            raise JobRefused("input", f"{repo}: {why}") from None
        except RevisionNotFoundError:
            raise JobRefused("input", f"{repo}: has no revision {revision!r}") from None
        except client_error() as error:
            why = f"{api.endpoint} does not answer as a hub: {first_line(error)}"
            raise JobRefused("work", why) from None
        files = tuple(_file(one) for one in info.siblings or () if one.rfilename not in LEFT_OUT)
        return HubListing(repo, str(info.sha), files)

    def address(self, listing: HubListing, name: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(listing.repo, name, revision=listing.commit, endpoint=self.endpoint)

    def headers(self) -> dict[str, str]:
        """The token, if any. The client drops it when the hub redirects to another server."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        return dict(build_hf_headers(token=self.token))


def client_error() -> type[Exception]:
    """The root of the errors of the HTTP client that huggingface_hub uses: httpx, from its
    version 2 on httpx2."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _file(sibling: "RepoSibling") -> HubFile:
    name, lfs = sibling.rfilename, sibling.lfs
    size = lfs.size if lfs else sibling.size
    if size is None or not is_safe_name(name):
        why = f"the hub lists a file that can't be fetched: {name!r}, {size} bytes"
        raise JobRefused("input", why)
    return HubFile(name, size, lfs.sha256 if lfs else "", sibling.blob_id or "")


def is_repository(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and is_safe_name(name)


def blob_hash(data: bytes) -> str:
    """git's."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
