"""Check that the modules of the package import only what lies below them.

    python tools/check_imports.py [FOLDER]      the folder that has rqreg_ext/

Every import counts: at the top of a module, in a function, and under TYPE_CHECKING. Within a part of the package no
module may import what, however indirectly, imports it. An import inside a function of another module of ours stands
there for start-up time only, and a comment above it says so.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = 'rqreg_ext'
# From the top down. A name without an underscore is a public module.
LAYERS = (
    'cli',
    '__main__',
    '__init__',
    '_install',
    '_all_queues',
    'queue',
    'executions',
    'registry',
    'waiting_jobs',
    '_integrity',
    '_export',
    '_bulk',
    '_query',
    '_fastpath',
    '_core',
)


class Import(NamedTuple):
    """One module of the package that another one imports."""

    importer: str
    imported: str
    line: int
    is_unexplained: bool


class Module(NamedTuple):
    """A module of the package, by its dotted name within it."""

    name: str
    path: Path
    is_package: bool


def modules_in(folder: Path) -> dict[str, Module]:
    """Return the modules of the package by their names."""
    found = {'_core': Module('_core', folder / PACKAGE / '_core.pyi', is_package=False)}
    for path in sorted((folder / PACKAGE).rglob('*.py')):
        parts = path.relative_to(folder / PACKAGE).with_suffix('').parts
        is_package = parts[-1] == '__init__' and len(parts) > 1
        name = '.'.join(parts[:-1] if is_package else parts)
        found[name] = Module(name, path, is_package)
    return found


def imports_of(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """Yield what a module imports of the package."""
    if module.path.suffix != '.py':
        return
    source = module.path.read_text(encoding='utf-8')
    lines = source.splitlines()
    tree = ast.parse(source)
    in_functions = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            is_unexplained = id(node) in in_functions and not _has_reason(lines, node.lineno)
            for name in _names_in(node, module):
                imported = _module_of(name, modules)
                if imported is not None:
                    yield Import(module.name, imported, node.lineno, is_unexplained)


def _has_reason(lines: list[str], line: int) -> bool:
    """Tell whether the comment above these imports says that they stand there for start-up time."""
    above = line - 2
    while above >= 0 and not lines[above].lstrip().startswith(('#', 'def ', 'async def ')):
        above -= 1
    while above >= 0 and lines[above].lstrip().startswith('#'):
        if 'start-up' in lines[above]:
            return True
        above -= 1
    return False


def _names_in(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[str]:
    """Yield the dotted names that a statement imports, without the name of the package in front."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif node.level:
        parents = [PACKAGE, *module.name.split('.')]
        here = parents[: len(parents) - node.level + module.is_package]
        names = ['.'.join([*here, *filter(None, [node.module]), alias.name]) for alias in node.names]
    else:
        names = [f'{node.module}.{alias.name}' for alias in node.names]
    for name in names:
        if name.partition('.')[0] == PACKAGE:
            yield name.partition('.')[2]


def _module_of(name: str, modules: dict[str, Module]) -> str | None:
    """Return the module that has the name; an empty one, or one that `__init__` resolves, is `__init__`'s."""
    while name:
        if name in modules:
            return name
        name = name.rpartition('.')[0]
    return '__init__'


def upward_imports(imports: list[Import]) -> list[str]:
    """Return a line for each import of something that lies in a higher layer, or in no layer."""
    height = {layer: len(LAYERS) - place for place, layer in enumerate(LAYERS)}
    found = []
    for each in imports:
        layers = [name.partition('.')[0] for name in (each.importer, each.imported)]
        unknown = [layer for layer in layers if layer not in height]
        if unknown:
            found.append(f'{_shown(each)}: {unknown[0]} is in no layer of tools/check_imports.py')
        elif height[layers[1]] > height[layers[0]]:
            found.append(f'{_shown(each)}: {layers[1]} lies above {layers[0]}')
    return found


def circles(imports: list[Import]) -> list[str]:
    """Return a line for each import by which a module imports itself in the end."""
    below: dict[str, set[str]] = {}
    for each in imports:
        below.setdefault(each.importer, set()).add(each.imported)

    def reaches(start: str, goal: str) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            for name in below.get(waiting.pop(), ()):
                if name == goal:
                    return True
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return False

    return [
        f'{_shown(each)}: {each.imported} imports {each.importer}, however indirectly'
        for each in imports
        if each.importer == each.imported or reaches(each.imported, each.importer)
    ]


def unexplained(imports: list[Import]) -> list[str]:
    """Return a line for each import inside a function that gives no reason."""
    return [
        f'{_shown(each)}: inside a function without a comment that says what it saves at start-up'
        for each in imports
        if each.is_unexplained
    ]


def _shown(each: Import) -> str:
    return f'{PACKAGE}.{each.importer}, line {each.line}, imports {PACKAGE}.{each.imported}'


def wrong_imports(folder: Path) -> list[str]:
    """Return a line for each import of the package that should not be."""
    modules = modules_in(folder)
    imports = [each for module in modules.values() for each in imports_of(module, modules)]
    return [*upward_imports(imports), *circles(imports), *unexplained(imports)]


def main() -> int:
    """Print what is wrong; return the exit status."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = wrong_imports(folder)
    print('\n'.join(found) if found else 'no import points up, and there are no circles')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
