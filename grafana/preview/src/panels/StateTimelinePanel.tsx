// One lane for each series, coloured by what its value means.
import { type DataFrame, type Field, FieldType, getFieldDisplayName } from "@grafana/data";
import { LegendDisplayMode, type VizLegendOptions } from "@grafana/schema";
import { VizLayout, VizLegend } from "@grafana/ui";
import { useMemo } from "react";
import type { Drawing } from "./kind";
import { type Lanes, LanesPlot } from "./lanes";

interface Lane {
  name: string;
  field: Field;
  moments: number[];
  step: number; // what one sample stands for, milliseconds
}

function lanesOf(data: DataFrame[]): Lane[] {
  return data.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    return frame.fields
      .filter((field) => field.type === FieldType.number)
      .map((field) => ({
        name: getFieldDisplayName(field, frame, data),
        field,
        moments: (time?.values ?? []) as number[],
        step: time?.config.interval ?? 0,
      }));
  });
}

interface Span {
  from: number;
  to: number;
  value: number;
}

/** Neighbours of the same value as one. */
function spans(values: number[], moments: number[], step: number): Span[] {
  const found: Span[] = [];
  moments.forEach((at, index) => {
    const value = values[index]!;
    const last = found.at(-1);
    if (last && last.value === value && at <= last.to) {
      last.to = at + step;
    } else {
      found.push({ from: at, to: at + step, value });
    }
  });
  return found;
}

function painted(data: DataFrame[], share: number): Lanes {
  const lanes = lanesOf(data).reverse(); // the first stands on top
  return {
    names: lanes.map(({ name }) => name),
    edges: false,
    paint: (cell) => {
      lanes.forEach(({ field, moments, step }, lane) => {
        for (const { from, to, value } of spans(field.values, moments, step)) {
          const color = field.display?.(value).color;
          if (color && Number.isFinite(value)) {
            cell(from, to, lane, share, color);
          }
        }
      });
    },
  };
}

/** The states that occur, each with its word and colour. */
function states(data: DataFrame[]): { label: string; color: string }[] {
  const found = new Map<string, string>();
  for (const { field } of lanesOf(data)) {
    for (const value of new Set(field.values)) {
      const shown = field.display?.(value);
      if (shown?.color) {
        found.set(shown.text, shown.color);
      }
    }
  }
  return [...found].map(([label, color]) => ({ label, color }));
}

export function StateTimelinePanel(drawing: Drawing) {
  const { data, options, range, marks, width, height, onDrawn } = drawing;
  const share = (options.rowHeight as number | undefined) ?? 0.9;
  const lanes = useMemo(() => painted(data, share), [data, share]);
  const wanted = options.legend as VizLegendOptions | undefined;
  const legend = wanted?.showLegend ? (
    <VizLayout.Legend placement="bottom">
      <VizLegend
        placement="bottom"
        displayMode={LegendDisplayMode.List}
        items={states(data).map((state) => ({ ...state, yAxis: 1 }))}
        readonly
      />
    </VizLayout.Legend>
  ) : null;
  return <LanesPlot {...{ lanes, legend, range, marks, width, height, onDrawn }} />;
}
