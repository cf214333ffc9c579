/** Taking a charger in, or giving it another name: one command, whose outcome closes the sheet. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Run } from '../../client';
import { useClient } from '../client';
import { Button, Field, Form, Sheet, toast } from '../ui';
import { RunLine } from './runs';
import { operatorWords } from './words';

export function AdoptSheet(props: { site: string; charger: string; named?: string; onClose: () => void }): JSX.Element | null {
  const client = useClient();
  const words = operatorWords();
  const [name, setName] = useState(props.named ?? '');
  const [run, setRun] = useState<Run | null>(null);
  useEffect(() => {
    setName(props.named ?? '');
    setRun(null);
  }, [props.charger, props.named]);
  useEffect(() => {
    if (run?.stage.value.outcome !== 'succeeded') return;
    toast(words.stages.succeeded ?? '');
    props.onClose();
  }, [run?.stage.value.outcome]);
  const isNew = props.named === undefined;
  const busy = run !== null && ['asked', 'accepted', 'confirmed'].includes(run.stage.value.at);
  return (
    <Sheet
      open={props.charger !== ''}
      title={isNew ? words.adoptTitle(props.charger) : words.rename}
      onClose={props.onClose}
    >
      <Form onSubmit={() => setRun(client.command(props.site, 'adopt', { charger: props.charger }, { name: name.trim() }))}>
        {isNew ? <p class="muted">{words.adoptHint}</p> : null}
        <Field label={words.name} hint={words.nameHint} value={name} onInput={setName} maxLength={80} testId="op-adopt-name" />
        {run ? <RunLine run={run} /> : null}
        <Button kind="primary" wide submit busy={busy} testId="op-adopt-do">
          {isNew ? words.adopt : words.save}
        </Button>
      </Form>
    </Sheet>
  );
}
