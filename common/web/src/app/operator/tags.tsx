/** A tag that is nobody's becomes somebody's: by its reference, its text never leaves the site. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Run, SiteState } from '../../client';
import { useClient } from '../client';
import { soon } from '../soon';
import { Button, Form, Select, Sheet, toast } from '../ui';
import { useOffice, whoIs } from './context';
import { nameOf } from './needs';
import { RunLine } from './runs';
import { operatorWords } from './words';

export function TagSheet({ site, tag, onClose }: { site: SiteState; tag: string; onClose: () => void }): JSX.Element | null {
  const client = useClient();
  const words = operatorWords();
  const office = useOffice();
  const [principal, setPrincipal] = useState('');
  const [wrong, setWrong] = useState(false);
  const [run, setRun] = useState<Run | null>(null);
  useEffect(() => {
    setPrincipal('');
    setRun(null);
    setWrong(false);
  }, [tag]);
  useEffect(() => {
    if (run?.stage.value.outcome !== 'succeeded') return;
    toast(words.stages.succeeded ?? '');
    soon(office.again);
    onClose();
  }, [run?.stage.value.outcome]);
  const tap = site.view.taps[tag];
  const charger = tap && site.view.chargers[tap.charger];
  const give = (): void => {
    setWrong(!principal);
    if (!principal || !tap) return;
    setRun(client.command(site.id, 'assign_tag', { charger: tap.charger }, { tag_ref: tag, principal }));
  };
  return (
    <Sheet open={tag !== '' && tap !== undefined} title={words.giveTag} onClose={onClose}>
      <Form onSubmit={give}>
        <p class="muted">{words.tapAt(charger ? nameOf(charger) : (tap?.charger ?? ''))}</p>
        <Select
          label={words.person}
          value={principal}
          onChange={setPrincipal}
          testId="op-tag-person"
          options={[['', words.choose] as const, ...office.people.map((person) => [person.principal, whoIs(office, person.principal)] as const)]}
        />
        {wrong ? (
          <p class="field-error" role="alert">
            {words.personBad}
          </p>
        ) : null}
        {run ? <RunLine run={run} /> : null}
        <Button kind="primary" wide submit testId="op-tag-do">
          {words.giveTag}
        </Button>
      </Form>
    </Sheet>
  );
}
