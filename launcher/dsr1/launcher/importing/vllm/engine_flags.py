"""A worker's flags, each to the key of a recipe's engine that says it today; what has none goes to
`args`."""

from dsr1.env.retired import FLAGS as RETIRED
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import Flag, KnownFlags
from dsr1.launcher.importing.vllm.draft import EngineDraft
from dsr1.launcher.importing.vllm.flag_handlers import HANDLERS, put_argument
from dsr1.launcher.importing.vllm.retired_flags import retire

_PLACING = (
    "tensor-parallel-size",
    "data-parallel-size",
    "data-parallel-size-local",
    "pipeline-parallel-size",
)


def take_flag(draft: EngineDraft, flag: Flag, known: KnownFlags) -> bool:
    """False for a flag that nobody knows. Raises InputError that names the place of a value that
    can't be."""
    if flag.name in ("model", "served-model-name"):
        _take_name(draft, flag)
    elif flag.unknown and flag.name in _PLACING:
        draft.refuse(
            flag,
            f"what {', '.join(flag.unknown)} stands for is not in the manifest; write the number",
        )
    elif flag.unknown:
        text = f"--{flag.name} {quoted(flag.text)}: what it stands for is not in the manifest"
        draft.ledger.ask(text, draft.key, *flag.places)
    elif flag.name in LEFT_OUT:
        draft.ledger.leave(f"--{flag.name}: {LEFT_OUT[flag.name]}", *flag.places)
    elif flag.name in RETIRED:
        retire(draft, flag, RETIRED[flag.name])
    elif flag.name in known.kinds:
        HANDLERS.get(flag.name, put_argument)(draft, flag)
    else:
        return False
    return True


def _take_name(draft: EngineDraft, flag: Flag) -> None:
    if not flag.values:
        draft.refuse(flag, "needs a value")
    if flag.name == "model":
        draft.model = flag
    else:
        draft.served = flag
