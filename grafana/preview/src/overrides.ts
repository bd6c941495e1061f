// Applies a panel's field configuration with Grafana's own machinery.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  type DataFrame,
  type Field,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  type GrafanaTheme2,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from "@grafana/data";
import { TIME_ZONE } from "./settings";

type Process = FieldConfigPropertyItem["process"];

const STANDARD: Record<string, Process> = {
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  noValue: stringOverrideProcessor,
  color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
};

// What Grafana's panels take for granted where the JSON says nothing.
const CUSTOM: Record<string, Record<string, unknown>> = {
  timeseries: {
    drawStyle: "line",
    lineInterpolation: "linear",
    lineWidth: 1,
    fillOpacity: 0,
    gradientMode: "none",
    showPoints: "auto",
    pointSize: 5,
    spanNulls: false,
    axisPlacement: "auto",
  },
  table: { align: "auto", cellOptions: { type: "auto" } },
};

const nothing = (): null => null;

function item(path: string, process: Process, isCustom: boolean): FieldConfigPropertyItem {
  return {
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    process,
    shouldApply: (field: Field) => isCustom || path === "color" || field.type !== "time",
    editor: nothing,
    override: nothing,
  };
}

/** The options that this configuration names, each known by its path. */
function registry(source: FieldConfigSource): FieldConfigOptionsRegistry {
  const named = source.overrides
    .flatMap((rule) => rule.properties)
    .filter((property) => property.id.startsWith("custom."))
    .map((property) => property.id.slice("custom.".length));
  const custom = new Set([...Object.keys(source.defaults.custom ?? {}), ...named]);
  return new FieldConfigOptionsRegistry(() => [
    ...Object.entries(STANDARD).map(([path, process]) => item(path, process, false)),
    ...[...custom].map((path) => item(path, identityOverrideProcessor, true)),
  ]);
}

/** The configuration with what the panel's kind takes for granted. */
function completed(type: string, given?: FieldConfigSource): FieldConfigSource {
  const defaults = given?.defaults ?? {};
  return {
    defaults: { ...defaults, custom: { ...CUSTOM[type], ...defaults.custom } },
    overrides: given?.overrides ?? [],
  };
}

export function configured(
  type: string,
  data: DataFrame[],
  given: FieldConfigSource | undefined,
  theme: GrafanaTheme2,
): { data: DataFrame[]; fieldConfig: FieldConfigSource } {
  const fieldConfig = completed(type, given);
  const applied = applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: TIME_ZONE,
  });
  cacheFieldDisplayNames(applied);
  return { fieldConfig, data: applied };
}
