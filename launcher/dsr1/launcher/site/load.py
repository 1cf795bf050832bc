"""What the site files say, together, for the verbs."""

import datetime
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.parse import parse_hosts, parse_inventory
from dsr1.launcher.recipe.explain import explain_errors, suggestion
from dsr1.launcher.recipe.layers import Layer, location_of, without_key
from dsr1.launcher.recipe.load import profiles_in
from dsr1.launcher.recipe.site import SiteValues
from dsr1.launcher.site.files import read_site_layers
from dsr1.launcher.site.models import OWN_KEYS, Site, SkippedCheck
from dsr1.launcher.site.places import VARIABLE, site_places


@dataclass(frozen=True, slots=True)
class KnownSite:
    """The site, and where each of its values is written."""

    site: Site
    tree: Layer

    def values(self) -> SiteValues:
        """What it says of every recipe."""
        names = self.site.models
        at = {name: location_of(self.tree, ("models", name)) for name in names}
        below = without_key(self.tree, *OWN_KEYS)
        return SiteValues(below, profiles_in(self.tree), names, at)

    def host_set(self, name: str, accept_new_keys: bool) -> tuple[Access, ...]:
        """InputError: there is no such set, or it is no list of hosts."""
        known = self.site.hosts
        if name not in known:
            raise InputError(f"--on {name}: {_no_set(name, list(known))}")
        where = f"{location_of(self.tree, ('hosts', name))}: hosts.{name}"
        return tuple(
            replace(access, accept_new_key=accept_new_keys, network=self.site.control_network)
            for access in _hosts_of(known[name], where)
        )

    def skipped(self, today: datetime.date) -> tuple[SkippedCheck, ...]:
        """The checks that aren't done here, as long as that goes."""
        return tuple(one for one in self.site.checks.skip if today <= one.until)

    def notes(self, today: datetime.date) -> Iterator[str]:
        """What a person is told of checks that the site skips."""
        where = location_of(self.tree, ("checks", "skip"))
        for one in self.site.checks.skip:
            over = today > one.until
            when = f"was to be skipped until {one.until}, and is checked again"
            words = when if over else f"is skipped until {one.until}"
            yield f"{one.check} {words}: {one.reason} ({where})"


def load_site() -> KnownSite:
    """Read anew for each call. InputError names file and line."""
    return judge_site(read_site_layers(site_places(os.environ), os.environ.get(VARIABLE, "")))


def judge_site(tree: Layer) -> KnownSite:
    try:
        return KnownSite(Site.model_validate(dict(tree.values)), tree)
    except ValidationError as error:
        raise InputError("\n".join(explain_errors(error, tree, Site))) from None


def _hosts_of(plain: object, where: str) -> tuple[Access, ...]:
    """Written as for --hosts, or as an inventory."""
    if isinstance(plain, str):
        return parse_hosts(plain, source=where)
    return parse_inventory(plain, where, Path("/"))


def _no_set(name: str, known: Sequence[str]) -> str:
    if not known:
        return "no site file names a set of hosts; `dsr1 init` writes one"
    return f"no such set of hosts{suggestion(name, known)}; the site has {', '.join(known)}"
