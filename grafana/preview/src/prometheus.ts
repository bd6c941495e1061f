// Asks Prometheus, and says plainly what it answered when it did not answer with data.
export type Labels = Record<string, string>;
export type Sample = [seconds: number, value: string];

export interface Series {
  metric: Labels;
  values: Sample[];
}

interface Answer {
  status: string;
  error?: string;
  data?: {
    resultType: string;
    result: { metric: Labels; values?: Sample[]; value?: Sample }[] | Sample;
  };
}

async function ask(base: string, path: string, form: Record<string, string>): Promise<Series[]> {
  let response: Response;
  try {
    response = await fetch(`${base}/api/v1/${path}`, {
      method: "POST",
      body: new URLSearchParams(form),
    });
  } catch (error) {
    throw new Error(`${base} does not answer`, { cause: error });
  }
  const answer = (await response.json()) as Answer;
  if (answer.status !== "success" || !answer.data) {
    throw new Error(answer.error ?? `status ${response.status}`);
  }
  const { resultType, result } = answer.data;
  if (resultType === "scalar" || resultType === "string") {
    return [{ metric: {}, values: [result as Sample] }];
  }
  return (result as { metric: Labels; values?: Sample[]; value?: Sample }[]).map((series) => ({
    metric: series.metric,
    values: series.values ?? (series.value ? [series.value] : []),
  }));
}

/** The value at one moment, seconds since the epoch. */
export function instant(base: string, query: string, time: number): Promise<Series[]> {
  return ask(base, "query", { query, time: `${time}` });
}

/** The values from `start` to `end`, aligned to the step as Grafana does. */
export function range(
  base: string,
  query: string,
  start: number,
  end: number,
  step: number,
): Promise<Series[]> {
  return ask(base, "query_range", {
    query,
    start: `${Math.floor(start / step) * step}`,
    end: `${Math.floor(end / step) * step}`,
    step: `${step}`,
  });
}
