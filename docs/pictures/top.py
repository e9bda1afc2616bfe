"""Draw top.svg, what `rqreg top` shows of the web shop of the guide: `make pictures`.

A private Redis, jobs that fail in real workers, and the code that draws the screen of the command.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from html import escape, unescape
from io import StringIO
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / 'program'), str(HERE.parents[1] / 'tools')]

import shop  # noqa: E402
from private_redis import PrivateRedis  # noqa: E402
from rich._export_format import CONSOLE_SVG_FORMAT  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402
from rq import Queue  # noqa: E402

from rqreg_ext.cli.server import Server  # noqa: E402
from rqreg_ext.cli.top.draw import draw  # noqa: E402
from rqreg_ext.cli.top.read import FailuresReader, OverviewReader, read_groups  # noqa: E402
from rqreg_ext.cli.top.screen import encoded  # noqa: E402
from rqreg_ext.cli.top.state import State  # noqa: E402

SIZE = (104, 30)
WORKERS = 3


def shop_state(url: str) -> State:
    """Return the state of the command for the web shop at this URL, with jobs that run and jobs that wait."""
    server = Server(url, None, None, None, ['.'], None)
    client = server.client
    shop.let_jobs_fail(client)
    exports = Queue('exports', connection=client)
    for number in range(12):
        exports.enqueue('time.sleep', 600, job_id=f'export-{number}')
    command = [sys.executable, '-m', 'rq.cli', 'worker', '--quiet', '--url', url, 'exports']
    workers = [
        subprocess.Popen([*command, '--name', f'web-{number}'], start_new_session=True) for number in range(WORKERS)
    ]
    try:
        reader = OverviewReader(server, ())
        while len([row for row in reader.read().workers if row.job_id]) < WORKERS:
            time.sleep(0.1)
        time.sleep(5)
        mail = Queue('mail', connection=client)
        for order in range(40, 52):
            mail.enqueue('shop.send_mail', order)
        overview = reader.read()
        counts = {row.name: row.counts['failed'] for row in overview.queues}
        return State(
            server='redis://localhost:6379/0',
            width=SIZE[0],
            height=SIZE[1],
            now=overview.timestamp,
            overview=overview,
            failures=FailuresReader(server).read(counts),
            groups=read_groups(server, list(counts), overview.timestamp),
        )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def svg_of(state: State) -> str:
    """Return the screen as SVG."""
    console = Console(record=True, width=state.width, file=StringIO(), force_terminal=True, color_system='standard')
    for line in draw(state):
        console.print(Text.from_ansi(encoded(line, has_colours=True)), soft_wrap=True)
    # A picture loads no fonts from elsewhere.
    template = re.sub(r'@font-face \{\{.*?\}\}\n', '', CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title='rqreg top', code_format=template, unique_id='top')
    return re.sub(r'(<text [^>]*x=")([\d.]+)("[^>]*textLength=")([\d.]+)("[^>]*>)(.*?)</text>', _without_margins, svg)


def _without_margins(text: re.Match[str]) -> str:
    """Return a text that begins and ends with no space: some programs leave it out, and draw the rest in its place."""
    before, x, between, length, after, shown = text.groups()
    words = unescape(shown)
    cell = float(length) / len(words)
    start = len(words) - len(words.lstrip('\xa0'))
    left = words.strip('\xa0')
    if not left:
        return ''
    x, length = f'{float(x) + start * cell:g}', f'{len(left) * cell:g}'
    return f'{before}{x}{between}{length}{after}{escape(left).replace(chr(160), "&#160;")}</text>'


def main() -> None:
    """Draw the picture."""
    with PrivateRedis() as server:
        svg = svg_of(shop_state(server.url))
    (HERE / 'top.svg').write_text('\n'.join(line.rstrip() for line in svg.splitlines()) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
