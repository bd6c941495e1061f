"""Panels of what is so now: numbers, bars and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.models import bargauge, common, prometheus, stat, table
from grafana_foundation_sdk.models import dashboard as dash

from grafana.build.queries import Query
from grafana.build.style import About, Look, fixed, mappings, override, panel, targets

# Pixels: left to itself, a number grows with its panel until it shouts its neighbours down.
ALONE = common.VizTextDisplayOptions(title_size=14, value_size=38)
SEVERAL = common.VizTextDisplayOptions(title_size=14, value_size=28)
BARS = common.VizTextDisplayOptions(title_size=12, value_size=16)
NOT_KNOWN = "\N{EN DASH}"  # in a cell: a row that one of a table's queries does not know
LAST = common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")


def number(
    about: About,
    look: Look,
    queries: Sequence[Query],
    *,
    colours: Mapping[str, dash.ThresholdsConfig] | None = None,
) -> dash.Panel:
    """Large numbers, coloured by their thresholds. colours: those of one series, by its name.

    They are asked for now, not over the window: its last sample may be an hour old, and a number
    that nobody measures any more must not stand there in green.
    """
    several = len(queries) > 1 or queries[0].legend.startswith("{{")
    options = stat.Options(
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID
        if look.words
        else common.BigValueColorMode.VALUE,
        graph_mode=common.BigValueGraphMode.NONE,
        justify_mode=common.BigValueJustifyMode.AUTO,
        text_mode=common.BigValueTextMode.VALUE_AND_NAME
        if several
        else common.BigValueTextMode.VALUE,
        reduce_options=LAST,
        orientation=common.VizOrientation.AUTO,
        text=SEVERAL if several else ALONE,
    )
    overrides = [
        override("byName", name, thresholds=steps) for name, steps in (colours or {}).items()
    ]
    asked = targets(queries, instant=True)
    return panel("stat", about, look, asked, options, overrides=overrides)


def bars(about: About, look: Look, query: Query) -> dash.Panel:
    """One bar for each series, over the window that is looked at."""
    options = bargauge.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        value_mode=common.BarGaugeValueMode.TEXT,
        name_placement=common.BarGaugeNamePlacement.LEFT,
        show_unfilled=False,
        sizing=common.BarGaugeSizing.AUTO,
        orientation=common.VizOrientation.HORIZONTAL,
        text=BARS,
        reduce_options=LAST,
    )
    return panel("bargauge", about, look, targets([query], instant=True), options)


@dataclass(frozen=True)
class Column:
    """A column of a table. source: a label's name, or `A`, `B` … for a query's value."""

    source: str
    title: str
    look: Look | None = None
    width: int | None = None

    @property
    def field(self) -> str:
        """What Grafana calls it before it is renamed."""
        return f"Value #{self.source}" if len(self.source) == 1 else self.source


def rows(
    about: About,
    look: Look,
    queries: Sequence[Query],
    columns: Sequence[Column],
    sort: tuple[str, bool],
) -> dash.Panel:
    """A table that joins its queries on the labels they share. sort: a title, and whether down."""
    asked = targets(queries, prometheus.PromQueryFormat.TABLE, instant=True)
    single = len(queries) == 1
    fields = [column.field.removesuffix(" #A") if single else column.field for column in columns]
    title, down = sort
    options = table.Options(
        show_header=True,
        cell_height=common.TableCellHeight.SM,
        footer=common.TableFooterOptions(show=False, reducer=[]),
        sort_by=[common.TableSortByFieldState(display_name=title, desc=down)],
    )
    custom = table.FieldConfig(align=common.FieldTextAlignment.AUTO, inspect=False)
    drawn = panel("table", about, replace(look, least=None), asked, options, custom)
    drawn.field_config.overrides = [*map(_styled, columns)]  # type: ignore[union-attr]
    joined = [] if single else [dash.DataTransformerConfig(id_val="merge", options={})]
    drawn.transformations = [
        *joined,
        dash.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(fields)},
                "renameByName": {
                    name: column.title for name, column in zip(fields, columns, strict=True)
                },
            },
        ),
    ]
    return drawn


def _styled(column: Column) -> dash.DashboardFieldConfigSourceOverrides:
    """How one column reads."""
    properties: dict[str, object] = {"noValue": NOT_KNOWN}  # of a cell; the panel's is of all rows
    if column.width:
        properties["custom.width"] = column.width
    if look := column.look:
        properties["unit"] = look.unit
        if look.decimals is not None:
            properties["decimals"] = look.decimals
        if look.words:
            properties["mappings"] = mappings(look.words)
        if look.coloured:
            properties["thresholds"] = look.steps
            properties["custom.cellOptions"] = {"type": "color-text"}
            properties["color"] = dash.FieldColor(mode=dash.FieldColorModeId.THRESHOLDS)
        else:
            properties["color"] = fixed("text")
    return override("byName", column.title, **properties)
