"""The parts around the panels of every dashboard: variables, links, annotations."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build.queries import EITHER, metric
from grafana.build.style import SOURCE

NAMES = {
    "vitrine-overview": "Overview",
    "vitrine-api": "API",
    "vitrine-inference": "Inference",
    "vitrine-jobs": "Jobs",
    "vitrine-runtime": "Runtime",
}
FIRING = 'alertstate="firing",service="vitrine",severity!="none"'
# A version that runs now and did not run a while ago, if another did: neither a restart nor the
# very first scrape. The offset is long enough to be visible on a view of a month.
RUNS = metric("app_info", EITHER)
RAN = f"last_over_time({RUNS}[10m] offset 5m)"
DEPLOYED = (
    f"max by (version, revision) ({RUNS}) unless max by (version, revision) ({RAN})"
    f" and on () count({RAN})"
)


def source() -> dash.VariableModel:
    """The choice of the Prometheus data source."""
    return dash.VariableModel(
        type_val=dash.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        query="prometheus",
        refresh=dash.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def choice(name: str, label: str, selector: str) -> dash.VariableModel:
    """The choice of all or some values of a label in the selected window."""
    query = f"label_values({selector}, {name})"
    return dash.VariableModel(
        type_val=dash.VariableType.QUERY,
        name=name,
        label=label,
        datasource=SOURCE,
        query=query,
        definition=query,
        multi=True,
        include_all=True,
        all_value=".+",
        current=dash.VariableOption(selected=True, text=["All"], value=["$__all"]),
        refresh=dash.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dash.VariableSort.NATURAL_ASC,
    )


def links(own: str) -> list[dash.DashboardLink]:
    """Links to the other four, with the same window and the same choices."""
    return [
        dash.DashboardLink(
            title=title,
            type_val=dash.DashboardLinkType.LINK,
            icon="dashboard",
            tooltip=f"Vitrine / {title}",
            url=f"/d/{uid}",
            include_vars=True,
            keep_time=True,
        )
        for uid, title in NAMES.items()
        if uid != own
    ]


def annotations() -> list[dash.AnnotationQuery]:
    """Deploys, and alerts while they fire."""
    firing = f"max by (alertname, severity, component) ({metric('ALERTS', FIRING)})"
    return [
        _annotation("Deploys", "blue", DEPLOYED, "Deploy of {{version}}", "revision {{revision}}"),
        _annotation("Alerts", "red", firing, "{{alertname}}", "{{severity}}, {{component}}"),
    ]


def _annotation(name: str, colour: str, expr: str, title: str, text: str) -> dash.AnnotationQuery:
    return dash.AnnotationQuery(
        name=name,
        datasource=SOURCE,
        enable=True,
        icon_color=colour,
        expr=expr,
        step="60s",
        title_format=title,
        text_format=text,
        tag_keys="",
    )
