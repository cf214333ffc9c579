/**
 * Joining: an invite becomes a grant for this device's key, at the box or cloud that made the invite. All its
 * addresses are tried at once; whoever cannot prove to be its maker gets neither the secret nor anything else.
 */
import { boxAttempts, race, type Shared } from './dialling';
import { asError, PlugsideError } from './errors';
import { authenticate, UntrustedPins, type Opened } from './handshake';
import type { Granted } from './generated';
import type { Invite } from './invite';
import { linkUrl } from './link';
import { rotated } from './rotation';
import type { SiteEntry } from './store';

/** Told to the maker of the invite with the key, so that a person can tell their devices apart. */
const DEVICE_NAME_CHARS_MAX = 64;

interface Attempt {
  /** The cloud's URL, or empty for a box. */
  readonly url: string;
  readonly address: string;
  readonly open: () => Promise<Opened>;
}

/** Redeem an invite. Rejects with a PlugsideError: bad_invite when it is not good any more. */
export async function redeem(shared: Shared, invite: Invite, deviceName: string): Promise<SiteEntry> {
  let hinted = invite.certificates;
  for (;;) {
    const attempts = ways(shared, invite, deviceName, hinted);
    try {
      const { at, opened } = await race(attempts.map((attempt) => attempt.open));
      opened.link.close();
      return entry(invite, attempts[at], opened);
    } catch (failed) {
      // The invite is older than a certificate in it: once more with those that the box names.
      const fewer = failed instanceof UntrustedPins ? hinted.filter((pin) => failed.named.includes(pin)) : [];
      if (fewer.length === 0 || fewer.length === hinted.length) throw asError(failed);
      hinted = fewer;
    }
  }
}

function ways(shared: Shared, invite: Invite, deviceName: string, hinted: readonly string[]): readonly Attempt[] {
  const shown = {
    key: shared.key,
    grants: [],
    invite: invite.secret,
    device: deviceName.slice(0, DEVICE_NAME_CHARS_MAX),
  };
  const clouds = invite.urls.map((url) => ({
    url,
    address: '',
    open: async () =>
      authenticate(await shared.dial.socket(linkUrl(url), 'cloud'), invite.server, shown, shared.pace.handshakeMs),
  }));
  if (clouds.length > 0 && invite.addresses.length === 0) return clouds;
  const boxes = boxAttempts(shared, invite.server, invite.addresses, { proven: [], hinted }, shown);
  return [...clouds, ...boxes.map((box) => ({ url: '', ...box }))];
}

function entry(invite: Invite, attempt: Attempt | undefined, opened: Opened): SiteEntry {
  const granted = opened.granted.at(-1);
  if (!granted || !attempt) throw new PlugsideError('bad_invite', 'its maker gave no grant');
  const { site } = granted;
  const byCloud = attempt.url !== '';
  if (opened.rotated.some((one) => one.site !== site.site)) {
    throw new PlugsideError('untrusted_peer', 'the maker of the invite is the box of another site');
  }
  const made = {
    site: site.site,
    name: site.name,
    grant: granted.grant,
    role: site.role,
    principal: site.principal,
    box: byCloud ? site.key : invite.server,
    addresses: site.addresses.length ? site.addresses : invite.addresses,
    lastGood: byCloud ? '' : attempt.address,
    zone: site.zone,
    owner: site.owner,
    cloudUrl: granted.cloud || (byCloud ? baseOf(attempt.url) : ''),
    cloudKey: byCloud ? invite.server : granted.cloud_key,
    boxAtMs: 0,
    proven: byCloud ? [] : opened.proof.certificates,
    hinted: byCloud ? site.certificates : [],
  };
  return rotated(made, opened.rotated);
}

/** The entry of a site whose grant a cloud has told over the link of another site of its own. */
export function taken(via: SiteEntry, told: Granted): SiteEntry {
  const { grant, site } = told;
  if (typeof grant !== 'string' || typeof site?.site !== 'string' || !site.key) {
    throw new PlugsideError('protocol', 'a grant that is none');
  }
  return {
    site: site.site,
    name: site.name ?? '',
    grant,
    role: site.role,
    principal: site.principal,
    box: site.key,
    addresses: site.addresses ?? [],
    lastGood: '',
    zone: site.zone ?? '',
    owner: site.owner ?? false,
    cloudUrl: via.cloudUrl,
    cloudKey: via.cloudKey,
    boxAtMs: 0,
    proven: [],
    hinted: site.certificates ?? [],
  };
}

/** A cloud's base URL from what an invite names. */
function baseOf(url: string): string {
  return new URL(url).origin;
}
