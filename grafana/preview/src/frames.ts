// Turns Prometheus's answers into the data frames that Grafana's Prometheus data source makes.
import { type DataFrame, type Field, FieldType } from "@grafana/data";
import type { Target } from "./model";
import type { Labels, Series } from "./prometheus";

const UNNAMED = ["__name__"];

function field(name: string, type: FieldType, values: unknown[], rest: Partial<Field> = {}): Field {
  return { name, type, values, config: {}, ...rest };
}

function frame(target: Target, fields: Field[]): DataFrame {
  return { refId: target.refId, fields, length: fields[0]?.values.length ?? 0 };
}

/** A series' name without a format of its own: `name{label="value"}`. */
function selector(labels: Labels): string {
  const inner = Object.entries(labels)
    .filter(([name]) => !UNNAMED.includes(name))
    .map(([name, value]) => `${name}="${value}"`);
  return `${labels.__name__ ?? ""}${inner.length > 0 ? `{${inner.join(", ")}}` : ""}`;
}

/** Puts labels into `{{label}}`. */
export function legend(format: string, labels: Labels): string {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name: string) => labels[name] ?? "");
}

function named(target: Target, labels: Labels, alone: boolean): string | undefined {
  const format = target.legendFormat ?? "__auto";
  if (format !== "__auto") {
    return legend(format, labels);
  }
  return alone ? selector(labels) || target.expr : undefined;
}

/** interval: milliseconds between samples; a longer pause is a gap. None in an instant's answer. */
function timeField(values: number[], interval?: number): Field {
  return field("Time", FieldType.time, values, { config: { interval } });
}

function times(series: Series): number[] {
  return series.values.map(([seconds]) => seconds * 1000);
}

function numbers(series: Series): number[] {
  return series.values.map(([, value]) =>
    value === "+Inf" ? Infinity : value === "-Inf" ? -Infinity : Number(value),
  );
}

/** One frame for each series: time and value. */
function lines(target: Target, answer: Series[], interval?: number): DataFrame[] {
  return answer.map((series) =>
    frame(target, [
      timeField(times(series), interval),
      field("Value", FieldType.number, numbers(series), {
        labels: series.metric,
        config: { displayNameFromDS: named(target, series.metric, answer.length === 1) },
      }),
    ]),
  );
}

/** One frame for all series: time, each label, value; a row for each sample. */
function table(target: Target, answer: Series[], several: boolean): DataFrame[] {
  if (answer.length === 0) {
    return [];
  }
  const names = [...new Set(answer.flatMap((series) => Object.keys(series.metric)))].sort();
  return [
    frame(target, [
      timeField(answer.flatMap(times)),
      ...names.map((name) =>
        field(
          name,
          FieldType.string,
          answer.flatMap((series) => series.values.map(() => series.metric[name] ?? "")),
          { config: { filterable: true } },
        ),
      ),
      field(
        several ? `Value #${target.refId}` : "Value",
        FieldType.number,
        answer.flatMap(numbers),
      ),
    ]),
  ];
}

function edge(series: Series): number {
  const le = series.metric.le ?? "";
  return le === "+Inf" ? Infinity : Number(le);
}

/** One frame: time, then the count of each bucket alone, lowest first. */
function buckets(target: Target, answer: Series[], interval?: number): DataFrame[] {
  const sorted = [...answer].sort((one, other) => edge(one) - edge(other));
  const moments = [...new Set(sorted.flatMap(times))].sort((one, other) => one - other);
  if (sorted.length === 0) {
    return [];
  }
  let below: (number | null)[] = moments.map(() => 0);
  const fields = sorted.map((series) => {
    const at = new Map(times(series).map((time, index) => [time, numbers(series)[index]]));
    const counted = moments.map((time) => at.get(time) ?? null);
    const alone = counted.map((count, index) =>
      count === null ? null : Math.max(count - (below[index] ?? 0), 0),
    );
    below = counted.map((count, index) => count ?? below[index] ?? 0);
    const name = series.metric.le ?? "";
    return field(name, FieldType.number, alone, { labels: series.metric });
  });
  return [frame(target, [timeField(moments, interval), ...fields])];
}

/** What a target's answer is as data frames. several: the panel has other targets too. */
export function frames(
  target: Target,
  answer: Series[],
  several: boolean,
  interval?: number,
): DataFrame[] {
  switch (target.format) {
    case "table":
      return table(target, answer, several);
    case "heatmap":
      return buckets(target, answer, interval);
    default:
      return lines(target, answer, interval);
  }
}
