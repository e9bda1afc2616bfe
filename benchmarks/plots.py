"""How cost grows with size, drawn: `draw()` writes the plots of docs/benchmarks.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .legs import BY_HAND_HIREDIS, OURS, RQ, RQ_HIREDIS, TITLES
from .report import UNITS
from .results import Results

FOLDER = Path(__file__).resolve().parent / 'plots'
LEGS = (RQ, RQ_HIREDIS, BY_HAND_HIREDIS, OURS)
# Told apart by those who do not see all colours, too (Okabe and Ito).
COLOURS = {RQ: '#D55E00', RQ_HIREDIS: '#E69F00', BY_HAND_HIREDIS: '#0072B2', OURS: '#009E73'}
MARKERS = {RQ: 'o', RQ_HIREDIS: 's', BY_HAND_HIREDIS: 'D', OURS: '^'}
EXTRAPOLATED = 'hollow: extrapolated from a sample'
PANEL_INCHES = (3.2, 2.5)


@dataclass(frozen=True)
class Panel:
    """One operation along one axis; `is_rate` for calls in a second."""

    title: str
    operation: str
    axis: str
    is_rate: bool = False


PLOTS = {
    'entries': (
        Panel('count', 'count', 'entries'),
        Panel('get_job_ids()', 'get_job_ids', 'entries'),
        Panel('contains_many()', 'contains_many', 'entries'),
        Panel('iter_job_ids()', 'iter_job_ids', 'entries'),
        Panel('get_page()', 'get_page', 'entries'),
        Panel('find(description=…)', 'find', 'entries'),
        Panel('purge()', 'purge', 'entries'),
        Panel('requeue_all()', 'requeue_all', 'entries'),
        Panel('cancel_many()', 'cancel_many', 'entries'),
    ),
    'queues-and-threads': (
        Panel('snapshot()', 'snapshot', 'queues'),
        Panel('batch(): a count each', 'batch-count', 'queues'),
        Panel('count, from threads', 'count', 'threads', is_rate=True),
    ),
}
COLUMNS = 3


def draw(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Write the plots, and return their files: the same bytes for the same results."""
    import matplotlib as mpl

    mpl.use('svg')
    mpl.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'rqreg_ext', 'font.family': 'sans-serif'})
    mpl.rcParams.update({'font.size': 8, 'axes.spines.top': False, 'axes.spines.right': False})
    folder.mkdir(exist_ok=True)
    return [_draw(results, panels, folder / f'{name}.svg') for name, panels in PLOTS.items()]


def _draw(results: Results, panels: tuple[Panel, ...], path: Path) -> Path:
    from matplotlib.figure import Figure

    drawn = [panel for panel in panels if results.curve(panel.operation, panel.axis, OURS)]
    columns = min(len(drawn), COLUMNS)
    rows = -(-len(drawn) // columns)
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout='constrained')
    for number, panel in enumerate(drawn):
        _draw_panel(figure.add_subplot(rows, columns, number + 1), results, panel)
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    handles = [lines[TITLES[leg]] for leg in LEGS if TITLES[leg] in lines]
    figure.legend(handles=handles, loc='outside lower center', ncols=len(LEGS), frameon=False, title=EXTRAPOLATED)
    figure.savefig(path, metadata={'Date': None, 'Creator': None})
    # matplotlib ends some lines in blanks.
    path.write_text('\n'.join(line.rstrip() for line in path.read_text(encoding='utf-8').splitlines()) + '\n', 'utf-8')
    return path


def _draw_panel(axes: Any, results: Results, panel: Panel) -> None:
    for leg in LEGS:
        points = results.curve(panel.operation, panel.axis, leg)
        if points:
            _draw_curve(axes, leg, points, panel.is_rate)
    axes.set_xscale('log')
    axes.set_xticks(sorted({point.size for point in results.curve(panel.operation, panel.axis, OURS)}))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(_thousands)
    axes.set_title(panel.title, loc='left', fontfamily='monospace')
    axes.set_xlabel(panel.axis)
    if panel.is_rate:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(_thousands)
        axes.set_ylabel('calls in a second')
    else:
        axes.set_yscale('log')
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(_seconds)
    axes.grid(visible=True, axis='y', linewidth=0.4, alpha=0.5)


def _draw_curve(axes: Any, leg: str, points: list[Any], is_rate: bool) -> None:
    sizes = [point.size for point in points]
    values = [1 / point.seconds.median if is_rate else point.seconds.median for point in points]
    lows = [1 / point.seconds.q3 if is_rate else point.seconds.q1 for point in points]
    highs = [1 / point.seconds.q1 if is_rate else point.seconds.q3 for point in points]
    colour = COLOURS[leg]
    axes.fill_between(sizes, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.plot(sizes, values, color=colour, linewidth=1.2, marker=MARKERS[leg], markersize=4, label=TITLES[leg])
    hollow = [(size, value) for size, value, point in zip(sizes, values, points, strict=True) if point.is_extrapolated]
    if hollow:
        axes.plot(
            *zip(*hollow, strict=True), linestyle='', marker=MARKERS[leg], markersize=4, color=colour, mfc='white'
        )


def _thousands(value: float, _: int) -> str:
    # As short as that, or neighbours run into each other.
    return f'{value / 1e6:g} M' if value >= 1e6 else f'{value / 1e3:g} k' if value >= 1e3 else f'{value:g}'


def _seconds(value: float, _: int) -> str:
    size, unit = next((found for found in UNITS if value >= found[0] * 0.999), UNITS[-1])
    return f'{value / size:g} {unit}'
