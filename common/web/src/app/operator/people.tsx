/** Drivers and operators with their chargers and tags; invites; ending somebody's rights. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useWide } from '../driver/wide';
import { asTrouble, said } from '../errors';
import { href } from '../router';
import { soon } from '../soon';
import { Badge, Button, Card, Confirm, Empty, Facts, List, Row, toast } from '../ui';
import { useDesk } from './ask';
import { type Office, type PersonRow, useOffice, when, whoIs } from './context';
import { InviteSheet } from './invite';
import { nameOf } from './needs';
import { operatorWords, wordFor } from './words';

export function People({ site, one }: { site: SiteState; one: string | undefined }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const wide = useWide();
  const [inviting, invite] = useState(false);
  const chosen = office.people.find((person) => person.principal === one);
  if (!wide && chosen) return <Person site={site} person={chosen} back />;
  return (
    <div class={wide && chosen ? 'op-split' : ''}>
      <div class="op-column">
        <div class="op-buttons">
          <Button kind="primary" icon="plus" onPress={() => invite(true)} testId="op-invite">
            {words.invite}
          </Button>
        </div>
        {office.people.length === 0 ? (
          <Empty icon="people" title={words.noPeople}>
            {words.noPeopleHint}
          </Empty>
        ) : (
          <List label={words.sections.people}>
            {office.people.map((person) => (
              <Line key={person.principal} site={site} person={person} office={office} current={person === chosen} />
            ))}
          </List>
        )}
      </div>
      {wide && chosen ? <Person key={chosen.principal} site={site} person={chosen} /> : null}
      <InviteSheet site={site} open={inviting} onClose={() => invite(false)} />
    </div>
  );
}

function chargersOf(person: PersonRow, site: SiteState): string {
  const words = operatorWords();
  if (person.chargers === null) return words.everyCharger;
  return person.chargers
    .map((id) => {
      const charger = site.view.chargers[id];
      return charger ? nameOf(charger) : id;
    })
    .join(', ');
}

function Line(props: { site: SiteState; person: PersonRow; office: Office; current: boolean }): JSX.Element {
  const words = operatorWords();
  const { person, office } = props;
  return (
    <Row
      href={href('operator', props.site.id, 'people', person.principal)}
      current={props.current}
      testId={`op-person-${person.principal}`}
      title={
        person.principal === props.site.principal
          ? words.youAre(whoIs(office, person.principal, person.name))
          : whoIs(office, person.principal, person.name)
      }
      detail={[
        wordFor(words.roles, person.role),
        chargersOf(person, props.site),
        person.state === 'invited' ? '' : words.devices(person.devices),
        person.tags.length > 0 ? words.tags(person.tags.length) : '',
      ]
        .filter(Boolean)
        .join(' · ')}
      trailing={person.state === 'active' ? undefined : <Badge tone="wait">{person.state === 'invited' ? words.invited : words.waitsForOwner}</Badge>}
    />
  );
}

type Asked =
  | { readonly what: 'invite_withdraw' | 'revoke' | 'forget' | 'confirm' }
  | { readonly what: 'withdraw_tag'; readonly tag: string };

function Person({ site, person, back }: { site: SiteState; person: PersonRow; back?: boolean }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const [asked, ask] = useState<Asked | null>(null);
  const here = !site.cloudUrl;
  return (
    <div class="op-column" data-testid="op-person">
      {back ? (
        <a class="op-back" href={href('operator', site.id, 'people')}>
          ← {words.sections.people}
        </a>
      ) : null}
      <Card title={whoIs(office, person.principal, person.name)}>
        <Facts
          rows={[
            [words.inviteRole, wordFor(words.roles, person.role)],
            [words.inviteChargers, chargersOf(person, site)],
            [words.joinedName, person.state === 'invited' ? words.invitedUntil(when(person.expires_at, office)) : when(person.since, office)],
            [words.devicesName, person.state === 'invited' ? '' : String(person.devices)],
            [words.pseudonym, person.principal],
          ]}
        />
        {person.tags.map((tag) => (
          <div key={tag} class="op-tag">
            <span>{words.tagNumber(tag.slice(0, 8))}</span>
            <Button kind="quiet" onPress={() => ask({ what: 'withdraw_tag', tag })}>
              {words.withdrawTag}
            </Button>
          </div>
        ))}
        <a class="op-link" href={href('operator', site.id, 'sessions', `of:${person.principal}`)}>
          {words.theirSessions}
        </a>
        <div class="op-buttons">
          {person.state === 'invited' ? (
            <Button kind="danger" onPress={() => ask({ what: 'invite_withdraw' })} testId="op-withdraw-invite">
              {words.withdrawInvite}
            </Button>
          ) : (
            <Button kind="danger" onPress={() => ask({ what: 'revoke' })} testId="op-revoke">
              {words.revoke}
            </Button>
          )}
          {person.state === 'waiting' && site.owner ? (
            <Button kind="primary" onPress={() => ask({ what: 'confirm' })} testId="op-confirm">
              {words.takeOver}
            </Button>
          ) : null}
          {here && person.state !== 'invited' ? (
            <Button kind="quiet" onPress={() => ask({ what: 'forget' })} testId="op-forget">
              {words.forget}
            </Button>
          ) : null}
        </div>
      </Card>
      <Ending site={site} person={person} asked={asked} onClose={() => ask(null)} />
    </div>
  );
}

/** Asks once, does it, and says what came of it. */
function Ending(props: { site: SiteState; person: PersonRow; asked: Asked | null; onClose: () => void }): JSX.Element {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(props.site.id);
  const [busy, setBusy] = useState(false);
  const { asked, person } = props;
  const texts: Record<Asked['what'], readonly [string, string, string]> = {
    invite_withdraw: [words.withdrawInvite, words.withdrawInviteSure, words.withdrawn],
    revoke: [words.revoke, words.revokeSure, words.revoked],
    forget: [words.forget, words.forgetSure, words.forgotten],
    confirm: [words.takeOver, words.takeOverSure, words.stages.succeeded ?? ''],
    withdraw_tag: [words.withdrawTag, words.withdrawTagSure, words.withdrawn],
  };
  const [title, sure, done] = asked ? texts[asked.what] : ['', '', ''];
  const act = async (): Promise<void> => {
    if (asked === null) return;
    setBusy(true);
    try {
      if (asked.what === 'withdraw_tag') {
        const [charger] = Object.keys(props.site.view.chargers);
        const run = desk.client.command(props.site.id, 'withdraw_tag', { charger: charger ?? '-' }, { tag_ref: asked.tag });
        const stage = await run.over;
        if (stage.error) throw stage.error;
      } else {
        await desk.manage(asked.what, { principal: person.principal });
      }
      toast(done);
      soon(office.again);
    } catch (failed) {
      const { what, next } = said(asTrouble(failed));
      toast(`${what} ${next}`, 'bad');
    }
    setBusy(false);
    props.onClose();
  };
  return (
    <Confirm open={asked !== null} kind={asked?.what === 'confirm' ? 'primary' : 'danger'} title={title} confirm={title} busy={busy} onClose={props.onClose} onConfirm={() => void act()}>
      {sure}
    </Confirm>
  );
}
