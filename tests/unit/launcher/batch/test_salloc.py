"""The nodes of a job, for a command that runs beside it."""

import json
import shlex

from dsr1.launcher.batch.script import BatchSite, render_job, salloc_command
from dsr1.launcher.recipe.load import load_recipe

SITE = BatchSite("/opt/dsr1/bin/python", "/home/me/state")


def test_salloc_takes_what_a_job_asks_for_as_words() -> None:
    """What a script quotes is whole; what sbatch alone knows is left out."""
    comment = 'it\'s "a # b"; id'
    settings = ("slurm.nodes=2", "slurm.time='4:00:00'", f"slurm.comment={json.dumps(comment)}")
    recipe = load_recipe("dsr1-dep", settings)
    told = salloc_command(recipe, SITE)
    assert told[0] == "salloc"
    assert {"--nodes=2", "--time=4:00:00", "--exclusive", "--gpus-per-node=8"} <= {*told}
    assert f"--comment={comment}" in told
    lines = [line for line in render_job(recipe, SITE).splitlines() if line.startswith("#SBATCH")]
    asked = shlex.split(" ".join(line.removeprefix("#SBATCH ") for line in lines))
    left = {one.partition("=")[0] for one in asked if one not in told}
    assert left == {"--output", "--no-requeue", "--signal"}
