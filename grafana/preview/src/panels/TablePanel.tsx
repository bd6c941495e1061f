// A table of one frame.
import type { TableCellHeight } from "@grafana/schema";
import type { TableSortByFieldState } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import { useEffect } from "react";
import type { Drawing } from "./kind";

export function TablePanel(drawing: Drawing) {
  const { data, fieldConfig, options, range, width, height, onDrawn } = drawing;
  useEffect(onDrawn, [onDrawn]);
  const [frame] = data;
  if (!frame) {
    return null;
  }
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      fieldConfig={fieldConfig}
      timeRange={range}
      noHeader={options.showHeader === false}
      cellHeight={options.cellHeight as TableCellHeight}
      sortBy={options.sortBy as TableSortByFieldState[] | undefined}
      enableVirtualization={false}
    />
  );
}
