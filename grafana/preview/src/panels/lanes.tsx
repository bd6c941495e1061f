// A plot of lanes over time, in which a panel paints cells of its own: @grafana/ui exports the
// builders of plots, but neither the heat map nor the state timeline that Grafana makes with them.
import type { GrafanaTheme2, TimeRange } from "@grafana/data";
import { AxisPlacement, ScaleDirection, ScaleOrientation } from "@grafana/schema";
import { UPlotChart, UPlotConfigBuilder, useTheme2, VizLayout, type VizLayoutLegendProps } from "@grafana/ui";
import { type ReactElement, useMemo } from "react";
import type uPlot from "uplot";
import { type Mark, drawMarks } from "../annotations";
import { TIME_ZONE } from "../settings";

/** Paints one cell. from, to: milliseconds; lane: from 0 at the bottom; share: of its height. */
export type Paint = (from: number, to: number, lane: number, share: number, color: string) => void;

export interface Lanes {
  names: string[]; // lowest first
  edges: boolean; // a name belongs to its lane's upper edge, not to its middle
  paint: (cell: Paint) => void;
}

interface Props {
  lanes: Lanes;
  legend: ReactElement<VizLayoutLegendProps> | null;
  range: TimeRange;
  marks: Mark[];
  width: number;
  height: number;
  onDrawn: () => void;
}

const LABEL_HEIGHT = 18; // pixels

/** Every n-th name where all would touch each other. */
function ticks(lanes: Lanes, pixels: number): number[] {
  const most = Math.max(Math.floor(pixels / LABEL_HEIGHT), 1);
  const every = Math.ceil(lanes.names.length / most);
  return lanes.names.map((_, lane) => lane).filter((lane) => lane % every === 0);
}

function painter(plot: uPlot, gap: number): Paint {
  return (from, to, lane, share, color) => {
    const edge = (1 - share) / 2;
    const at = (value: number, scale: "x" | "y"): number =>
      Math.round(plot.valToPos(value, scale, true)); // else neighbours shine through
    const left = Math.max(at(from, "x"), plot.bbox.left);
    const right = Math.min(at(to, "x"), plot.bbox.left + plot.bbox.width);
    const top = at(lane + 1 - edge, "y");
    const bottom = at(lane + edge, "y");
    if (right > left) {
      plot.ctx.fillStyle = color;
      plot.ctx.fillRect(left, top, Math.max(right - left - gap, 1), Math.max(bottom - top - gap, 1));
    }
  };
}

function build(
  lanes: Lanes,
  range: TimeRange,
  theme: GrafanaTheme2,
  pixels: number,
): UPlotConfigBuilder {
  const builder = new UPlotConfigBuilder(TIME_ZONE);
  const shown = ticks(lanes, pixels);
  builder.addScale({
    scaleKey: "x",
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [range.from.valueOf(), range.to.valueOf()],
  });
  builder.addScale({
    scaleKey: "y",
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: () => [0, lanes.names.length],
  });
  builder.addAxis({
    scaleKey: "x",
    isTime: true,
    timeZone: TIME_ZONE,
    placement: AxisPlacement.Bottom,
    grid: { show: false },
    theme,
  });
  builder.addAxis({
    scaleKey: "y",
    placement: AxisPlacement.Left,
    splits: shown.map((lane) => lane + (lanes.edges ? 1 : 0.5)),
    values: shown.map((lane) => lanes.names[lane] ?? ""),
    grid: { show: false },
    ticks: { show: lanes.edges },
    theme,
  });
  builder.addSeries({ scaleKey: "y", pathBuilder: () => null, theme });
  builder.addHook("draw", (plot: uPlot) => {
    plot.ctx.save();
    lanes.paint(painter(plot, lanes.edges ? devicePixelRatio : 0));
    plot.ctx.restore();
  });
  return builder;
}

export function LanesPlot({ lanes, legend, range, marks, width, height, onDrawn }: Props) {
  const theme = useTheme2();
  const config = useMemo(() => {
    const builder = build(lanes, range, theme, height);
    drawMarks(builder, marks, theme);
    builder.addHook("draw", onDrawn);
    return builder;
  }, [lanes, range, theme, height, marks, onDrawn]);
  const data = useMemo(
    (): uPlot.AlignedData => [
      [range.from.valueOf(), range.to.valueOf()],
      [null, null],
    ],
    [range],
  );
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(plotWidth: number, plotHeight: number) => (
        <UPlotChart config={config} data={data} width={plotWidth} height={plotHeight} />
      )}
    </VizLayout>
  );
}
