// The dashboard: its bar, its variables and links, and its panels on Grafana's grid.
import { css } from "@emotion/css";
import { type GrafanaTheme2, rangeUtil, type TimeRange } from "@grafana/data";
import { Icon, ToolbarButton, useStyles2 } from "@grafana/ui";
import type { Mark } from "./annotations";
import type { Source } from "./data";
import type { Dashboard, Panel, Variable } from "./model";
import { PanelView } from "./PanelView";
import type { Report } from "./report";
import { TIME_ZONE } from "./settings";
import { interpolate } from "./variables";

const COLUMNS = 24;
const CELL = 30; // pixels: a row of Grafana's grid
const GAP = 8;
const PADDING = 16;

interface Props {
  dashboard: Dashboard;
  range: TimeRange;
  marks: Mark[];
  source: Source;
  report: Report;
}

const styles = (theme: GrafanaTheme2) => ({
  page: css({ background: theme.colors.background.canvas, paddingBottom: PADDING }),
  bar: css({
    display: "flex",
    alignItems: "center",
    gap: theme.spacing(1),
    padding: `${theme.spacing(1)} ${PADDING}px`,
    background: theme.colors.background.primary,
    borderBottom: `1px solid ${theme.colors.border.weak}`,
  }),
  title: css({ flexGrow: 1, display: "flex", alignItems: "center", gap: theme.spacing(0.5) }),
  parent: css({ color: theme.colors.text.secondary }),
  controls: css({
    display: "flex",
    gap: theme.spacing(1),
    padding: `${theme.spacing(1)} ${PADDING}px 0`,
  }),
  spring: css({ flexGrow: 1 }),
  variable: css({
    display: "flex",
    height: theme.spacing(4),
    lineHeight: theme.spacing(3.75),
    fontSize: theme.typography.bodySmall.fontSize,
    border: `1px solid ${theme.components.input.borderColor}`,
    borderRadius: theme.shape.radius.default,
    "& > *": { padding: `0 ${theme.spacing(1)}` },
  }),
  label: css({ background: theme.colors.background.secondary, fontWeight: 500 }),
  value: css({ background: theme.components.input.background, minWidth: 64 }),
  grid: css({ position: "relative", margin: `${GAP}px ${PADDING}px 0` }),
  cell: css({ position: "absolute" }),
  row: css({
    display: "flex",
    alignItems: "center",
    gap: theme.spacing(1),
    height: "100%",
    fontSize: theme.typography.h6.fontSize,
    fontWeight: theme.typography.fontWeightMedium,
  }),
});

function bottom(panels: Panel[]): number {
  return Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
}

function VariableBox({ variable }: { variable: Variable }) {
  const style = useStyles2(styles);
  const text = [variable.current?.text ?? "All"].flat().join(" + ");
  return (
    <div className={style.variable}>
      <span className={style.label}>{variable.label ?? variable.name}</span>
      <span className={style.value}>{variable.type === "datasource" ? "Prometheus" : text}</span>
    </div>
  );
}

function RowHeader({ panel, title }: { panel: Panel; title: string }) {
  const style = useStyles2(styles);
  return (
    <div className={style.row}>
      <Icon name={panel.collapsed ? "angle-right" : "angle-down"} />
      {title}
      {panel.collapsed && ` (${panel.panels?.length ?? 0} panels)`}
    </div>
  );
}

export function DashboardView({ dashboard, range, marks, source, report }: Props) {
  const style = useStyles2(styles);
  const unit = (window.innerWidth - 2 * PADDING + GAP) / COLUMNS;
  const shown = (dashboard.templating?.list ?? []).filter((variable) => variable.hide !== 2);
  return (
    <div className={style.page}>
      <div className={style.bar}>
        <div className={style.title}>
          <Icon name="grafana" size="xl" />
          <span className={style.parent}>Dashboards</span>
          <Icon name="angle-right" />
          {dashboard.title}
        </div>
        <ToolbarButton icon="clock-nine" isOpen={false}>
          {rangeUtil.describeTimeRange(range.raw, TIME_ZONE)}
        </ToolbarButton>
      </div>
      <div className={style.controls}>
        {shown.map((variable) => (
          <VariableBox key={variable.name} variable={variable} />
        ))}
        <div className={style.spring} />
        {(dashboard.links ?? []).map((link) => (
          <ToolbarButton key={link.title} icon="apps" variant="canvas">
            {link.title}
          </ToolbarButton>
        ))}
      </div>
      <div className={style.grid} style={{ height: bottom(dashboard.panels) * (CELL + GAP) }}>
        {dashboard.panels.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const size = { width: w * unit - GAP, height: h * (CELL + GAP) - GAP };
          return (
            <div
              key={panel.id}
              className={style.cell}
              style={{ left: x * unit, top: y * (CELL + GAP), ...size }}
            >
              {panel.type === "row" ? (
                <RowHeader panel={panel} title={interpolate(panel.title, source.variables)} />
              ) : (
                <PanelView {...{ panel, range, marks, source, report, ...size }} />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
