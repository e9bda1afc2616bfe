"""Whether each file includes only what stands below it; prints every include that does not, and fails then.

A layer is a line of names, the top one first. A name is a file's without its suffix: base_registry is base_registry.c
and base_registry.h. A file may include what stands in a lower layer, and nothing of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

C_LAYERS = """
module
clean_registries exchange execution_registry job_registries queue scheduled_job_registry started_job_registry
base_registry
counts listings registry_init remove requeue
expiry
membership job_script
registry_call script
wrapped_call
dispatch
cluster
stand_in
pool_lookup retries
session
client_pool connection_exchange connection_type
client_check connection installed_rq type_methods
connection_struct guard
errors redis_connection
command python_calls reply state transport
dict_version json_text lists names raised registry_object reply_objects type_version
base64 entries threads traceback_text
"""
# Made of src/lua/ when the core is built.
GENERATED = {'lua_arguments', 'lua_sources'}


class Arrow(NamedTuple):
    """A place in a file that uses something else: the layers' names of both, and where it stands."""

    user: str
    used: str
    where: str


def c_arrows(folder: Path) -> Iterator[Arrow]:
    """Yield the includes of the sources in a folder, but those of a file's own header."""
    for path in sorted([*folder.glob('*.c'), *folder.glob('*.h')]):
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)\.h"', line)
            if found and found[1] != path.stem and found[1] not in GENERATED:
                yield Arrow(path.stem, found[1], f'{path.name}:{number}')


def wrong_arrows(layers: str, names: Iterable[str], arrows: Iterable[Arrow]) -> list[str]:
    """Return what is wrong, a line each: names in no layer or of no file, and arrows that do not point down."""
    heights = {
        name: height for height, layer in enumerate(reversed(layers.strip().splitlines())) for name in layer.split()
    }
    found = set(names)
    wrong = [f'{name} is in no layer: give it one in {Path(__file__).name}' for name in sorted(found - set(heights))]
    wrong += [f'{name} is in a layer, and there is no such file' for name in sorted(set(heights) - found)]
    for arrow in arrows:
        if arrow.used not in heights:
            wrong.append(f'{arrow.where}: {arrow.user} uses {arrow.used}, which is in no layer')
        elif heights[arrow.used] >= heights.get(arrow.user, len(heights)):
            wrong.append(f'{arrow.where}: {arrow.user} uses {arrow.used}, which does not stand below it')
    return wrong


def check_c(folder: Path, layers: str) -> list[str]:
    """Return what is wrong in the C core."""
    names = {path.stem for path in [*folder.glob('*.c'), *folder.glob('*.h')]}
    return wrong_arrows(layers, names, c_arrows(folder))


def main(arguments: Sequence[str]) -> int:
    """Check the sources of this project."""
    wrong = check_c(ROOT / 'src', C_LAYERS)
    for line in wrong:
        print(f'check_includes: {line}', file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
