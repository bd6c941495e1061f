// From a panel to its data: its queries asked, its transformations applied.
import {
  type DataFrame,
  standardTransformers,
  standardTransformersRegistry,
  type TimeRange,
  rangeUtil,
  transformDataFrame,
  type TransformerRegistryItem,
} from "@grafana/data";
import { lastValueFrom } from "rxjs";
import { frames } from "./frames";
import type { Panel, Target } from "./model";
import { instant, range as over } from "./prometheus";
import { interpolate, step, type Values } from "./variables";

const nothing = (): null => null;

export function registerTransformers(): void {
  const { seriesToColumnsTransformer: _, ...transformers } = standardTransformers; // an old name
  standardTransformersRegistry.setInit(() =>
    Object.values(transformers).map(
      (transformer): TransformerRegistryItem => ({
        id: transformer.id,
        name: transformer.name,
        transformation: () => Promise.resolve(transformer),
        editor: nothing,
        imageDark: "",
        imageLight: "",
      }),
    ),
  );
}

/** A panel may look back further than its dashboard. */
export function panelRange(panel: Panel, range: TimeRange): TimeRange {
  return panel.timeFrom
    ? rangeUtil.convertRawToRange({ from: `now-${panel.timeFrom}`, to: "now" })
    : range;
}

export interface Source {
  prometheus: string;
  scrape: string;
  variables: Values;
}

export async function load(
  panel: Panel,
  range: TimeRange,
  pixels: number,
  source: Source,
): Promise<DataFrame[]> {
  const targets = (panel.targets ?? []).filter((target) => !target.hide);
  const start = range.from.valueOf() / 1000;
  const end = range.to.valueOf() / 1000;
  const ask = async (target: Target): Promise<DataFrame[]> => {
    const taken = step(range, pixels, source.scrape, panel, target);
    const query = interpolate(target.expr, { ...source.variables, ...taken.values });
    const several = targets.length > 1;
    if (target.instant) {
      return frames(target, await instant(source.prometheus, query, end), several);
    }
    const answer = await over(source.prometheus, query, start, end, taken.seconds);
    return frames(target, answer, several, taken.seconds * 1000);
  };
  const asked = (await Promise.all(targets.map(ask))).flat();
  const wanted = panel.transformations ?? [];
  for (const transformation of wanted) {
    standardTransformersRegistry.get(transformation.id); // throws where the library lacks it
  }
  const interpolated = (text: string): string => interpolate(text, source.variables);
  return lastValueFrom(transformDataFrame(wanted, asked, { interpolate: interpolated }));
}
