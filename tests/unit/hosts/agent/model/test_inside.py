"""A model's folder that others may write to: what they put there leads nobody out of it. The
attacker is uid 65534, and this test the victim."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr1.hosts.agent.facts.model.shards import WORK
from dsr1.hosts.agent.model.inside import open_inside, opened_inside, size_inside
from dsr1.hosts.agent.model.staging import staging_folder
from dsr1.hosts.agent.model.store import ModelStore, list_folder
from dsr1.hosts.protocol.jobs.messages import JobRefused
from dsr1.hosts.protocol.jobs.orders import StoreFile

ATTACKER = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a second user's files take root to make")


@pytest.fixture
def victims(tmp_path: Path) -> Path:
    """A private file of the victim's."""
    file = tmp_path / "home" / ".bashrc"
    file.parent.mkdir(mode=0o700)
    file.write_text("mine")
    file.chmod(0o600)
    return file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Open to everybody."""
    folder = tmp_path / "model"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def assert_untouched(victims: Path) -> None:
    assert victims.read_text() == "mine"
    assert victims.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["lock", "config.json.part"])
def test_links_in_a_folder_that_somebody_else_made(model: Path, victims: Path, name: str) -> None:
    work = model / WORK
    work.mkdir(mode=0o777)
    (work / name).symlink_to(victims)
    os.chown(work, ATTACKER, ATTACKER)
    with pytest.raises(JobRefused, match="belongs to uid 65534"), staging_folder(model):
        pass
    assert_untouched(victims)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_our_own_folder_that_others_may_write_to(model: Path, mode: int) -> None:
    (model / WORK).mkdir()
    (model / WORK).chmod(mode)
    with pytest.raises(JobRefused, match="not to uid 0 alone"), staging_folder(model):
        pass


def test_a_link_in_place_of_the_folder(model: Path, victims: Path) -> None:
    (model / WORK).symlink_to(victims.parent)
    with pytest.raises(JobRefused, match="can't be written to"), staging_folder(model):
        pass
    assert sorted(victims.parent.iterdir()) == [victims]


def test_the_folder_is_closed_to_others(model: Path) -> None:
    (model / WORK).mkdir(mode=0o755)  # as earlier versions made it
    with staging_folder(model):
        assert (model / WORK).stat().st_mode & 0o777 == 0o700


def test_another_folder_put_in_its_place(model: Path, victims: Path) -> None:
    """By whoever owns the model's folder, while parts come."""
    with staging_folder(model) as area:
        (model / WORK).rename(model / ".was")
        (model / WORK).mkdir()
        (model / WORK / "a.part").symlink_to(victims)
        area.part("a").write_text("weights")
        area.adopt(area.part("a"), "a")
    assert_untouched(victims)
    assert (model / "a").read_text() == "weights"


@pytest.mark.parametrize("name", [".bashrc", "figures/.bashrc"])
def test_a_link_in_place_of_a_file_or_a_folder_of_the_model(
    model: Path, victims: Path, name: str
) -> None:
    (model / ".bashrc").symlink_to(victims)
    (model / "figures").symlink_to(victims.parent)
    with staging_folder(model) as area:
        area.part("x").write_text("weights")
        if "/" in name:
            with pytest.raises(OSError, match="a link is no folder"):
                area.adopt(area.part("x"), name)
        else:
            area.adopt(area.part("x"), name)
            assert (model / name).read_text() == "weights"
    assert_untouched(victims)


def test_the_models_folder_itself_is_a_link_of_somebody_else(tmp_path: Path, victims: Path) -> None:
    link = tmp_path / "shared"
    link.symlink_to(victims.parent)
    os.lchown(link, ATTACKER, ATTACKER)
    with pytest.raises(JobRefused, match="it is a link of uid 65534"), staging_folder(link):
        pass
    with pytest.raises(OSError, match="it is a link of uid 65534"):
        list_folder(link)
    assert sorted(victims.parent.iterdir()) == [victims]


def to_a_key(model: Path, victims: Path) -> None:
    (model / "notes.txt").symlink_to(victims)


def by_two_links(model: Path, victims: Path) -> None:
    (model / "notes.txt").symlink_to("other")
    (model / "other").symlink_to(victims)


def by_dots(model: Path, victims: Path) -> None:
    (model / "notes.txt").symlink_to("../home/.bashrc")


@pytest.mark.parametrize("plant", [to_a_key, by_two_links, by_dots])
def test_a_link_to_a_key_elsewhere_is_not_sent(
    model: Path, victims: Path, plant: Callable[[Path, Path], None]
) -> None:
    (model / "config.json").write_text("{}")
    plant(model, victims)
    with pytest.raises(JobRefused, match=r"a link to .*\.bashrc, outside of the model"):
        list_folder(model)
    assert size_inside(model / "notes.txt", (model,)) is None


def test_a_link_swapped_in_after_the_look(model: Path, victims: Path) -> None:
    (model / "config.json").write_text("{}")
    store = ModelStore(list_folder(model), model)
    store.put(0, model / "config.json", 2)
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(victims)
    with pytest.raises(OSError, match="outside of the model"), store.opened(0):
        pass


def test_the_whole_folder_swapped_after_the_look(model: Path, victims: Path) -> None:
    (model / ".bashrc").write_text("{}")
    store = ModelStore((StoreFile(".bashrc", 2, 1),), model)
    store.put(0, model / ".bashrc", 2)
    model.rename(model.with_name("was"))
    model.symlink_to(victims.parent)
    with pytest.raises(OSError, match="outside of the model"), store.opened(0):
        pass


def test_what_is_opened_stays_what_it_is(model: Path, victims: Path) -> None:
    (model / "a").write_text("weights")
    with opened_inside(model / "a", (model,)) as file:
        (model / "a").unlink()
        (model / "a").symlink_to(victims)
        assert file.read_text() == "weights"


def test_a_pipe_is_not_waited_for(model: Path) -> None:
    os.mkfifo(model / "a")
    with pytest.raises(OSError, match="no regular file"):
        open_inside(model / "a", (model,))


def test_links_of_the_hubs_cache_are_the_models(tmp_path: Path, victims: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    (tmp_path / "models--a--b" / "blobs" / "1").write_text("weights")
    (snapshot / "a.safetensors").symlink_to("../../blobs/1")
    assert [item.size for item in list_folder(snapshot)] == [7]
    (tmp_path / "models--a--b" / "blobs" / "2").symlink_to(victims)
    (snapshot / "b.txt").symlink_to("../../blobs/2")
    with pytest.raises(JobRefused, match="outside of the model"):
        list_folder(snapshot)


@pytest.mark.parametrize(
    ("source", "there", "result"),
    [
        (0o600, None, 0o600),
        (0o644, None, 0o644),
        (0o777, None, 0o644),
        (0o640, None, 0o640),
        (0o644, 0o600, 0o600),
        (0o600, 0o644, 0o600),
    ],
)
def test_modes_are_never_widened(model: Path, source: int, there: int | None, result: int) -> None:
    if there is not None:
        (model / "a").touch()
        (model / "a").chmod(there)
    with staging_folder(model) as area:
        area.part("a").write_text("x")
        area.adopt(area.part("a"), "a", source)
    assert (model / "a").stat().st_mode & 0o777 == result


def test_errors_name_what_others_see(model: Path) -> None:
    with pytest.raises(OSError, match=f"{model / WORK}/gone"), staging_folder(model) as area:
        (area.work / "gone").unlink()
