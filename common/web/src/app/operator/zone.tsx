/** In which time zone a site is: its months begin and end there, and its times are told in it. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type Trouble, asTrouble } from '../errors';
import { soon } from '../soon';
import { Button, Failure, Form, Select, Sheet } from '../ui';
import { useDesk } from './ask';
import { useOffice, zoneOf } from './context';
import { operatorWords } from './words';

export function ZoneSheet({ site, open, onClose }: { site: string; open: boolean; onClose: () => void }): JSX.Element | null {
  const words = operatorWords();
  const office = useOffice();
  const desk = useDesk(site);
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [zone, setZone] = useState(zoneOf(office) ?? here);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const send = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      await desk.manage('site_zone', { zone });
      soon(office.again);
      onClose();
    } catch (failed) {
      setTrouble(asTrouble(failed));
    }
    setBusy(false);
  };
  const zones = new Set([zone, here, ...Intl.supportedValuesOf('timeZone')]);
  return (
    <Sheet open={open} title={words.setZone} onClose={onClose}>
      <Form onSubmit={() => void send()}>
        <p class="muted">{words.zoneHint}</p>
        <Select label={words.zone} value={zone} onChange={setZone} options={[...zones].map((one) => [one, one] as const)} testId="op-zone-choice" />
        {trouble ? <Failure trouble={trouble} /> : null}
        <Button kind="primary" wide submit busy={busy} testId="op-zone-do">
          {words.setZone}
        </Button>
      </Form>
    </Sheet>
  );
}
