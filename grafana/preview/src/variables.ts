// Puts values into a text's variables: the dashboard's own, and those of the time and the step.
import { rangeUtil, type TimeRange } from "@grafana/data";
import type { Dashboard, Panel, Target, Variable } from "./model";

export type Values = Record<string, string>;

const NAMED = /\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]/g;

export interface Step {
  seconds: number;
  values: Values;
}

/** A text with the values put in; what is unknown stays as it is, so that it is seen. */
export function interpolate(text: string, values: Values): string {
  return text.replace(NAMED, (whole, bare, braced, old) => values[bare ?? braced ?? old] ?? whole);
}

function regex(variable: Variable): string {
  const chosen = [variable.current?.value ?? []].flat();
  if (variable.includeAll && (chosen.length === 0 || chosen.includes("$__all"))) {
    return variable.allValue ?? ".*";
  }
  return chosen.join("|");
}

/** What the dashboard's variables stand for in a query. */
export function chosen(dashboard: Dashboard): Values {
  const list = dashboard.templating?.list ?? [];
  return Object.fromEntries(list.map((variable) => [variable.name, regex(variable)]));
}

/** The step that Grafana would take for a panel of this width, and the variables made of it. */
export function step(
  range: TimeRange,
  pixels: number,
  scrape: string,
  panel?: Panel,
  target?: Target,
): Step {
  const least = target?.interval ?? panel?.interval ?? scrape;
  const points = panel?.maxDataPoints ?? Math.max(Math.floor(pixels), 1);
  const { intervalMs } = rangeUtil.calculateInterval(range, points, least);
  const seconds = Math.max(intervalMs / 1000, rangeUtil.intervalToSeconds(least));
  const scrapes = rangeUtil.intervalToSeconds(scrape);
  const length = Math.round((range.to.valueOf() - range.from.valueOf()) / 1000);
  return {
    seconds,
    values: {
      __interval: `${seconds}s`,
      __interval_ms: `${seconds * 1000}`,
      __rate_interval: `${Math.max(4 * scrapes, seconds + scrapes)}s`,
      __range: `${length}s`,
      __range_s: `${length}`,
      __range_ms: `${length * 1000}`,
    },
  };
}
