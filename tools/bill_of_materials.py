"""What is compiled into a wheel, as CycloneDX has it: sboms/rqreg_ext.cdx.json in its .dist-info (PEP 770)."""

from __future__ import annotations

import json
import re

import fetch_hiredis


def document(version: str) -> str:
    """Return the bill of materials of a wheel of this version, with the hiredis that was fetched."""
    hiredis = _hiredis_version()
    ours = f'pkg:pypi/rqreg-ext@{version}'
    theirs = f'pkg:github/redis/hiredis@v{hiredis}'
    bill = {
        'bomFormat': 'CycloneDX',
        'specVersion': '1.6',
        'version': 1,
        'metadata': {
            'component': {'type': 'library', 'bom-ref': ours, 'name': 'rqreg-ext', 'version': version, 'purl': ours}
        },
        'components': [
            {
                'type': 'library',
                'bom-ref': theirs,
                'name': 'hiredis',
                'version': hiredis,
                'purl': theirs,
                'licenses': [{'license': {'id': 'BSD-3-Clause'}}],
                'externalReferences': [_source()],
            }
        ],
        'dependencies': [{'ref': ours, 'dependsOn': [theirs]}],
    }
    return json.dumps(bill, indent=2) + '\n'


def _hiredis_version() -> str:
    header = (fetch_hiredis.VENDOR / 'hiredis.h').read_text(encoding='utf-8')
    return '.'.join(re.findall(r'^#define HIREDIS_(?:MAJOR|MINOR|PATCH) (\d+)$', header, re.MULTILINE))


def _source() -> dict[str, object]:
    """Return where the sources are from: the sdist of a Python package, and its hash."""
    requirements = fetch_hiredis.REQUIREMENTS.read_text(encoding='utf-8')
    ((version, sha256),) = re.findall(r'^hiredis==(\S+) --hash=sha256:(\w+)$', requirements, re.MULTILINE)
    return {
        'type': 'source-distribution',
        'url': f'https://pypi.org/project/hiredis/{version}/',
        'hashes': [{'alg': 'SHA-256', 'content': sha256}],
    }
