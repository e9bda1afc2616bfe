"""The names that a module imports from rqreg_ext itself. uninstall() must not replace those.

After install(), a class that a module imports from rq.registry is the same object as the one it imports from rqreg_ext:
only the source code tells which import it was.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from typing import Any

PACKAGE = 'rqreg_ext'


def own_names(namespace: dict[str, Any]) -> set[str]:
    """Return the globals that the module's source code assigns from rqreg_ext; none if the source cannot be read."""
    try:
        with tokenize.open(namespace['__file__']) as source:
            tree = ast.parse(source.read())
    except (KeyError, TypeError, OSError, SyntaxError, ValueError):
        return set()
    return {name for node in ast.walk(tree) for name in _bound_by(node)}


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and not node.level and _is_ours(node.module or ''):
        for alias in node.names:
            yield alias.asname or alias.name
    elif isinstance(node, ast.Assign) and _is_ours(_root(node.value)):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _root(node: ast.AST) -> str:
    """Return the first part of a dotted name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ''


def _is_ours(dotted: str) -> bool:
    return dotted.partition('.')[0] == PACKAGE
