// Shows where the milliseconds of a prediction went: one stacked bar, its legend and the total.

import { byId, element, milliseconds } from "./dom.js";

/** stages: [{ name, milliseconds }] in order; roundTrip: what the browser measured, or null. */
export function showTimings(stages, roundTrip) {
  byId("timings").hidden = stages.length === 0;
  const total = stages.reduce((sum, stage) => sum + stage.milliseconds, 0);
  const colour = (index) => `--colour: var(--stage-${index % 6})`;
  const parts = stages.map((stage, index) =>
    element("i", { style: `${colour(index)}; --part: ${stage.milliseconds / (total || 1)}` }),
  );
  const entries = stages.map((stage, index) =>
    element(
      "div",
      {},
      element("dt", { style: colour(index) }, stage.name),
      element("dd", {}, milliseconds(stage.milliseconds)),
    ),
  );
  byId("stack").replaceChildren(...parts);
  byId("legend").replaceChildren(...entries);
  byId("total").replaceChildren(
    element("strong", {}, milliseconds(total)),
    ` in the server${roundTrip === null ? "" : `, ${milliseconds(roundTrip)} round trip`}`,
  );
}
