// One panel: its frame, its data, its drawing, or what keeps it from drawing.
import { css } from "@emotion/css";
import {
  type DataFrame,
  type FieldConfigSource,
  FieldType,
  type GrafanaTheme2,
  type TimeRange,
} from "@grafana/data";
import { Icon, PanelChrome, useStyles2, useTheme2 } from "@grafana/ui";
import { type ComponentType, useCallback, useEffect, useState } from "react";
import type { Mark } from "./annotations";
import { load, panelRange, type Source } from "./data";
import type { Panel } from "./model";
import { configured } from "./overrides";
import { BarGaugePanel, StatPanel } from "./panels/SingleValues";
import { HeatmapPanel } from "./panels/HeatmapPanel";
import type { Drawing } from "./panels/kind";
import { StateTimelinePanel } from "./panels/StateTimelinePanel";
import { TablePanel } from "./panels/TablePanel";
import { TimeSeriesPanel } from "./panels/TimeSeriesPanel";
import type { Report } from "./report";
import { interpolate } from "./variables";

const KINDS: Record<string, ComponentType<Drawing>> = {
  bargauge: BarGaugePanel,
  heatmap: HeatmapPanel,
  stat: StatPanel,
  "state-timeline": StateTimelinePanel,
  table: TablePanel,
  timeseries: TimeSeriesPanel,
};

interface Props {
  panel: Panel;
  range: TimeRange;
  marks: Mark[];
  source: Source;
  report: Report;
  width: number;
  height: number;
}

interface Loaded {
  data: DataFrame[];
  fieldConfig: FieldConfigSource;
}

const styles = (theme: GrafanaTheme2) => ({
  centre: css({
    display: "grid",
    placeItems: "center",
    height: "100%",
    color: theme.colors.text.secondary,
  }),
  error: css({ color: theme.colors.error.text, padding: theme.spacing(1), overflow: "hidden" }),
});

function isEmpty(data: DataFrame[]): boolean {
  return !data.some((frame) => frame.length > 0);
}

/** Series there are, but no value of theirs can be drawn. */
function isHollow(data: DataFrame[]): boolean {
  const numbers = data.flatMap((frame) =>
    frame.fields.filter((field) => field.type === FieldType.number),
  );
  return !numbers.some((field) => field.values.some((value) => Number.isFinite(value)));
}

/** Only while an alert fires is there a series of it: to have none is the good answer. */
function mayBeEmpty(panel: Panel): boolean {
  return (panel.targets ?? []).every((target) => /\bALERTS\b/.test(target.expr));
}

async function prepare(props: Props, pixels: number, theme: GrafanaTheme2): Promise<Loaded> {
  const { panel, range, source } = props;
  const data = await load(panel, panelRange(panel, range), pixels, source);
  return configured(panel.type, data, panel.fieldConfig, theme);
}

/** What a panel says in the place of a drawing. */
function Words({ says, failed, onDrawn }: { says: string; failed: boolean; onDrawn: () => void }) {
  const style = useStyles2(styles);
  useEffect(onDrawn, [onDrawn]);
  return <div className={failed ? style.error : style.centre}>{says}</div>;
}

function Body(props: Props) {
  const { panel, range, report, marks, width, height } = props;
  const theme = useTheme2();
  const [loaded, setLoaded] = useState<Loaded>();
  const [failure, setFailure] = useState<string>();
  const Kind = KINDS[panel.type];
  const onDrawn = useCallback(() => report.drawn(panel.id), [report, panel.id]);

  useEffect(() => {
    const failed = (error: unknown): void => {
      const says = error instanceof Error ? error.message : String(error);
      report.trouble(panel.title, says);
      setFailure(says);
    };
    if (!Kind) {
      failed(new Error(`this page draws no panel of type ${panel.type}`));
      return;
    }
    prepare(props, width, theme).then((ready) => {
      if (isHollow(ready.data) && !mayBeEmpty(panel)) {
        report.trouble(panel.title, isEmpty(ready.data) ? "no data" : "no number among its data");
      }
      setLoaded(ready);
    }, failed);
  }, []);

  if (failure) {
    return <Words says={failure} failed onDrawn={onDrawn} />;
  }
  if (!loaded || !Kind) {
    return null;
  }
  if (isEmpty(loaded.data)) {
    const says = loaded.fieldConfig.defaults.noValue ?? "No data";
    return <Words says={says} failed={false} onDrawn={onDrawn} />;
  }
  return (
    <Kind
      data={loaded.data}
      fieldConfig={loaded.fieldConfig}
      options={panel.options ?? {}}
      range={panelRange(panel, range)}
      marks={marks}
      width={width}
      height={height}
      onDrawn={onDrawn}
    />
  );
}

export function PanelView(props: Props) {
  const { panel, source, width, height } = props;
  return (
    <PanelChrome
      title={interpolate(panel.title, source.variables)}
      description={panel.description}
      titleItems={panel.timeFrom && <TimeShift since={panel.timeFrom} />}
      padding={panel.type === "table" ? "none" : "md"}
      width={width}
      height={height}
    >
      {(innerWidth, innerHeight) => <Body {...props} width={innerWidth} height={innerHeight} />}
    </PanelChrome>
  );
}

/** A panel that looks back further than its dashboard says so. */
function TimeShift({ since }: { since: string }) {
  return (
    <PanelChrome.TitleItem>
      <Icon name="clock-nine" size="sm" /> Last {since}
    </PanelChrome.TitleItem>
  );
}
