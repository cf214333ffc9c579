/**
 * How far each site has been shown, over all links of this client, so that a change of path never shows an older
 * state (`common/appsession/client.py`, `Positions`). Pure.
 */

export interface Place {
  readonly epoch: string;
  readonly seq: number;
}

/** The counter of an epoch's name, `<counter>-<random>` (design §4). */
function counter(epoch: string): number | null {
  const found = /^(\d{1,15})-/.exec(epoch);
  return found ? Number(found[1]) : null;
}

export class Positions {
  private readonly at = new Map<string, Place>();
  private readonly fromBox = new Set<string>();
  /** Sites of which this page has the whole by the rights of now. */
  private readonly told = new Set<string>();

  /** Whether a fact follows what was shown; if so it is the new position. */
  admitsFact(site: string, place: Place): boolean {
    const known = this.at.get(site);
    if (!known || known.epoch !== place.epoch || place.seq <= known.seq) return false;
    this.at.set(site, place);
    return true;
  }

  /** Whether a snapshot is not older than what was shown; if so it is the new position. */
  admitsSnapshot(site: string, place: Place, fromBox: boolean): boolean {
    const known = this.at.get(site);
    if (known) {
      const older =
        known.epoch === place.epoch ? place.seq < known.seq : this.superseded(site, place, known.epoch, fromBox);
      if (older) return false;
    }
    this.at.set(site, place);
    this.told.add(site);
    if (fromBox) this.fromBox.add(site);
    else this.fromBox.delete(site);
    return true;
  }

  private superseded(site: string, place: Place, epoch: string, fromBox: boolean): boolean {
    const shown = counter(epoch);
    const offered = counter(place.epoch);
    if (shown !== null && offered !== null && shown !== offered) return offered < shown;
    return !fromBox && this.fromBox.has(site);
  }

  /**
   * Whether a box that says this of itself has lost what was shown. It tells what is on its disk, so it cannot merely be
   * behind: its card was put back, maybe to an earlier epoch that its cloud has lost the later one of, too.
   */
  hasLost(site: string, place: Place): boolean {
    const known = this.at.get(site);
    if (!known) return false;
    if (known.epoch === place.epoch) return place.seq < known.seq;
    const shown = counter(known.epoch);
    const offered = counter(place.epoch);
    return shown !== null && offered !== null && offered < shown;
  }

  /** What was shown before this page was opened: nothing older is shown after it. */
  seed(site: string, place: Place, fromBox: boolean): void {
    this.at.set(site, place);
    if (fromBox) this.fromBox.add(site);
  }

  /** Where to follow from, so that only what is missing is sent; undefined = the whole is wanted. */
  since(site: string): Place | undefined {
    return this.told.has(site) ? this.at.get(site) : undefined;
  }

  /** The whole is wanted next, for rights may have changed; nothing older is shown meanwhile. */
  whole(site: string): void {
    this.told.delete(site);
  }

  /** Begin anew with this site: whatever is said next is news. */
  forget(site: string): void {
    this.at.delete(site);
    this.fromBox.delete(site);
    this.told.delete(site);
  }
}
