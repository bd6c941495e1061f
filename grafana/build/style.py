"""Parts of all panels: the description, the display of values, queries as Grafana stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.queries import Query

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
QUIET = "no traffic"
ValueTexts = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class About:
    """What a panel shows, what is good, and what to do if it is not."""

    title: str
    shows: str
    good: str
    bad: str

    @property
    def text(self) -> str:
        """The description in Markdown."""
        return f"{self.shows}\n\n**Good:** {self.good}\n\n**If not:** {self.bad}"


@dataclass(frozen=True)
class Display:
    """How values are formatted and coloured. words: value → its text and its colour."""

    unit: str
    decimals: float | None = None
    minimum: float | None = 0
    maximum: float | None = None
    nothing: str = QUIET
    steps: dash.ThresholdsConfig = limits.PLAIN
    words: ValueTexts | None = None
    coloured: bool = True  # by the steps; else each series by its name


def fixed(colour: str) -> dash.FieldColor:
    """One colour, whatever the value."""
    return dash.FieldColor(mode=dash.FieldColorModeId.FIXED, fixed_color=colour)


def shades(colour: str) -> dash.FieldColor:
    """Shades of one colour, for the several series of one kind."""
    return dash.FieldColor(mode=dash.FieldColorModeId.SHADES, fixed_color=colour)


def mappings(words: ValueTexts) -> list[dash.ValueMapping]:
    """Texts instead of numbers."""
    results = {
        value: dash.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return [dash.ValueMap(options=results)]


def override(
    matcher: str, on: str, **properties: object
) -> dash.DashboardFieldConfigSourceOverrides:
    """Options of some series. matcher: byName or byRegexp; `__` reads as a dot."""
    return dash.DashboardFieldConfigSourceOverrides(
        matcher=dash.MatcherConfig(id_val=matcher, options=on),
        properties=[
            dash.DynamicConfigValue(id_val=name.replace("__", "."), value=value)
            for name, value in properties.items()
        ],
    )


def targets(
    queries: Sequence[Query],
    form: prometheus.PromQueryFormat = prometheus.PromQueryFormat.TIME_SERIES,
    *,
    instant: bool = False,
) -> list[prometheus.Dataquery]:
    """Queries as Grafana stores them, each with a reference."""
    return [
        prometheus.Dataquery(
            datasource=SOURCE,
            editor_mode=prometheus.QueryEditorMode.CODE,
            expr=query.expr,
            legend_format=query.legend or "__auto",
            format_val=form,
            instant=instant,
            range_val=not instant,
            ref_id=ref,
        )
        for ref, query in zip(ascii_uppercase, queries, strict=False)
    ]


def panel(
    kind: str,
    about: About,
    display: Display,
    asked: list[prometheus.Dataquery],
    options: object,
    custom: object = None,
    overrides: list[dash.DashboardFieldConfigSourceOverrides] | None = None,
) -> dash.Panel:
    """A panel of any kind; the layout assigns its id and position."""
    mode = (
        dash.FieldColorModeId.THRESHOLDS
        if display.coloured
        else dash.FieldColorModeId.PALETTE_CLASSIC
    )
    return dash.Panel(
        type_val=kind,
        title=about.title,
        description=about.text,
        datasource=SOURCE,
        targets=list(asked),
        options=options,
        field_config=dash.FieldConfigSource(
            defaults=dash.FieldConfig(
                unit=display.unit,
                decimals=display.decimals,
                min_val=display.minimum,
                max_val=display.maximum,
                no_value=display.nothing,
                thresholds=display.steps,
                mappings=mappings(display.words) if display.words else None,
                color=dash.FieldColor(mode=mode),
                custom=custom,
            ),
            overrides=overrides or [],
        ),
    )
