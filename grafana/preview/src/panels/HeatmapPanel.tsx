// A histogram's buckets over time.
import { css } from "@emotion/css";
import {
  type Field,
  FieldType,
  formattedValueToString,
  getValueFormat,
  type GrafanaTheme2,
} from "@grafana/data";
import { useStyles2, VizLayout } from "@grafana/ui";
import * as chromatic from "d3-scale-chromatic";
import { useMemo } from "react";
import type { Drawing } from "./kind";
import { type Lanes, LanesPlot } from "./lanes";

interface Options {
  color: { scheme: string; exponent?: number; scale?: string; steps: number; reverse?: boolean };
  filterValues?: { le?: number };
  yAxis: { unit?: string; decimals?: number };
  legend?: { show?: boolean };
}

type Scheme = (share: number) => string;

function scheme(name: string): Scheme {
  const found = (chromatic as unknown as Record<string, Scheme>)[`interpolate${name}`];
  if (!found) {
    throw new Error(`there is no colour scheme ${name}`);
  }
  return found;
}

/** Colour of a share of the largest count, in as many steps as are asked for. */
function shader({ color }: Options): Scheme {
  const interpolated = scheme(color.scheme);
  const exponent = color.scale === "linear" ? 1 : (color.exponent ?? 0.5);
  return (share) => {
    const stepped = Math.round(share ** exponent * (color.steps - 1)) / (color.steps - 1);
    return interpolated(color.reverse ? 1 - stepped : stepped);
  };
}

function counts(field: Field): (number | null)[] {
  return field.values as (number | null)[];
}

interface Cells {
  lanes: Lanes;
  most: number;
}

function cells(drawing: Drawing, options: Options): Cells {
  const fields = drawing.data[0]?.fields ?? [];
  const time = fields.find((field) => field.type === FieldType.time);
  const moments = (time?.values ?? []) as number[];
  const step = time?.config.interval ?? 0;
  const rows = fields.filter((field) => field.type === FieldType.number);
  const least = options.filterValues?.le ?? 0;
  const most = rows.flatMap(counts).reduce<number>((max, count) => Math.max(max, count ?? 0), 0);
  const format = getValueFormat(options.yAxis.unit);
  const color = shader(options);
  const name = (field: Field): string =>
    field.name === "+Inf"
      ? "+Inf"
      : formattedValueToString(format(Number(field.name), options.yAxis.decimals));
  return {
    most,
    lanes: {
      names: rows.map(name),
      edges: true,
      paint: (cell) => {
        rows.forEach((field, lane) => {
          counts(field).forEach((count, index) => {
            if (count !== null && count > least) {
              const at = moments[index]!;
              cell(at - step, at, lane, 1, color(count / most));
            }
          });
        });
      },
    },
  };
}

const styles = (theme: GrafanaTheme2) => ({
  scale: css({ display: "flex", alignItems: "center", gap: 8, padding: "2px 8px 0" }),
  bar: css({ width: 240, height: 8, borderRadius: theme.shape.radius.default }),
  text: css({ fontSize: theme.typography.bodySmall.fontSize }),
});

function ColorScale({ most, color }: { most: number; color: Scheme }) {
  const style = useStyles2(styles);
  const stops = Array.from({ length: 33 }, (_, index) => color(index / 32)).join(",");
  return (
    <div className={style.scale}>
      <span className={style.text}>0</span>
      <div className={style.bar} style={{ background: `linear-gradient(90deg, ${stops})` }} />
      <span className={style.text}>{Number(most.toPrecision(2))}</span>
    </div>
  );
}

export function HeatmapPanel(drawing: Drawing) {
  const options = drawing.options as unknown as Options;
  const { lanes, most } = useMemo(() => cells(drawing, options), [drawing.data, options]);
  const legend = options.legend?.show ? (
    <VizLayout.Legend placement="bottom">
      <ColorScale most={most} color={shader(options)} />
    </VizLayout.Legend>
  ) : null;
  const { range, marks, width, height, onDrawn } = drawing;
  return <LanesPlot {...{ lanes, legend, range, marks, width, height, onDrawn }} />;
}
