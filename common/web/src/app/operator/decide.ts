/** What may be decided on a flagged session or an orphan, and the command that says it. Pure. */
import type { CommandArgs } from '../../client';

export type Decision = 'accept' | 'set' | 'attach' | 'dismiss';

/** What is being decided on. */
export interface Flagged {
  readonly session: string;
  readonly orphan: string;
  readonly revision: number;
  readonly principal: string | null;
  readonly energy_wh: number | null;
}

/** What the fields hold. */
export interface Draft {
  readonly decision: Decision;
  readonly reason: string;
  /** As typed. */
  readonly kwh: string;
  readonly principal: string;
  /** For an orphan: the session that it belongs to. */
  readonly session: string;
}

export const REASON_MAX = 300;
/** The most that one charge can come to (`edge/core/meter.PLAUSIBLE_WH` is the box's own bound). */
const KWH_MAX = 1000;

/** The decisions that make sense here. An orphan has no energy to set; whose a session is can be said once. */
export function choices(about: Flagged): Decision[] {
  if (about.orphan) return ['attach', 'accept', 'dismiss'];
  const accept: Decision[] = about.energy_wh === null ? [] : ['accept'];
  const attach: Decision[] = about.principal === null && about.energy_wh !== null ? ['attach'] : [];
  return [...accept, 'set', ...attach, 'dismiss'];
}

export type Wrong = 'reason' | 'energy' | 'principal' | 'session';

/** The field that is not right yet; null = it can be sent. */
export function wrongIn(about: Flagged, draft: Draft): Wrong | null {
  const reason = draft.reason.trim();
  if (reason === '' || reason.length > REASON_MAX || /[\p{C}]/u.test(reason)) return 'reason';
  if (draft.decision === 'set' && readKwh(draft.kwh) === null) return 'energy';
  if (draft.decision === 'attach' && about.orphan && !draft.session) return 'session';
  if (draft.decision === 'attach' && !about.orphan && !draft.principal) return 'principal';
  return null;
}

/** Kilowatt hours as typed, with a comma or a point, in Wh; null = that is none. */
export function readKwh(text: string): number | null {
  const plain = text.trim().replace(',', '.');
  if (!/^\d{1,4}(\.\d{1,3})?$/.test(plain)) return null;
  const kwh = Number(plain);
  return kwh <= KWH_MAX ? Math.round(kwh * 1000) : null;
}

/** The command's arguments. Only for a draft in which nothing is wrong. `revision`: of the session attached to. */
export function resolveArgs(about: Flagged, draft: Draft, revision = about.revision): CommandArgs['resolve'] {
  const attached = about.orphan && draft.decision === 'attach' ? draft.session : '';
  const session = attached || about.session;
  return {
    decision: draft.decision,
    reason: draft.reason.trim(),
    ...(session ? { session, revision } : {}),
    ...(about.orphan ? { orphan: about.orphan } : {}),
    ...(draft.decision === 'set' ? { energy_wh: readKwh(draft.kwh) } : {}),
    ...(draft.decision === 'attach' && !about.orphan ? { principal: draft.principal } : {}),
  };
}
