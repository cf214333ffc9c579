/** Messages of the app link: out as JSON, in with everything filled in that the wire leaves out. */
import { whole } from './draft';
import { PlugsideError } from './errors';
import { DEFAULTS, MESSAGE_OF, type ClientMessage, type ServerMessage, type SiteAccess } from './generated';

export function encode(message: ClientMessage): string {
  return JSON.stringify(message);
}

type Shape = Readonly<Record<string, unknown>>;

/** The fields that a message needs, by kind, with what they have to be: the rest has a default. */
const NEEDED: Readonly<Record<string, Readonly<Record<string, 'string' | 'number' | 'boolean' | 'object'>>>> = {
  proof: { version: 'number', nonce: 'string', server: 'string', key: 'string', path: 'string', time: 'string' },
  welcome: { sites: 'object', time: 'string' },
  granted: { grant: 'string', site: 'object' },
  snapshot: { site: 'string', epoch: 'string', seq: 'number', view: 'object', at: 'string' },
  fact: { site: 'string', epoch: 'string', seq: 'number', record: 'object' },
  presence: { site: 'string', online: 'boolean', at: 'string' },
  accepted: { id: 'string' },
  confirmed: { id: 'string', answer: 'string' },
  settled: { id: 'string', outcome: 'string' },
  refused: { code: 'string', message: 'string' },
  page: { id: 'string', rows: 'object' },
  managed: { id: 'string' },
  bye: { code: 'string', message: 'string' },
};

function unreadable(what: string): PlugsideError {
  return new PlugsideError('protocol', `a message could not be read: ${what}`);
}

/** Read one frame. Throws protocol. */
export function decode(text: string): ServerMessage {
  let given: Shape;
  try {
    given = JSON.parse(text) as Shape;
  } catch {
    throw unreadable('no JSON');
  }
  if (typeof given !== 'object' || given === null) throw unreadable('no object');
  const kind = String(given['kind']);
  const struct = Object.hasOwn(MESSAGE_OF, kind) ? MESSAGE_OF[kind] : undefined;
  if (struct === undefined) throw unreadable(kind);
  for (const [name, type] of Object.entries(NEEDED[kind] ?? {})) {
    const value = given[name];
    if (typeof value !== type || value === null) throw unreadable(`${kind}.${name}`);
  }
  for (const [name, value] of Object.entries(DEFAULTS[struct])) {
    if (given[name] !== undefined && !alike(given[name], value)) throw unreadable(`${kind}.${name}`);
  }
  const message = whole<ServerMessage>(struct, given);
  if (message.kind === 'welcome') {
    if (!Array.isArray(message.sites)) throw unreadable('welcome.sites');
    return { ...message, sites: message.sites.map(access) };
  }
  return message.kind === 'granted' ? { ...message, site: access(message.site) } : message;
}

/** Whether a value is of the kind that its default is. */
function alike(value: unknown, byDefault: unknown): boolean {
  if (byDefault === null) return true;
  if (Array.isArray(byDefault)) return Array.isArray(value);
  return typeof value === typeof byDefault && value !== null;
}

function access(given: unknown): SiteAccess {
  const site = whole<SiteAccess>('SiteAccess', given);
  for (const name of ['site', 'role', 'principal'] as const) {
    if (typeof site[name] !== 'string') throw unreadable(`site.${name}`);
  }
  for (const [name, value] of Object.entries(DEFAULTS.SiteAccess)) {
    if (!alike(site[name as keyof SiteAccess], value)) throw unreadable(`site.${name}`);
  }
  return site;
}
