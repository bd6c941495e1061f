// What the address asks for: which dashboard, which Prometheus, which time.
import { rangeUtil, type TimeRange } from "@grafana/data";
import type { Dashboard } from "./model";

export interface Settings {
  dashboard: string; // address of its JSON
  prometheus: string; // base address
  scrape: string; // the data source's scrape interval
  from?: string;
  to?: string;
}

export const TIME_ZONE = "utc";

export function readSettings(search: string): Settings {
  const query = new URLSearchParams(search);
  const needed = (name: string): string => {
    const value = query.get(name);
    if (!value) {
      throw new Error(`the address lacks ?${name}=`);
    }
    return value;
  };
  return {
    dashboard: needed("dashboard"),
    prometheus: needed("prometheus").replace(/\/$/, ""),
    scrape: query.get("scrape") ?? "15s",
    from: query.get("from") ?? undefined,
    to: query.get("to") ?? undefined,
  };
}

/** The range that is asked for, else the dashboard's own. */
export function timeRange(settings: Settings, dashboard: Dashboard): TimeRange {
  return rangeUtil.convertRawToRange(
    {
      from: settings.from ?? dashboard.time?.from ?? "now-1h",
      to: settings.to ?? dashboard.time?.to ?? "now",
    },
    TIME_ZONE,
  );
}
