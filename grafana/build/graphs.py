"""Panels over time: lines, heat maps and timelines of states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grafana_foundation_sdk.models import common, heatmap, prometheus, statetimeline
from grafana_foundation_sdk.models import dashboard as dash
from grafana_foundation_sdk.models import timeseries as series

from grafana.build import limits
from grafana.build.queries import Query
from grafana.build.style import About, Display, ValueTexts, fixed, override, panel, shades, targets

CELLS = 90  # columns of a heat map, each wide enough to be visible
# The smallest upper end of an axis, by unit: Grafana draws lines of zeros on one from 0 to 100.
REACH = {"short": 1, "reqps": 0.1, "ops": 0.1}


@dataclass(frozen=True)
class Lines:
    """How lines are drawn. A regular expression on the legend selects colours and dashes."""

    stacked: bool = False
    colours: Mapping[str, str] | None = None
    families: Mapping[str, str] | None = None  # several series in shades of one colour
    dashed: str | None = None
    limited: bool = False  # the thresholds of the display are dashed lines
    values: Sequence[str] = ()  # of each line beside its name: last, max, mean
    soft: float | None = None  # the axis reaches at least to here
    from_: float | None = None  # and starts at least from here
    fill: int = 8  # percent of opacity below lines that are not stacked
    log: int | None = None  # base of a logarithmic axis


def graph(
    about: About, display: Display, queries: Sequence[Query], how: Lines = Lines()
) -> dash.Panel:
    """Lines over time, or layers of a stack."""
    style = (
        common.GraphThresholdsStyleMode.DASHED
        if how.limited
        else common.GraphThresholdsStyleMode.OFF
    )
    mode = common.StackingMode.NORMAL if how.stacked else common.StackingMode.NONE
    custom = series.FieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=1 if how.stacked else 2,
        fill_opacity=60 if how.stacked else how.fill,
        show_points=common.VisibilityMode.NEVER,
        stacking=common.StackingConfig(mode=mode, group="A"),
        thresholds_style=common.GraphThresholdsStyleConfig(mode=style),
        axis_soft_max=REACH.get(display.unit) if how.soft is None else how.soft,
        axis_soft_min=how.from_,
        span_nulls=False,
        scale_distribution=_scale(how.log),
    )
    overrides = [
        override("byRegexp", f"/{pattern}/", color=fixed(colour))
        for pattern, colour in (how.colours or {}).items()
    ]
    overrides += [
        override("byRegexp", f"/{pattern}/", color=shades(colour))
        for pattern, colour in (how.families or {}).items()
    ]
    if how.dashed:
        overrides.append(_limit_line(how.dashed))
    options = series.Options(
        legend=_legend(how.values),
        tooltip=common.VizTooltipOptions(
            mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
        ),
    )
    plain = replace(display, coloured=False)
    return panel("timeseries", about, plain, targets(queries), options, custom, overrides)


def _scale(base: int | None) -> common.ScaleDistributionConfig | None:
    """A logarithmic scale, for values that lie orders of magnitude apart."""
    if base is None:
        return None
    return common.ScaleDistributionConfig(type_val=common.ScaleDistribution.LOG, log=base)


def _limit_line(pattern: str) -> dash.DashboardFieldConfigSourceOverrides:
    """A limit is dashed and grey, beside a stack and not part of it."""
    return override(
        "byRegexp",
        f"/{pattern}/",
        color=fixed(limits.GREY),
        custom__lineStyle=common.LineStyle(fill="dash", dash=[8, 8]),
        custom__fillOpacity=0,
        custom__lineWidth=1,
        custom__stacking=common.StackingConfig(mode=common.StackingMode.NONE, group="limit"),
    )


def _legend(values: Sequence[str]) -> common.VizLegendOptions:
    """A table is on the right: below, Grafana gives it a third of the height and cuts off rows."""
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.TABLE if values else common.LegendDisplayMode.LIST,
        placement=common.LegendPlacement.RIGHT if values else common.LegendPlacement.BOTTOM,
        show_legend=True,
        calcs=list(values),
    )


def heat(about: About, unit: str, expr: str, nothing: str = "no traffic") -> dash.Panel:
    """The buckets of a histogram over time."""
    asked = targets([Query(expr, "{{le}}")], prometheus.PromQueryFormat.HEATMAP)
    options = heatmap.Options(
        calculate=False,
        color=heatmap.HeatmapColorOptions(
            mode=heatmap.HeatmapColorMode.SCHEME,
            scheme="Turbo",
            fill="dark-orange",
            scale=heatmap.HeatmapColorScale.EXPONENTIAL,
            exponent=0.5,
            steps=64,
        ),
        filter_values=heatmap.FilterValueRange(le=1e-9),
        rows_frame=heatmap.RowsHeatmapOptions(layout=common.HeatmapCellLayout.AUTO),
        y_axis=heatmap.YAxisConfig(unit=unit, axis_placement=common.AxisPlacement.LEFT),
        cell_gap=1,
        legend=heatmap.HeatmapLegend(show=True),
        exemplars=heatmap.ExemplarConfig(color="rgba(255,0,255,0.7)"),
        tooltip=heatmap.HeatmapTooltip(
            mode=common.TooltipDisplayMode.SINGLE, y_histogram=True, show_color_scale=False
        ),
    )
    custom = heatmap.FieldConfig(
        scale_distribution=common.ScaleDistributionConfig(type_val=common.ScaleDistribution.LINEAR)
    )
    drawn = panel("heatmap", about, Display("short", nothing=nothing), asked, options, custom)
    drawn.max_data_points = CELLS
    return drawn


def states(
    about: About, queries: Sequence[Query], words: ValueTexts, nothing: str = "nothing fires"
) -> dash.Panel:
    """One row for each series, coloured by the meaning of its value."""
    options = statetimeline.Options(
        show_value=common.VisibilityMode.NEVER,
        row_height=0.8,
        merge_values=True,
        align_value=common.TimelineValueAlignment.LEFT,
        legend=common.VizLegendOptions(
            display_mode=common.LegendDisplayMode.LIST,
            placement=common.LegendPlacement.BOTTOM,
            show_legend=True,
        ),
        tooltip=common.VizTooltipOptions(
            mode=common.TooltipDisplayMode.SINGLE, sort=common.SortOrder.NONE
        ),
    )
    custom = statetimeline.FieldConfig(fill_opacity=80, line_width=0, span_nulls=False)
    display = Display("short", nothing=nothing, words=words, steps=limits.steps(limits.GREY))
    return panel("state-timeline", about, display, targets(queries), options, custom)
