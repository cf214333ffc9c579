/** Language, the sites of this device, and what this is. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useClient } from '../client';
import { asTrouble, said } from '../errors';
import { LANGUAGES, language, speak } from '../i18n';
import * as format from '../format';
import { href } from '../router';
import { Button, ButtonLink, Card, Choice, Confirm, List, Page, Row, toast } from '../ui';
import { AllowanceLines } from './allowance';
import { DeviceSheet } from './device';
import { ReachBadge } from './reach';
import { driverWords } from './words';

export function Settings(): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const [leaving, setLeaving] = useState<SiteState | null>(null);
  const [adding, setAdding] = useState<SiteState | null>(null);
  const roles: Record<string, string> = { operator: words.roleOperator, installer: words.roleInstaller };
  const leave = async (site: SiteState): Promise<void> => {
    try {
      await client.forget(site.id);
      toast(words.left(site.name));
    } catch (failed) {
      toast(said(asTrouble(failed)).what, 'bad');
    }
    setLeaving(null);
  };
  return (
    <Page title={words.settings}>
      <Card>
        <Choice
          label={words.language}
          value={language.value}
          options={LANGUAGES.map((one) => [one, format.ownName(one)] as const)}
          onChange={speak}
        />
      </Card>
      <section class="site">
        <header class="site-head">
          <h2>{words.sites}</h2>
        </header>
        <List label={words.sites}>
          {client.sites.value.map((site) => (
            <Row
              key={site.id}
              title={site.name}
              detail={
                <>
                  <span class="badges">
                    {roles[site.role] ?? words.roleDriver}
                    <ReachBadge site={site} />
                  </span>
                  <AllowanceLines site={site} />
                  <span class="badges">
                    <Button
                      icon="plus"
                      disabled={site.path === null}
                      label={`${words.addDevice}: ${site.name}`}
                      testId="add-device"
                      onPress={() => setAdding(site)}
                    >
                      {words.addDevice}
                    </Button>
                    <Button kind="quiet" label={`${words.leave}: ${site.name}`} onPress={() => setLeaving(site)}>
                      {words.leave}
                    </Button>
                  </span>
                </>
              }
            />
          ))}
        </List>
        <ButtonLink kind="quiet" icon="plus" href={href('join')}>
          {words.addSite}
        </ButtonLink>
      </section>
      {adding === null ? null : <DeviceSheet site={adding} onClose={() => setAdding(null)} />}
      <Confirm
        title={words.leaveTitle(leaving?.name ?? '')}
        open={leaving !== null}
        onClose={() => setLeaving(null)}
        onConfirm={() => leaving && void leave(leaving)}
        confirm={words.leaveDo}
      >
        <p>{words.leaveText}</p>
      </Confirm>
    </Page>
  );
}
