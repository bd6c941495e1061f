"""A dashboard: its variables, links and annotations, and its panels on 24 columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build.frame import annotations, links

COLUMNS = 24


@dataclass(frozen=True)
class Shelf:
    """Panels side by side, of one height; their widths fill the columns."""

    height: int
    panels: Sequence[tuple[int, dash.Panel]]


@dataclass(frozen=True)
class Section:
    """A headed part of a dashboard."""

    title: str
    shelves: Sequence[Shelf]


def dashboard(
    name: str,
    title: str,
    question: str,
    variables: Sequence[dash.VariableModel],
    sections: Sequence[Section],
) -> dash.Dashboard:
    """All of one dashboard. name: of the file, and its stable uid."""
    return dash.Dashboard(
        uid=name,
        title=f"Vitrine / {title}",
        description=question,
        tags=["vitrine"],
        timezone="browser",
        editable=False,
        graph_tooltip=dash.DashboardCursorSync.CROSSHAIR,
        time=dash.DashboardDashboardTime(from_val="now-3h", to="now"),
        timepicker=dash.TimePickerConfig(
            refresh_intervals=["15s", "30s", "1m", "5m", "15m", "1h"],
        ),
        refresh="30s",
        version=1,
        panels=_placed(sections),
        templating=dash.DashboardDashboardTemplating(list_val=list(variables)),
        annotations=dash.AnnotationContainer(list_val=annotations()),
        links=links(name),
    )


def _placed(sections: Sequence[Section]) -> list[dash.Panel | dash.RowPanel]:
    """Assign every panel its id and position, from left to right and down."""
    placed: list[dash.Panel | dash.RowPanel] = []
    y = 0
    for section in sections:
        place = dash.GridPos(h=1, w=COLUMNS, x=0, y=y)
        placed.append(
            dash.RowPanel(title=section.title, id_val=len(placed) + 1, grid_pos=place, panels=[])
        )
        y += 1
        for shelf in section.shelves:
            x = 0
            for width, panel in shelf.panels:
                panel.id_val = len(placed) + 1
                panel.grid_pos = dash.GridPos(h=shelf.height, w=width, x=x, y=y)
                placed.append(panel)
                x += width
            if x != COLUMNS:
                raise ValueError(f"{section.title}: {x} columns of {COLUMNS} are filled")
            y += shelf.height
    return placed
