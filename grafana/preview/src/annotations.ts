// Deploys and firing alerts: asked of Prometheus, drawn as lines and shades on time series.
import type { GrafanaTheme2, TimeRange } from "@grafana/data";
import type { UPlotConfigBuilder } from "@grafana/ui";
import { rangeUtil } from "@grafana/data";
import type uPlot from "uplot";
import { legend } from "./frames";
import type { Annotation, Dashboard } from "./model";
import { range as over, type Series } from "./prometheus";
import type { Source } from "./data";
import { interpolate, step } from "./variables";

export interface Mark {
  from: number; // milliseconds
  to: number;
  color: string;
  text: string;
}

const LEAST_STEP = "60s"; // Grafana's, where an annotation names none

/** Runs of samples that are not zero, each with where it began and ended. */
function runs(series: Series, seconds: number): [number, number][] {
  const found: [number, number][] = [];
  for (const [at, value] of series.values) {
    const last = found.at(-1);
    if (Number(value) > 0) {
      if (last && at - last[1] <= seconds) {
        last[1] = at;
      } else {
        found.push([at, at]);
      }
    }
  }
  return found;
}

async function ask(annotation: Annotation, range: TimeRange, source: Source): Promise<Mark[]> {
  const least = annotation.step || LEAST_STEP;
  const taken = step(range, 1000, least);
  const seconds = Math.max(taken.seconds, rangeUtil.intervalToSeconds(least));
  const query = interpolate(annotation.expr ?? "", { ...source.variables, ...taken.values });
  const [start, end] = [range.from.valueOf() / 1000, range.to.valueOf() / 1000];
  const answer = await over(source.prometheus, query, start, end, seconds);
  return answer.flatMap((series) =>
    runs(series, seconds).map(([from, to]) => ({
      from: from * 1000,
      to: to * 1000,
      color: annotation.iconColor ?? "blue",
      text: legend(annotation.titleFormat ?? annotation.name, series.metric),
    })),
  );
}

export async function marks(
  dashboard: Dashboard,
  range: TimeRange,
  source: Source,
): Promise<Mark[]> {
  const wanted = (dashboard.annotations?.list ?? []).filter(
    (annotation) => annotation.enable !== false && annotation.expr,
  );
  const asked = await Promise.all(wanted.map((annotation) => ask(annotation, range, source)));
  return asked.flat();
}

/** Draws them behind nothing and above the lines: dashed at both ends, shaded between. */
export function drawMarks(builder: UPlotConfigBuilder, all: Mark[], theme: GrafanaTheme2): void {
  builder.addHook("draw", (plot: uPlot) => {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const bottom = bbox.top + bbox.height;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + 6 * ratio);
    ctx.clip();
    for (const mark of all) {
      const color = theme.visualization.getColorByName(mark.color);
      const [left, right] = [plot.valToPos(mark.from, "x", true), plot.valToPos(mark.to, "x", true)];
      ctx.fillStyle = color;
      ctx.strokeStyle = color;
      ctx.lineWidth = 2 * ratio;
      ctx.setLineDash([5 * ratio, 5 * ratio]);
      for (const x of left === right ? [left] : [left, right]) {
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bottom);
        ctx.stroke();
      }
      ctx.globalAlpha = 0.1;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.globalAlpha = 1;
      foot(ctx, left, right, bottom, 5 * ratio);
    }
    ctx.restore();
  });
}

/** A moment stands on a triangle, a region on a bar. */
function foot(
  ctx: CanvasRenderingContext2D,
  left: number,
  right: number,
  bottom: number,
  size: number,
): void {
  if (right > left) {
    ctx.fillRect(left, bottom, right - left, size);
    return;
  }
  ctx.beginPath();
  ctx.moveTo(left, bottom);
  ctx.lineTo(left - size, bottom + size);
  ctx.lineTo(left + size, bottom + size);
  ctx.fill();
}
