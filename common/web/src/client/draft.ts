/**
 * A view on its way to the next one: what is written to is copied first, once, so that the old view stays as it was
 * and the new one shares the rest with it. Also: a view from the wire, with what is left out there. Pure.
 */
import {
  DEFAULTS,
  LIMITS,
  type ChargerView,
  type CommandView,
  type ConnectorView,
  type LimitView,
  type SessionView,
  type Snapshot,
  type View,
} from './generated';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Fill in what was left out on the wire. */
export function whole<T>(struct: keyof typeof DEFAULTS, given: unknown): T {
  return { ...DEFAULTS[struct], ...(given as object) } as T;
}

/** A table without inherited names: a charger may call itself `constructor` or `__proto__`. */
function table<T>(entries: Readonly<Record<string, T>> = {}): Record<string, T> {
  return Object.assign(Object.create(null) as Record<string, T>, entries);
}

function each<A, B>(map: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  const changed = table<B>();
  for (const [key, value] of Object.entries(map)) changed[key] = change(value);
  return changed;
}

const limitView = (given: LimitView | null): LimitView | null =>
  given === null ? null : whole<LimitView>('LimitView', given);

function connectorView(given: ConnectorView): ConnectorView {
  const place = whole<Mutable<ConnectorView>>('ConnectorView', given);
  place.limit = limitView(place.limit);
  place.session_limit = limitView(place.session_limit);
  return place;
}

function chargerView(given: ChargerView): ChargerView {
  const entry = whole<Mutable<ChargerView>>('ChargerView', given);
  entry.connectors = each(entry.connectors, connectorView);
  entry.wanted = whole('WantedView', entry.wanted);
  entry.limit = limitView(entry.limit);
  return entry;
}

/** The view of a snapshot, with everything filled in that the wire leaves out. */
export function viewOf(snapshot: Pick<Snapshot, 'view' | 'epoch' | 'seq'>): View {
  const given = whole<View>('View', snapshot.view);
  return {
    ...given,
    epoch: snapshot.epoch,
    seq: snapshot.seq,
    chargers: each(given.chargers, chargerView),
    sessions: each(given.sessions, (session) => whole<SessionView>('SessionView', session)),
    commands: each(given.commands, (command) => whole<CommandView>('CommandView', command)),
    taps: each(given.taps, (tap) => whole('TapView', tap)),
    refused_tags: each(given.refused_tags ?? {}, (refused) => whole('RefusedTagView', refused)),
  };
}

export function emptyView(site: string): View {
  return {
    site,
    epoch: '',
    seq: 0,
    at: '',
    chargers: table(),
    sessions: table(),
    commands: table(),
    taps: table(),
    refused_tags: table(),
  };
}

type Table = 'chargers' | 'sessions' | 'commands' | 'taps' | 'refused_tags';

/** The view on its way to the next one: what is written to is copied first, once. */
export class Draft {
  readonly view: Mutable<View>;
  readonly at: string;
  private readonly copied = new Map<string, unknown>();

  constructor(view: View, at: string) {
    this.view = { ...view };
    this.at = at;
  }

  private table<K extends Table>(name: K): Record<string, View[K][string]> {
    return this.once(name, () => {
      const copy = table(this.view[name] as Record<string, View[K][string]>);
      this.view[name] = copy as View[K];
      return copy;
    });
  }

  private once<T>(key: string, make: () => T): T {
    if (!this.copied.has(key)) this.copied.set(key, make());
    return this.copied.get(key) as T;
  }

  /** The charger's entry, made if it is new. */
  charger(id: string): Mutable<ChargerView> {
    return this.once(`charger ${id}`, () => {
      const known = this.view.chargers[id];
      const entry: Mutable<ChargerView> = known ? { ...known } : chargerView({ id } as ChargerView);
      this.table('chargers')[id] = entry;
      return entry;
    });
  }

  /** The connector's entry, made if it is new. */
  place(charger: string, evse: number, connector = 1): Mutable<ConnectorView> {
    return this.once(`place ${evse} ${charger}`, () => {
      const entry = this.charger(charger);
      const known = entry.connectors[evse];
      const place: Mutable<ConnectorView> = known
        ? { ...known }
        : connectorView({ evse, connector } as ConnectorView);
      entry.connectors = table({ ...entry.connectors, [evse]: place });
      return place;
    });
  }

  places(charger: string): Mutable<ConnectorView>[] {
    return Object.values(this.charger(charger).connectors).map((place) => this.place(charger, place.evse));
  }

  session(uid: string): Mutable<SessionView> | undefined {
    const known = this.view.sessions[uid];
    if (known === undefined) return undefined;
    return this.once(`session ${uid}`, () => {
      const session: Mutable<SessionView> = { ...known };
      this.table('sessions')[uid] = session;
      return session;
    });
  }

  command(id: string): Mutable<CommandView> | undefined {
    const known = this.view.commands[id];
    if (known === undefined) return undefined;
    return this.once(`command ${id}`, () => {
      const command: Mutable<CommandView> = { ...known };
      this.table('commands')[id] = command;
      return command;
    });
  }

  putSession(session: SessionView): void {
    this.copied.set(`session ${session.session}`, session);
    this.table('sessions')[session.session] = session;
  }

  putCommand(command: CommandView): void {
    this.copied.set(`command ${command.command}`, command);
    this.table('commands')[command.command] = command;
  }

  remove(table: Table, key: string): void {
    if (key in this.view[table]) delete this.table(table)[key];
  }

  putTap(tag: string, charger: string): void {
    this.putLast('taps', tag, { charger, at: this.at });
  }

  putRefused(principal: string, charger: string, because: string): void {
    this.putLast('refused_tags', principal, { charger, at: this.at, because });
  }

  /** As the latest of a table that keeps a few. */
  private putLast<K extends 'taps' | 'refused_tags'>(name: K, key: string, value: View[K][string]): void {
    this.remove(name, key);
    const known = this.table(name);
    known[key] = value;
    const first = Object.keys(known)[0];
    if (Object.keys(known).length > LIMITS.tapsMax && first !== undefined) delete known[first];
  }
}
