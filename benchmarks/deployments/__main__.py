"""Measure where RQ really runs: plain RQ and our registries in turns, in one process for each deployment.

Times are medians of rounds with their quartiles; ratios are medians over the rounds of the ratio within a round.
`python -m benchmarks.deployments --help` for the options.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.child import ROOT
from benchmarks.deployments import report
from benchmarks.report import say, seconds_as_json

sys.path.insert(0, str(ROOT / 'tools'))
sys.path.insert(0, str(ROOT / 'tests'))

from clients.certificates import Authority
from delaying_relay import DelayingRelay
from private_cluster import PrivateCluster
from private_redis import PrivateRedis
from tls_proxy import TlsProxy

RESULTS = ROOT / 'build' / 'deployments.json'
ROUNDS, QUICK_ROUNDS = 11, 3


@contextmanager
def server() -> Iterator[int]:
    """Yield the port of a server."""
    with PrivateRedis() as redis:
        yield redis.port


@contextmanager
def behind_tls() -> Iterator[int]:
    """Yield the port of a server's TLS endpoint."""
    with tempfile.TemporaryDirectory() as folder, PrivateRedis() as redis:
        pair = Authority(Path(folder), 'authority').issue('server')
        with TlsProxy(redis.port, pair.certificate, pair.key) as proxy:
            yield proxy.port


def far_away(milliseconds: float) -> Callable[[], Any]:
    """Return what yields the port of a server with this delay of a round trip."""

    @contextmanager
    def yields() -> Iterator[int]:
        with PrivateRedis() as redis, DelayingRelay(redis.port, milliseconds / 2) as relay:
            yield relay.port

    return yields


@contextmanager
def cluster() -> Iterator[int]:
    """Yield the port of one node of a cluster of three masters and three replicas."""
    with PrivateCluster() as nodes:
        yield nodes.nodes[0].port


@dataclass(frozen=True)
class Deployment:
    """A client of clients.py on a server. The slower a call, the fewer of them."""

    client: str
    start: Callable[[], Any]
    jobs: int = 5000
    calls: int = 200
    sampled: int = 100
    prefix: str = ''


DEPLOYMENTS = {
    'plain client': Deployment('plain', server),
    'OpenTelemetry': Deployment('opentelemetry', server),
    'Sentry': Deployment('sentry', server),
    'ddtrace': Deployment('ddtrace', server),
    'Elastic APM': Deployment('elastic', server),
    'a wrapper by functools.wraps': Deployment('functools_wraps', server),
    'a wrapper by wrapt': Deployment('wrapt', server),
    'Redis Cluster, RQ_KEY_PREFIX={rq}': Deployment('cluster', cluster, prefix='{rq}'),
    'TLS': Deployment('tls', behind_tls),
    '1 ms away': Deployment('plain', far_away(1), calls=20, sampled=20),
    '10 ms away': Deployment('plain', far_away(10), calls=5, sampled=5),
}


def measure(deployment: Deployment, rounds: int, operations: list[str]) -> dict[str, Any]:
    """Return the seconds of RQ and ours for each operation, and their ratio."""
    with deployment.start() as port:
        arguments = (deployment.client, port, deployment.jobs, deployment.calls, deployment.sampled, rounds)
        run = subprocess.run(
            [sys.executable, '-m', 'benchmarks.deployments.child', *map(str, arguments), *operations],
            cwd=ROOT,
            env={**os.environ, **({'RQ_KEY_PREFIX': deployment.prefix} if deployment.prefix else {})},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return {
        name: {
            'rq': seconds_as_json(of['rq']),
            'ours': seconds_as_json(of['ours']),
            'ratio': seconds_as_json([rq / ours for rq, ours in zip(of['rq'], of['ours'], strict=True)]),
        }
        for name, of in json.loads(run.stdout).items()
    }


def main(arguments: list[str]) -> int:
    """Measure what the arguments ask for, and return the exit status."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.deployments', description=__doc__)
    parser.add_argument('--only', action='append', default=[], metavar='TEXT', help='deployments with it in the name')
    parser.add_argument(
        '--operation', action='append', default=[], metavar='TEXT', help='operations with it in the name'
    )
    parser.add_argument('--quick', action='store_true', help=f'{QUICK_ROUNDS} rounds')
    parser.add_argument(
        '--json', type=Path, default=RESULTS, metavar='FILE', help=f'default: {RESULTS.relative_to(ROOT)}'
    )
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {'conditions': report.conditions(), 'deployments': {}}
    for name, deployment in DEPLOYMENTS.items():
        if not options.only or any(text.lower() in name.lower() for text in options.only):
            say(name)
            rounds = QUICK_ROUNDS if options.quick else ROUNDS
            found['deployments'][name] = measure(deployment, rounds, options.operation)
    print(report.text(found))
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1), encoding='utf-8')
    say(f'wrote {options.json}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
