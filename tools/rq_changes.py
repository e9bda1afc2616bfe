"""Say in words what an RQ changes of that on which the table of releases relies, by reading the sources of both.

    python tools/rq_changes.py FOLDER [KNOWN]

FOLDER holds the package rq to be judged, KNOWN one of a release that the table has; without it, the nearest such
release is installed under build/. What is compared: the functions that the guards name, because a command or a script
of ours does what they do; RQ's methods that the core overrides; the keys of the classes; and which classes are
registries. Comments, docstrings, annotations and casts do not count. The exit status is 1 if something has changed.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import interruptible

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rqreg_ext._fastpath import guards, releases  # noqa: E402

RELEASES = Path('build', 'rq-releases')
# By 'rq.job.Job.delete', the calls of ours that stand for the function.
ReliedOn = Mapping[str, tuple[str, ...]]


def relied_on() -> dict[str, tuple[str, ...]]:
    """Return the functions of RQ for which a command or a script of ours stands, by RQ's names, with our calls."""
    found: dict[str, list[str]] = {}
    for name, calls in guards.relied_on.items():
        found.setdefault(guards.defining_name(name), []).extend(calls)
    for module, qualname in (*releases.METHODS, *releases.ENTRIES, *releases.CLEANUPS):
        found.setdefault(f'{module}.{qualname}', []).append('the core')
    found.setdefault('rq.registry.clean_registries', []).append('clean_registries()')
    return {name: tuple(dict.fromkeys(calls)) for name, calls in sorted(found.items())}


# ---- Reading


class _Plain(ast.NodeTransformer):
    """Take out of a function what changes nothing that it does."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        is_cast = isinstance(node.func, ast.Name) and node.func.id == 'cast' and len(node.args) == 2
        return node.args[1] if is_cast else node


class Function(NamedTuple):
    """What is compared of a function of RQ."""

    source: str
    arguments: str
    calls: Counter[str]
    texts: Counter[str]


def _function(nodes: list[ast.FunctionDef]) -> Function:
    """Read a function, or the getter and the setter of one name."""
    plain = [ast.fix_missing_locations(_Plain().visit(node)) for node in nodes]
    inside = [part for node in plain for statement in node.body for part in ast.walk(statement)]
    return Function(
        '\n'.join(ast.unparse(node) for node in plain),
        '; '.join(ast.unparse(node.args) for node in plain),
        Counter(ast.unparse(part.func) for part in inside if isinstance(part, ast.Call)),
        Counter(part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)),
    )


class Sources:
    """The functions, the keys and the registries in the sources of an RQ."""

    def __init__(self, folder: Path) -> None:
        package = folder / 'rq'
        if not package.is_dir():
            sys.exit(f'rq_changes: there is no package rq in {folder}')
        version = re.search(r"VERSION = '([^']+)'", (package / 'version.py').read_text(encoding='utf-8'))
        self.version = version[1] if version else 'of an unknown version'
        self.functions: dict[str, Function] = {}
        # Attributes of classes that are text, as the keys are: (module, class, name).
        self.constants: dict[str, str] = {}
        self.registries: dict[str, tuple[str, ...]] = {}
        for path in sorted(package.glob('*.py')):
            self._read(f'rq.{path.stem}', ast.parse(path.read_bytes()))

    def _read(self, module: str, tree: ast.Module) -> None:
        self._add(module, tree.body)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._add(f'{module}.{node.name}', node.body)
                if node.name.endswith('Registry'):
                    methods = (part.name for part in node.body if isinstance(part, ast.FunctionDef))
                    self.registries[f'{module}.{node.name}'] = tuple(methods)

    def _add(self, prefix: str, body: list[ast.stmt]) -> None:
        named: dict[str, list[ast.FunctionDef]] = {}
        for node in body:
            if isinstance(node, ast.FunctionDef):
                named.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    self.constants[f'{prefix}.{ast.unparse(target)}'] = ast.unparse(node.value)
        self.functions.update({f'{prefix}.{name}': _function(nodes) for name, nodes in named.items()})


# ---- Comparing


# Of a call or a text; what is longer, or has several lines, is in the differences below.
LONGEST = 60


def _short(names: Counter[str]) -> list[str]:
    return [name for name in names if len(name) <= LONGEST and '\n' not in name]


def _is_of_rq(called: str, defined: frozenset[str]) -> bool:
    """Tell whether a call may be one of RQ's functions, by its name."""
    return called.rpartition('.')[2] in defined and called.partition('.')[0] not in sys.stdlib_module_names


def _words(old: Function, new: Function, is_relied_on: frozenset[str], defined: frozenset[str]) -> Iterator[str]:
    """Yield what has become of a function, each as the end of a sentence."""
    if old.arguments != new.arguments:
        yield f'takes ({new.arguments}), not ({old.arguments})'
    if more := _short(new.calls - old.calls):
        yield f'now calls {", ".join(more)}'
        unknown = [name for name in more if name.rpartition('.')[2] not in is_relied_on and _is_of_rq(name, defined)]
        if unknown:
            yield f'of these, no guard names {", ".join(unknown)}'
    if fewer := _short(old.calls - new.calls):
        yield f'no longer calls {", ".join(fewer)}'
    if texts := _short(new.texts - old.texts):
        yield f'now has the text {", ".join(map(repr, texts))}'
    if texts := _short(old.texts - new.texts):
        yield f'no longer has the text {", ".join(map(repr, texts))}'


def _difference(old: Function, new: Function) -> list[str]:
    lines = difflib.unified_diff(old.source.splitlines(), new.source.splitlines(), n=1, lineterm='')
    return [f'      {line}' for line in list(lines)[2:] if not line.startswith('@@')]


def _of_functions(old: Sources, new: Sources, relied: ReliedOn) -> Iterator[str]:
    is_relied_on = frozenset(name.rpartition('.')[2] for name in relied)
    defined = frozenset(name.rpartition('.')[2] for name in new.functions)
    for name, calls in relied.items():
        before, after = old.functions.get(name), new.functions.get(name)
        if before == after:
            continue
        used = f'(for {", ".join(calls)})'
        if before is None or after is None:
            yield f'{name} is {"gone" if after is None else "new"} {used}'
            continue
        words = list(_words(before, after, is_relied_on, defined)) or ['the same calls, in another way']
        yield '\n'.join([f'{name} has changed {used}: {"; ".join(words)}', *_difference(before, after)])


def _of_keys(old: Sources, new: Sources) -> Iterator[str]:
    for module, owner, name in guards.KEYS:
        key = f'{module}.{owner}.{name}'
        before, after = old.constants.get(key), new.constants.get(key)
        if before != after:
            yield f'{key} is {after}, not {before}'


def _of_registries(old: Sources, new: Sources) -> Iterator[str]:
    overridden = {qualname.rpartition('.')[2] for _, qualname in (*releases.METHODS, *releases.ENTRIES)} | {'cleanup'}
    for name in sorted(old.registries.keys() | new.registries.keys()):
        before, after = old.registries.get(name), new.registries.get(name)
        if before is None or after is None:
            yield f'the class {name} is {"gone" if after is None else "new"}'
            continue
        for method in sorted(overridden & (set(before) ^ set(after))):
            yield f'{name} {"now" if method in after else "no longer"} has a method {method}() of its own'


def changes(old: Sources, new: Sources, relied: ReliedOn) -> list[str]:
    """Return what the new RQ does in another way, of what the old one does, as sentences."""
    return [*_of_functions(old, new, relied), *_of_keys(old, new), *_of_registries(old, new)]


# ---- The releases


def nearest_known(version: str) -> tuple[int, ...]:
    """Return the minor release of the table that is nearest to a version: the same one, or the last before it."""
    numbers = [int(number) for number in re.findall(r'\d+', version)]
    found = (numbers[0], numbers[1] if len(numbers) > 1 else 0)
    minors = {known[:2] for known in releases.RELEASES}
    return max((known for known in minors if known <= found), default=min(minors))


def installed(requirement: str, name: str) -> Path:
    """Return a folder under build/ with this RQ alone, which is installed there the first time."""
    folder = RELEASES / name
    command = [sys.executable, str(ROOT / 'tools' / 'packages_beside.py'), str(folder), '--no-deps', requirement]
    if status := interruptible.run(command):
        sys.exit(status)
    return folder


def nearest_installed(version: str) -> Path:
    """Return the folder of the release of the table that is nearest to a version."""
    known = '.'.join(map(str, nearest_known(version)))
    return installed(f'rq=={known}.*', known)


def tell(folder: Path, known: Path | None = None) -> bool:
    """Print what has changed, and tell whether something has."""
    new = Sources(folder)
    old = Sources(known or nearest_installed(new.version))
    found = changes(old, new, relied_on())
    print(f'RQ {new.version} beside RQ {old.version}, which the table of releases has:', flush=True)
    lines = found or ['nothing has changed of what the table relies on']
    print('\n'.join(f'  {line}' for line in lines), flush=True)
    return bool(found)


def main() -> None:
    """Compare the RQ in the first folder with that in the second."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    if not 1 <= len(folders) <= 2:
        sys.exit(__doc__)
    if tell(*folders):
        sys.exit(1)


if __name__ == '__main__':
    interruptible.main('rq_changes', main)
