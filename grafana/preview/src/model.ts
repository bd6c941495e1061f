// What of a dashboard's v1 JSON this page reads.
import type { DataTransformerConfig, FieldConfigSource } from "@grafana/data";

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  interval?: string;
  hide?: boolean;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
  options?: Record<string, unknown>;
  fieldConfig?: FieldConfigSource;
  transformations?: DataTransformerConfig[];
  interval?: string;
  maxDataPoints?: number;
  timeFrom?: string;
  collapsed?: boolean; // of a row
  panels?: Panel[]; // of a collapsed row
}

export interface Annotation {
  name: string;
  enable?: boolean;
  iconColor?: string;
  expr?: string; // Prometheus's; the built-in one has none
  step?: string;
  titleFormat?: string;
}

export interface Variable {
  name: string;
  label?: string;
  type: string;
  hide?: number;
  includeAll?: boolean;
  allValue?: string;
  current?: { text?: string | string[]; value?: string | string[] };
}

export interface Dashboard {
  title: string;
  panels: Panel[];
  links?: { title: string }[];
  templating?: { list?: Variable[] };
  annotations?: { list?: Annotation[] };
  time?: { from: string; to: string };
}

/** The panels that are seen: a collapsed row keeps its own to itself. */
export function drawable(dashboard: Dashboard): Panel[] {
  return dashboard.panels.filter((panel) => panel.type !== "row");
}
