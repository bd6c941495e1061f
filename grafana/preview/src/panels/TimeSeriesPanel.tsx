// Lines, bars and stacks over time.
import type { VizLegendOptions } from "@grafana/schema";
import { TimeSeries, type UPlotConfigBuilder, useTheme2 } from "@grafana/ui";
import { useMemo } from "react";
import { drawMarks } from "../annotations";
import { TIME_ZONE } from "../settings";
import type { Drawing } from "./kind";

export function TimeSeriesPanel(drawing: Drawing) {
  const { data, options, range, marks, width, height, onDrawn } = drawing;
  const theme = useTheme2();
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
      frames={data}
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
