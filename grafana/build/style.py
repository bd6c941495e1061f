"""What all panels share: a description, how values read, queries as Grafana stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.queries import Query

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
QUIET = "no traffic"
Tokenizer = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class About:
    """What a panel says, what good looks like, what to do when it does not."""

    title: str
    shows: str
    good: str
    bad: str

    @property
    def text(self) -> str:
        """As Grafana shows it, in Markdown."""
        return f"{self.shows}\n\n**Good:** {self.good}\n\n**If not:** {self.bad}"


@dataclass(frozen=True)
class Look:
    """How values are written and coloured. words: a value, what it means, its colour."""

    unit: str
    decimals: float | None = None
    least: float | None = 0
    most: float | None = None
    nothing: str = QUIET
    steps: dash.ThresholdsConfig = limits.PLAIN
    words: Tokenizer | None = None
    coloured: bool = True  # by the steps; else each series by its name


def fixed(colour: str) -> dash.FieldColor:
    """One colour, whatever the value."""
    return dash.FieldColor(mode=dash.FieldColorModeId.FIXED, fixed_color=colour)


def shades(colour: str) -> dash.FieldColor:
    """Shades of one colour, for the several series of one kind."""
    return dash.FieldColor(mode=dash.FieldColorModeId.SHADES, fixed_color=colour)


def mappings(words: Tokenizer) -> list[dash.ValueMapping]:
    """Words instead of numbers."""
    results = {
        value: dash.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return [dash.ValueMap(options=results)]


def override(
    matcher: str, on: str, **properties: object
) -> dash.DashboardFieldConfigSourceOverrides:
    """Options for some series alone. matcher: byName or byRegexp; `__` reads as a dot."""
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
    """Queries as Grafana stores them, with a reference each."""
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
    look: Look,
    asked: list[prometheus.Dataquery],
    options: object,
    custom: object = None,
    overrides: list[dash.DashboardFieldConfigSourceOverrides] | None = None,
) -> dash.Panel:
    """A panel of any kind; the layout gives it its id and place."""
    mode = (
        dash.FieldColorModeId.THRESHOLDS if look.coloured else dash.FieldColorModeId.PALETTE_CLASSIC
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
                unit=look.unit,
                decimals=look.decimals,
                min_val=look.least,
                max_val=look.most,
                no_value=look.nothing,
                thresholds=look.steps,
                mappings=mappings(look.words) if look.words else None,
                color=dash.FieldColor(mode=mode),
                custom=custom,
            ),
            overrides=overrides or [],
        ),
    )
