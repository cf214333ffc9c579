/** A further device of one's own: a code to scan with it, good for minutes and once. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { SiteState } from '../../client';
import { useClient } from '../client';
import { type Trouble, asTrouble, said } from '../errors';
import * as format from '../format';
import { QrCode } from '../operator/qr';
import { Button, Failure, Loading, Sheet, toast } from '../ui';
import { driverWords } from './words';

interface Made {
  readonly invite: string;
  readonly life_s: number;
}

/** Where the app is: the cloud's, where the site has one, else whoever serves this page. */
function linkOf(site: SiteState, invite: string): string {
  return `${(site.cloudUrl || location.origin).replace(/\/$/, '')}/#join=${invite}`;
}

/** The sheet of one site; the code is made when it opens. */
export function DeviceSheet({ site, onClose }: { site: SiteState; onClose: () => void }): JSX.Element {
  const client = useClient();
  const words = driverWords();
  const [made, setMade] = useState<Made | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const make = (): void => {
    setTrouble(null);
    client.manage<Made>(site.id, 'device_add').then(setMade, (failed: unknown) => setTrouble(asTrouble(failed)));
  };
  useEffect(make, [client, site.id]);
  const copy = async (text: string): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      toast(words.copied);
    } catch {
      toast(said({ code: 'not_permitted' }).what, 'bad');
    }
  };
  return (
    <Sheet title={words.deviceTitle} open onClose={onClose}>
      {trouble ? <Failure trouble={trouble} onRetry={make} /> : null}
      {made === null && trouble === null ? <Loading rows={3} /> : null}
      {made === null ? null : (
        <>
          <p>{words.deviceText(site.name)}</p>
          <div class="code" data-testid="device-code">
            <QrCode text={linkOf(site, made.invite)} label={words.deviceTitle} />
          </div>
          <p class="muted">{words.deviceLife(format.duration(made.life_s * 1000))}</p>
          <Button wide onPress={() => void copy(linkOf(site, made.invite))}>
            {words.copyLink}
          </Button>
        </>
      )}
    </Sheet>
  );
}
