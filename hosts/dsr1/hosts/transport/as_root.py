"""How an agent is run with root's rights: from root's own files alone.

The agent's file is the user's and so is the Python that a recipe names, or somebody else's still: a
`.pth` in its site-packages is code that runs before ours. So root gets a copy of the agent whose
hash is compared, and a Python that only root can change, without site-packages.
"""

import hashlib
from collections.abc import Callable, Sequence

AS_SELF, CAREFULLY, AS_ROOT = "self", "carefully", "root"
NOT_ROOTS = 94

# $1 how, $2 the agent's file, $3 its hash, $4 the Python, the rest its arguments. `ours`: whether
# every step of a path, with its links followed, is root's and no other's to write.
_BY_ROOT = r"""PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH; umask 022
how=$1 f=$2 s=$3 p=$4; shift 4
none() { [ -z "$(find "$@" \( ! -user 0 -o -perm /022 \) ! -type l -print -quit)" ]; }
ours() { t=$(readlink -f -- "$1") || return 1
while none "$t" -maxdepth 0; do [ "$t" = / ] && return 0; t=${t%/*}; t=${t:-/}; done; return 1; }
python() { c=$(command -v -- "$1") && c=$(readlink -f -- "$c") && ours "$c" || return 1
for l in "${c%/bin/*}"/lib*/python3*; do [ ! -d "$l" ] || ours "$l" || return 1; done
"$c" -I -S -B -c 'import sys; sys.exit(sys.version_info < (3, 10))'; }
packages() { v=${p%/bin/*}; ours "${p%/*}" && none "$v" -maxdepth 1 || return 1
for l in "$v"/lib*/python3*/site-packages; do
[ ! -d "$l" ] || { ours "$l" && none "$l" -maxdepth 1; } || return 1; done; }
if [ "$how" = carefully ] && python "$p" && packages; then exec "$p" "$f" "$@"; fi
for one in "$p" /usr/bin/python3 /usr/bin/python3.[1-9][0-9] /usr/local/bin/python3; do
python "$one" && break; c=; done
if [ -z "$c" ]; then echo "root runs no Python that others can change, and there is none of 3.10 \
or later that only root can: install one (/usr/bin/python3.11, say)" >&2; exit 94; fi
d=$(mktemp -d -p /run dsr1-root-XXXXXX 2>/dev/null) || d=$(mktemp -d -p /tmp dsr1-root-XXXXXX) \
|| exit 94
a=$d/${f##*/}
cat -- "$f" > "$a" && echo "$s  $a" | sha256sum -c --status || { rm -rf "$d"
echo "the agent's file is not what was sent" >&2; exit 94; }
exec "$c" -I -S -B "$a" "$@"
"""

# $f is the agent's file, $p the Python; $1 how, $2 the hash, $3 the script above.
RUN_BY = r"""h=$1 s=$2 r=$3; shift 3
[ "$h" = carefully ] && [ "$(id -u)" != 0 ] && h=self
[ "$h" = self ] && exec "$p" "$f" "$@"
[ "$(id -u)" = 0 ] && exec sh -c "$r" dsr1 "$h" "$f" "$s" "$p" "$@"
exec sudo -n -- sh -c "$r" dsr1 "$h" "$f" "$s" "$p" "$@"
"""


def run_by(how: str, read_agent: Callable[[], bytes]) -> Sequence[str]:
    """The first three arguments of RUN_BY, for the agent of these bytes."""
    if how == AS_SELF:
        return (how, "", "")
    return (how, hashlib.sha256(read_agent()).hexdigest(), _BY_ROOT)
