"""Fuzz the reply reader and the command builder: libFuzzer, with AddressSanitizer and UndefinedBehaviorSanitizer.

What is found is written to build/fuzz/, and ends the run. Move such an input to fuzz/findings/ together with the fix:
the tests run everything there, and the corpus: what earlier runs reached.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .building import FOLDER, ROOT, TARGETS, NotEmbeddable, build_fuzzer
from .seeding import write_seeds

WORK = ROOT / 'build' / 'fuzz'
CORPUS = FOLDER / 'corpus'
LIMITS = ['-max_len=4096', '-timeout=20', '-malloc_limit_mb=64', '-rss_limit_mb=1024']
# A few megabytes of freed memory are enough to notice a use of it: an input takes less than a thousand blocks.
ENVIRONMENT = {**os.environ, 'ASAN_OPTIONS': 'quarantine_size_mb=32'}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog='python -m fuzz', description=__doc__)
    parser.add_argument('--target', action='append', choices=TARGETS, help='may be repeated; default: all')
    parser.add_argument('--seconds', type=int, default=600, help='for each target; default: 600')
    parser.add_argument(
        '--merge',
        action='store_true',
        help='instead of fuzzing, make the corpus anew: the least of what runs reached, and what a real Redis answers',
    )
    parser.add_argument('--options', default='', help="more of libFuzzer's options, in one text")
    return parser.parse_args(arguments)


def run(program: Path, *options: str) -> int:
    """Run a fuzzer to its end and return its exit status."""
    command = [str(program), *options]
    print(f'fuzz: {shlex.join(command)}', flush=True)
    return subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=False).returncode


def fuzz(target: str, seconds: int, options: list[str]) -> int:
    """Fuzz one target from the corpus and from what earlier runs found."""
    found = WORK / f'found-{target}'
    found.mkdir(parents=True, exist_ok=True)
    limits = [*LIMITS, f'-max_total_time={seconds}', '-print_final_stats=1', f'-artifact_prefix={WORK}/{target}-']
    if target == 'reply':
        limits.append(f'-dict={FOLDER / "resp.dict"}')
    return run(build_fuzzer(target, WORK), *limits, *options, str(found), str(CORPUS / target))


def merge(target: str, options: list[str]) -> int:
    """Replace the corpus by the smallest inputs that reach as much, of the old ones, those found and the seeds."""
    found, merged = WORK / f'found-{target}', WORK / f'merged-{target}'
    found.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(merged, ignore_errors=True)
    # All of the seeds stay: each stands for something that the code reached does not tell.
    print(f'fuzz: {write_seeds(target, merged)} seeds')
    # How often a line of code is reached does not count: that would keep three times as many.
    how = ['-merge=1', '-use_counters=0', *LIMITS, *options]
    status = run(build_fuzzer(target, WORK), *how, str(merged), str(CORPUS / target), str(found))
    if status == 0:
        shutil.rmtree(CORPUS / target)
        shutil.copytree(merged, CORPUS / target)
    return status


def main() -> int:
    """Do what the arguments say for each target; stop at the first finding."""
    arguments = parse(sys.argv[1:])
    options = shlex.split(arguments.options)
    for target in arguments.target or TARGETS:
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        try:
            status = merge(target, options) if arguments.merge else fuzz(target, arguments.seconds, options)
        except NotEmbeddable as reason:
            sys.exit(f'fuzz: {reason}')
        if status != 0:
            return status
    return 0


if __name__ == '__main__':
    sys.exit(main())
