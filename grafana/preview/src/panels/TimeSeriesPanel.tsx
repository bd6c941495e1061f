// Lines, bars and stacks over time.
import { type DataFrame, FieldType } from "@grafana/data";
import type { VizLegendOptions } from "@grafana/schema";
import { TimeSeries, type UPlotConfigBuilder, useTheme2 } from "@grafana/ui";
import { useMemo } from "react";
import { drawMarks } from "../annotations";
import { TIME_ZONE } from "../settings";
import type { Drawing } from "./kind";

/** Without NaN and infinities, for which a plot finds no scale: gaps, as in Grafana. */
function plottable(data: DataFrame[]): DataFrame[] {
  return data.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) =>
      field.type === FieldType.number
        ? { ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) }
        : field,
    ),
  }));
}

export function TimeSeriesPanel(drawing: Drawing) {
  const { data, options, range, marks, width, height, onDrawn } = drawing;
  const theme = useTheme2();
  const frames = useMemo(() => plottable(data), [data]);
  const renderers = useMemo(
    () => [
      {
        fieldMap: {},
        indicesOnly: [],
        init: (builder: UPlotConfigBuilder) => {
          drawMarks(builder, marks, theme);
          builder.addHook("draw", onDrawn);
        },
      },
    ],
    [marks, theme, onDrawn],
  );
  return (
    <TimeSeries
      frames={frames}
      timeRange={range}
      timeZone={TIME_ZONE}
      width={width}
      height={height}
      legend={options.legend as VizLegendOptions}
      renderers={renderers}
      options={options}
    />
  );
}
