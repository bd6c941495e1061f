// Keeps count of what has drawn, and says when all has: the picture is taken on that event.
import type { Panel } from "./model";

export interface Trouble {
  panel: string;
  says: string;
}

declare global {
  interface Window {
    drawn?: { troubles: Trouble[] };
    undrawn?: string[]; // panels that are waited for
  }
}

export class Report {
  private readonly waiting: Map<number, string>;
  private readonly troubles: Trouble[] = [];

  constructor(panels: Panel[]) {
    this.waiting = new Map(panels.map(({ id, title }) => [id, title]));
    window.undrawn = [...this.waiting.values()];
  }

  trouble(panel: string, says: string): void {
    this.troubles.push({ panel, says });
  }

  /** Call as often as a panel draws: the last one to draw for the first time ends the wait. */
  drawn(panel: number): void {
    if (this.waiting.delete(panel)) {
      window.undrawn = [...this.waiting.values()];
      if (this.waiting.size === 0) {
        void this.announce();
      }
    }
  }

  private async announce(): Promise<void> {
    await document.fonts.ready;
    // The second frame begins when the first, with the last panel in it, has been painted.
    requestAnimationFrame(() => requestAnimationFrame(() => finish(this.troubles)));
  }
}

/** Nothing more will be drawn. */
export function finish(troubles: Trouble[]): void {
  window.drawn = { troubles };
  window.dispatchEvent(new Event("drawn"));
}
