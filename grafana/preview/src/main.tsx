// Draws the dashboard that the address names, with the data of the Prometheus that it names.
import "@fontsource/inter/400.css";
import "@fontsource/inter/500.css";
import { createTheme, ThemeContext } from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import { GlobalStyles, PortalContainer } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import { marks } from "./annotations";
import { DashboardView } from "./DashboardView";
import { registerTransformers, type Source } from "./data";
import { type Dashboard, drawable } from "./model";
import { finish, Report } from "./report";
import { readSettings, timeRange } from "./settings";
import { chosen } from "./variables";

async function show(): Promise<void> {
  const settings = readSettings(location.search);
  await initPluginTranslations("grafana-ui");
  registerTransformers();
  // A canvas does not draw its text again when the font has come.
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  const dashboard = (await (await fetch(settings.dashboard)).json()) as Dashboard;
  const range = timeRange(settings, dashboard);
  const source: Source = {
    prometheus: settings.prometheus,
    scrape: settings.scrape,
    variables: chosen(dashboard),
  };
  const report = new Report(drawable(dashboard));
  const props = { dashboard, range, source, report, marks: await marks(dashboard, range, source) };
  createRoot(document.querySelector("#root")!).render(
    <ThemeContext.Provider value={createTheme({ colors: { mode: "dark" } })}>
      <GlobalStyles />
      <DashboardView {...props} />
      <PortalContainer />
    </ThemeContext.Provider>,
  );
}

show().catch((error: unknown) => {
  const says = error instanceof Error ? error.message : String(error);
  document.body.textContent = says;
  finish([{ panel: "the page", says }]);
});
