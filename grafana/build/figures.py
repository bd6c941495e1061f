"""Panels of current values: numbers, bars and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.models import bargauge, common, prometheus, stat, table
from grafana_foundation_sdk.models import dashboard as dash

from grafana.build.queries import Query
from grafana.build.style import About, Display, fixed, mappings, override, panel, targets

# Pixels: by default a number grows with its panel until it dominates the others.
ALONE = common.VizTextDisplayOptions(title_size=14, value_size=38)
SEVERAL = common.VizTextDisplayOptions(title_size=14, value_size=28)
BARS = common.VizTextDisplayOptions(title_size=12, value_size=16)
NOT_KNOWN = "\N{EN DASH}"  # in a cell: one of the table's queries has no such row
LAST = common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")


def number(
    about: About,
    display: Display,
    queries: Sequence[Query],
    *,
    colours: Mapping[str, dash.ThresholdsConfig] | None = None,
) -> dash.Panel:
    """Large numbers, coloured by their thresholds. colours: those of one series, by its name.

    The query is instant, not over the window: the last sample of a window may be an hour old, and a
    number without a source must not stay green.
    """
    several = len(queries) > 1 or queries[0].legend.startswith("{{")
    options = stat.Options(
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID
        if display.words
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
    return panel("stat", about, display, asked, options, overrides=overrides)


def bars(about: About, display: Display, query: Query) -> dash.Panel:
    """One bar for each series, over the selected window."""
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
    return panel("bargauge", about, display, targets([query], instant=True), options)


@dataclass(frozen=True)
class Column:
    """A column of a table. source: a label's name, or `A`, `B` … for a query's value."""

    source: str
    title: str
    display: Display | None = None
    width: int | None = None

    @property
    def field(self) -> str:
        """Grafana's name of the field before it is renamed."""
        return f"Value #{self.source}" if len(self.source) == 1 else self.source


def rows(
    about: About,
    display: Display,
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
    drawn = panel("table", about, replace(display, minimum=None), asked, options, custom)
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
    """The format of one column."""
    properties: dict[str, object] = {"noValue": NOT_KNOWN}  # of a cell; the panel's is of all rows
    if column.width:
        properties["custom.width"] = column.width
    if display := column.display:
        properties["unit"] = display.unit
        if display.decimals is not None:
            properties["decimals"] = display.decimals
        if display.words:
            properties["mappings"] = mappings(display.words)
        if display.coloured:
            properties["thresholds"] = display.steps
            properties["custom.cellOptions"] = {"type": "color-text"}
            properties["color"] = dash.FieldColor(mode=dash.FieldColorModeId.THRESHOLDS)
        else:
            properties["color"] = fixed("text")
    return override("byName", column.title, **properties)
