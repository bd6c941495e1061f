// Numbers and bars: one for each value that the panel's queries reduce to.
import {
  type DisplayValueAlignmentFactors,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type ReduceDataOptions,
  VizOrientation,
} from "@grafana/data";
import type {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeValueMode,
  VizTextDisplayOptions,
} from "@grafana/schema";
import {
  BarGauge,
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  useTheme2,
  VizRepeater,
  type VizRepeaterRenderValueProps,
} from "@grafana/ui";
import { type ReactElement, useEffect } from "react";
import { TIME_ZONE } from "../settings";
import type { Drawing } from "./kind";

type Shown = VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>;

interface Repeated {
  drawing: Drawing;
  sparkline: boolean;
  orientation: VizOrientation;
  autoGrid?: boolean;
  draw: (shown: Shown) => ReactElement;
}

function Repeat({ drawing, sparkline, orientation, autoGrid, draw }: Repeated) {
  const { data, fieldConfig, options, width, height, onDrawn } = drawing;
  const theme = useTheme2();
  useEffect(onDrawn, [onDrawn]);
  const values = (): FieldDisplay[] =>
    getFieldDisplayValues({
      data,
      fieldConfig,
      reduceOptions: options.reduceOptions as ReduceDataOptions,
      replaceVariables: (text) => text,
      theme,
      sparkline,
      timeZone: TIME_ZONE,
    });
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={draw}
      width={width}
      height={height}
      source={data}
      renderCounter={0}
      autoGrid={autoGrid}
      orientation={orientation}
      itemSpacing={autoGrid ? 3 : 8}
    />
  );
}

function orientationOf(options: Drawing["options"]): VizOrientation {
  return (options.orientation as VizOrientation | undefined) ?? VizOrientation.Auto;
}

/** Large numbers. */
export function StatPanel(drawing: Drawing) {
  const { options } = drawing;
  const theme = useTheme2();
  const graphMode = (options.graphMode as BigValueGraphMode | undefined) ?? BigValueGraphMode.None;
  return (
    <Repeat
      drawing={drawing}
      sparkline={graphMode !== BigValueGraphMode.None}
      orientation={orientationOf(options)}
      autoGrid
      draw={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          theme={theme}
          value={value.display}
          text={options.text as VizTextDisplayOptions | undefined}
          sparkline={value.sparkline}
          width={width}
          height={height}
          alignmentFactors={alignmentFactors}
          count={count}
          colorMode={(options.colorMode as BigValueColorMode) ?? BigValueColorMode.Value}
          graphMode={graphMode}
          justifyMode={(options.justifyMode as BigValueJustifyMode) ?? BigValueJustifyMode.Auto}
          textMode={(options.textMode as BigValueTextMode) ?? BigValueTextMode.Auto}
          disableWideLayout={options.wideLayout === false}
        />
      )}
    />
  );
}

/** Bars. */
export function BarGaugePanel(drawing: Drawing) {
  const { options } = drawing;
  const theme = useTheme2();
  return (
    <Repeat
      drawing={drawing}
      sparkline={false}
      orientation={orientationOf(options)}
      draw={({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          theme={theme}
          value={value.display}
          text={options.text as VizTextDisplayOptions | undefined}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          width={width}
          height={height}
          orientation={orientation}
          alignmentFactors={alignmentFactors}
          itemSpacing={8}
          lcdCellWidth={12}
          displayMode={options.displayMode as BarGaugeDisplayMode}
          valueDisplayMode={options.valueMode as BarGaugeValueMode}
          namePlacement={options.namePlacement as BarGaugeNamePlacement}
          showUnfilled={options.showUnfilled as boolean}
        />
      )}
    />
  );
}
