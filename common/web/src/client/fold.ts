/**
 * The fold: a fact's meaning for the screen, as `common/view.py` has it; test vectors made there hold the two
 * together. `apply` gives a new view that shares what did not change with the old one. Pure.
 */
import { Draft, whole, type Mutable } from './draft';
import {
  BODY_OF,
  DEFAULTS,
  LIMITS,
  VERSIONS_OF_FACTS,
  type Bodies,
  type LimitApplied,
  type LimitView,
  type MeterSample,
  type RawRecord,
  type SessionView,
  type View,
} from './generated';

export { emptyView, viewOf } from './draft';

const STILL: ReadonlySet<string> = new Set(['suspended_ev', 'suspended_evse', 'finishing']);

/** Power that a meter last reported is not power that flows now (quirk 76). */
function still(session: Mutable<SessionView>): void {
  if (session.power_w) {
    session.power_w = 0;
    session.current_a = null;
  }
}

function union(one: readonly string[], other: readonly string[]): readonly string[] {
  return [...new Set([...one, ...other])];
}

function forgotten(limit: LimitView | null): LimitView | null {
  return limit === null ? null : { ...limit, proof: 'unproven', measured_a: null };
}

function limitAfter(known: LimitView | null, body: LimitApplied): LimitView | null {
  const base: LimitView = { ...DEFAULTS.LimitView, proof: body.proof, rank: body.rank };
  if (body.proof === 'cleared') return null;
  if (['accepted', 'proven', 'unproven'].includes(body.proof)) {
    return { ...base, limit_a: body.limit_a, measured_a: body.measured_a };
  }
  return { ...base, limit_a: known?.limit_a ?? null, asked_a: body.limit_a };
}

function forgetOldSessions(draft: Draft, charger: string): void {
  const ended = Object.values(draft.view.sessions).filter((s) => s.charger === charger && s.ended_at);
  const over = Math.max(0, ended.length - LIMITS.endedSessionsMax);
  for (const old of ended.slice(0, over)) draft.remove('sessions', old.session);
}

function show(session: Mutable<SessionView>, sample: MeterSample): void {
  session.sampled_at = sample.at || session.sampled_at;
  // Inlet and body are the charger's own side of the socket (quirk 79): never a session's energy.
  const outlet = sample.location === 'outlet' || sample.location === 'cable';
  if (sample.energy_wh !== null && session.meter_start_wh !== null && outlet) {
    session.energy_wh = Math.max(0, sample.energy_wh - session.meter_start_wh);
    session.method = 'samples';
  }
  if (sample.power_w !== null) session.power_w = sample.power_w;
  if (sample.current_a !== null) session.current_a = sample.current_a;
  if (sample.soc_percent !== null) session.soc_percent = sample.soc_percent;
}

type Reducers = { [K in keyof Bodies]?: (draft: Draft, body: Bodies[K]) => void };

const CHARGERS: Reducers = {
  charger_seen(draft, body) {
    const entry = draft.charger(body.charger);
    entry.adopted = body.adopted;
    entry.address = body.address;
    if (body.adopted) {
      entry.online = true;
      entry.since = draft.at;
      entry.protocol = body.protocol;
      entry.lost_reason = '';
    }
  },
  charger_adopted(draft, body) {
    if (body.removed) {
      draft.remove('chargers', body.charger);
      return;
    }
    const entry = draft.charger(body.charger);
    entry.adopted = true;
    entry.name = body.name || entry.name;
  },
  charger_booted(draft, body) {
    const entry = draft.charger(body.charger);
    entry.vendor = body.vendor || entry.vendor;
    entry.model = body.model || entry.model;
    if (body.firmware !== '' && body.firmware !== entry.firmware) entry.update = '';
    entry.serial = body.serial || entry.serial;
    entry.firmware = body.firmware || entry.firmware;
    entry.boots += 1;
    entry.reboot_required = false;
    entry.limit = forgotten(entry.limit);
    for (const place of draft.places(body.charger)) {
      place.limit = forgotten(place.limit);
      place.session_limit = forgotten(place.session_limit);
    }
  },
  firmware_changed(draft, body) {
    draft.charger(body.charger).update = body.status === 'installed' ? '' : body.status;
  },
  charger_lost(draft, body) {
    const entry = draft.charger(body.charger);
    entry.online = false;
    entry.since = draft.at;
    entry.lost_reason = body.reason;
    for (const place of draft.places(body.charger)) {
      place.stale = true;
      place.observed = null;
    }
  },
  connector_changed(draft, body) {
    if (body.evse === 0) {
      draft.charger(body.charger).station = body.state;
      return;
    }
    const place = draft.place(body.charger, body.evse, body.connector);
    const stepped = place.state !== body.state;
    if (stepped) place.since = draft.at;
    place.unattributed = body.unattributed || (place.unattributed && !stepped && body.via !== 'epoch');
    place.state = body.state;
    place.plug = body.plug;
    place.observed = body.observed;
    place.error_code = body.error_code;
    place.info = body.info;
    place.stale = body.via === 'epoch';
    const session = place.session ? draft.session(place.session) : undefined;
    if (session && !session.ended_at && body.state !== 'charging') still(session);
  },
  charger_secured(draft, body) {
    draft.charger(body.charger).profile = body.profile;
  },
  charger_configured(draft, body) {
    if (body.answer === 'reboot_required') draft.charger(body.charger).reboot_required = true;
  },
  limit_wanted(draft, body) {
    const entry = draft.charger(body.charger);
    const wanted = { ...entry.wanted, policy_a: { ...entry.wanted.policy_a } };
    entry.wanted = wanted;
    wanted.revision = Math.max(wanted.revision, body.revision);
    if (body.rank === 'installer') {
      wanted.safety_a = body.limit_a;
    } else if (body.rank === 'operator') {
      delete wanted.policy_a[body.evse];
      if (body.limit_a !== null) wanted.policy_a[body.evse] = body.limit_a;
    }
  },
  limit_applied(draft, body) {
    if (body.evse === 0) {
      const entry = draft.charger(body.charger);
      entry.limit = limitAfter(entry.limit, body);
      return;
    }
    const place = draft.place(body.charger, body.evse);
    // A charge's own, for whoever sees that charge: its end, which clears it, is told to nobody else.
    if (body.scope !== 'session') place.limit = limitAfter(place.limit, body);
    else if (place.session !== null) place.session_limit = limitAfter(place.session_limit, body);
  },
  reservation_changed(draft, body) {
    const place = draft.place(body.charger, body.evse, body.connector);
    const made = body.state === 'made';
    place.reserved_by = made ? body.command : '';
    place.reserved_until = made ? body.until : '';
  },
  authorization_changed(draft, body) {
    if (body.change === 'unknown_tag') draft.putTap(body.tag_ref, body.charger);
    else if (body.change === 'tag_assigned') draft.remove('taps', body.tag_ref);
    else if (body.change === 'tag_refused' && body.principal !== null) {
      draft.putRefused(body.principal, body.charger, body.because);
    }
  },
};

const SESSIONS: Reducers = {
  session_started(draft, body) {
    draft.putSession({
      ...DEFAULTS.SessionView,
      session: body.session,
      charger: body.charger,
      evse: body.evse,
      connector: body.connector,
      transaction: body.transaction,
      principal: body.principal,
      command: body.command,
      started_at: body.started_at,
      received_at: body.received_at,
      authorization: body.authorization,
      meter_start_wh: body.meter_start_wh,
      flags: body.flags,
    });
    if (body.principal !== null && body.authorization === 'accepted') draft.remove('refused_tags', body.principal);
    if (body.evse && !body.history) {
      const place = draft.place(body.charger, body.evse, body.connector);
      place.session = body.session;
      place.unattributed = false;
    }
    forgetOldSessions(draft, body.charger);
  },
  session_learned(draft, body) {
    const session = draft.session(body.session);
    if (!session) return;
    if (body.principal !== null) session.principal = body.principal;
    if (body.evse !== null) session.evse = body.evse;
    if (body.connector !== null) session.connector = body.connector;
    if (body.command !== null) session.command = body.command;
    if (body.authorization !== null) session.authorization = body.authorization;
    if (body.started_at !== null) session.started_at = body.started_at;
    if (body.meter_start_wh !== null) session.meter_start_wh = body.meter_start_wh;
    if (body.evse && !session.ended_at) {
      for (const place of draft.places(session.charger)) {
        if (place.session === session.session) place.session = null;
      }
      draft.place(body.charger, body.evse, session.connector).session = body.session;
    }
  },
  session_event(draft, body) {
    const session = body.phase === null ? undefined : draft.session(body.session);
    if (!session) return;
    session.phase = body.phase;
    if (body.phase !== 'charging') still(session);
  },
  meter_sampled(draft, body) {
    const session = body.session ? draft.session(body.session) : undefined;
    if (!session || session.ended_at || body.late) return;
    session.heard_at = draft.at;
    for (const given of body.samples) {
      const sample = whole<MeterSample>('MeterSample', given);
      // Batches come out of order or hours old (quirk 77): only a newer sample touches live figures.
      if (sample.at !== null && sample.at < session.sampled_at) continue;
      show(session, sample);
    }
    const place = draft.charger(session.charger).connectors[session.evse];
    // Some meters go on telling the last power (quirk 76).
    if (place && place.session === session.session && STILL.has(place.state)) still(session);
  },
  session_ended(draft, body) {
    if (body.evse) {
      const place = draft.place(body.charger, body.evse, body.connector);
      if (place.session === body.session) {
        place.session = null;
        place.session_limit = null;
      }
    }
    const session = draft.session(body.session);
    if (!session) return;
    session.ended_at = body.ended_at;
    session.reason = body.reason;
    session.meter_stop_wh = body.meter_stop_wh;
    session.energy_wh = body.energy_wh;
    session.method = body.method;
    session.provisional = body.provisional;
    session.obtained = body.obtained;
    session.power_w = null;
    session.current_a = null;
    session.flags = union(session.flags, body.flags);
  },
  session_revised(draft, body) {
    const session = draft.session(body.session);
    if (!session) return;
    session.revision = body.revision;
    session.provisional = false;
    session.ended_at = body.ended_at || session.ended_at;
    session.meter_stop_wh = body.meter_stop_wh ?? session.meter_stop_wh;
    session.energy_wh = body.energy_wh;
    session.method = body.method;
    session.obtained = body.obtained;
    session.principal = session.principal || body.principal;
    session.flags = union(session.flags, body.flags);
  },
};

const COMMANDS: Reducers = {
  command_accepted(draft, body) {
    const operative = body.args['operative'];
    draft.putCommand({
      ...DEFAULTS.CommandView,
      command: body.command,
      name: body.name,
      charger: body.charger,
      principal: body.principal,
      session: body.session,
      evse: body.evse,
      operative: typeof operative === 'boolean' ? operative : null,
    });
  },
  command_sent(draft, body) {
    const known = draft.command(body.command);
    if (known) known.state = 'sent';
  },
  command_confirmed(draft, body) {
    const known = draft.command(body.command);
    if (!known) return;
    known.state = 'confirmed';
    known.answer = body.answer;
  },
  command_settled(draft, body) {
    const known = draft.command(body.command);
    if (!known) return; // a refusal: nothing was on its way
    known.state = 'settled';
    known.outcome = body.outcome;
    known.code = body.code;
    known.session = body.session || known.session;
    if (known.operative !== null && known.outcome === 'succeeded') {
      for (const place of draft.places(known.charger)) {
        if (known.evse === null || known.evse === place.evse) place.out_of_service = !known.operative;
      }
    }
    const settled = Object.values(draft.view.commands).filter((c) => c.state === 'settled');
    const over = Math.max(0, settled.length - LIMITS.settledCommandsMax);
    for (const old of settled.slice(0, over)) draft.remove('commands', old.command);
  },
};

const REDUCERS = { ...CHARGERS, ...SESSIONS, ...COMMANDS } as Readonly<
  Record<string, ((draft: Draft, body: unknown) => void) | undefined>
>;

/** The view after one more fact. Kinds and versions that are not known here only advance the position. */
export function apply(view: View, epoch: string, seq: number, record: RawRecord): View {
  const draft = new Draft(view, record.at);
  draft.view.epoch = epoch;
  draft.view.seq = seq;
  draft.view.at = record.at;
  const { kind } = record;
  if (Object.hasOwn(REDUCERS, kind) && record.v <= (VERSIONS_OF_FACTS[kind] ?? 0)) {
    REDUCERS[kind]?.(draft, whole(BODY_OF[kind] as keyof typeof DEFAULTS, record.body));
  }
  return draft.view;
}
