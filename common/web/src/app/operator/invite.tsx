/** Inviting somebody: who, as what, for which chargers; then the code to scan and the link to send. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { type Trouble, asTrouble } from '../errors';
import { Button, Check, Choice, Failure, Field, Form, Sheet, toast } from '../ui';
import { useDesk } from './ask';
import { useOffice, when } from './context';
import { nameOf } from './needs';
import { QrCode } from './qr';
import { operatorWords } from './words';

interface Made {
  readonly invite: string;
  readonly principal: string;
  readonly expires_at: string;
}

export function InviteSheet({ site, open, onClose }: { site: SiteState; open: boolean; onClose: () => void }): JSX.Element | null {
  const words = operatorWords();
  const [made, setMade] = useState<Made | null>(null);
  useEffect(() => {
    if (!open) setMade(null); // the secret is on no screen longer than it is looked at
  }, [open]);
  return (
    <Sheet open={open} title={words.inviteTitle} onClose={onClose}>
      {made ? <Ready site={site} made={made} /> : <Asking site={site} onMade={setMade} />}
    </Sheet>
  );
}

function Asking({ site, onMade }: { site: SiteState; onMade: (made: Made) => void }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site.id);
  const [name, setName] = useState('');
  const [role, setRole] = useState<'driver' | 'operator'>('driver');
  const [some, setSome] = useState<'all' | 'some'>('all');
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  const [wrong, setWrong] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const chargers = Object.values(site.view.chargers).filter((charger) => charger.adopted);
  const limited = role === 'driver' && some === 'some';
  const send = async (): Promise<void> => {
    setWrong(limited && chosen.size === 0);
    if (limited && chosen.size === 0) return;
    setBusy(true);
    setTrouble(null);
    try {
      const given = { role, name: name.trim(), ...(limited ? { chargers: [...chosen] } : {}) };
      onMade(await desk.manage<Made>('invite', given));
      office.again();
    } catch (failed) {
      setTrouble(asTrouble(failed));
    }
    setBusy(false);
  };
  const toggle = (id: string, on: boolean): void => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    choose(next);
  };
  return (
    <Form onSubmit={() => void send()}>
      <Field label={words.inviteName} hint={words.inviteNameHint} value={name} onInput={setName} maxLength={80} testId="op-invite-name" />
      {site.role === 'operator' && !site.owner ? null : (
        <Choice
          label={words.inviteRole}
          value={role}
          onChange={setRole}
          options={[['driver', words.roles.driver ?? ''] as const, ['operator', words.roles.operator ?? ''] as const]}
        />
      )}
      {role === 'driver' ? (
        <Choice
          label={words.inviteChargers}
          value={some}
          onChange={setSome}
          options={[['all', words.allChargers] as const, ['some', words.someChargers] as const]}
        />
      ) : null}
      {limited
        ? chargers.map((charger) => (
            <Check key={charger.id} label={nameOf(charger)} checked={chosen.has(charger.id)} onChange={(on) => toggle(charger.id, on)} />
          ))
        : null}
      {wrong ? (
        <p class="field-error" role="alert">
          {words.chooseCharger}
        </p>
      ) : null}
      {trouble ? <Failure trouble={trouble} /> : null}
      <Button kind="primary" wide submit busy={busy} testId="op-invite-do">
        {words.makeInvite}
      </Button>
    </Form>
  );
}

function Ready({ site, made }: { site: SiteState; made: Made }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const link = linkOf(site, made.invite);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(link);
      toast(words.copied);
    } catch {
      // The text stands there to be taken by hand.
    }
  };
  return (
    <div class="form" data-testid="op-invite-ready">
      <p>{words.inviteReady}</p>
      <QrCode text={link} label={words.inviteReady} />
      <p class="muted">{words.inviteOnce(when(made.expires_at, office))}</p>
      <code class="op-code" tabIndex={0} data-testid="op-invite-link">
        {link}
      </code>
      <div class="op-buttons">
        <Button onPress={() => void copy()}>{words.copy}</Button>
        {typeof navigator.share === 'function' ? (
          <Button onPress={() => void navigator.share({ url: link }).catch(() => {})}>{words.share}</Button>
        ) : null}
      </div>
    </div>
  );
}

/** The link that opens the app with the invite: behind the hash, so that no server ever sees it. */
function linkOf(site: SiteState, invite: string): string {
  const base = site.cloudUrl || `${location.origin}${location.pathname}`;
  return `${base.replace(/\/$/, '')}/#join=${invite}`;
}
