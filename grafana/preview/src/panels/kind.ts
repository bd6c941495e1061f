// What every drawing of a panel is given.
import type { DataFrame, FieldConfigSource, TimeRange } from "@grafana/data";
import type { Mark } from "../annotations";

export interface Drawing {
  data: DataFrame[];
  fieldConfig: FieldConfigSource;
  options: Record<string, unknown>;
  range: TimeRange;
  marks: Mark[];
  width: number;
  height: number;
  onDrawn: () => void;
}
