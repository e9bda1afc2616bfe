"""C stacks, as failing_malloc.c tells them, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stack:
    """Frames, innermost first: file, offset, name."""

    frames: list[str]

    def _first(self, part: str) -> int:
        return next((place for place, frame in enumerate(self.frames) if part in frame), len(self.frames))

    def is_ours(self) -> bool:
        """Tell whether the core, or C code that it called, was at work.

        Not so for Python code that the core called, nor where the core has no part at all.
        """
        return self._first('/_core.') < self._first('_PyEval_EvalFrameDefault')

    def __str__(self) -> str:
        return '\n'.join(f'    {frame}' for frame in self.frames[:25])
