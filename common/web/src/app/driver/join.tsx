/** Joining a site: by a link that was opened, by the camera, or by a pasted text; with what it is, before it is used. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { InviteInfo } from '../../client';
import { useClient } from '../client';
import { type Trouble, asTrouble } from '../errors';
import * as format from '../format';
import { carried, go } from '../router';
import { Button, Card, Empty, Failure, Field, Form, Icon, Notice, Page, Sheet, toast } from '../ui';
import { joinWords } from './joinwords';
import { scan } from './scan';
import { read } from './ticket';

interface Read {
  readonly text: string;
  readonly info: InviteInfo;
}

/** The screen that a new device begins with, and where an invite leads. */
export function Join(): JSX.Element {
  const client = useClient();
  const words = joinWords();
  const first = client.sites.value.length === 0;
  const [invite, setInvite] = useState<Read | null>(null);
  const [wrong, setWrong] = useState<Trouble | null>(null);
  const [other, setOther] = useState('');
  const take = (text: string): void => {
    const ticket = read(text, location.origin);
    setWrong(null);
    setOther('');
    if (ticket.is === 'place') return go(ticket.segments);
    if (ticket.is === 'other') return setOther(ticket.text);
    try {
      setInvite({ text: ticket.text, info: client.readInvite(ticket.text) });
    } catch (failed) {
      setWrong(asTrouble(failed));
    }
  };
  useEffect(() => {
    if (carried.value === '') return;
    const text = carried.value;
    carried.value = '';
    take(text);
  }, [carried.value]);
  if (invite !== null) return <Accept invite={invite} onBack={() => setInvite(null)} />;
  return (
    <Page title={first ? words.welcome : words.title} {...(first ? {} : { back: ['chargers'] })}>
      {first ? (
        <Empty icon="bolt" title={words.welcomeTitle}>
          {words.welcomeText}
        </Empty>
      ) : (
        <p>{words.text}</p>
      )}
      {wrong ? <Failure trouble={wrong} /> : null}
      {other ? (
        <div role="alert">
          <Notice tone="wait" icon="question" title={words.otherTitle} testId="other">
            <p>{words.other}</p>
            <p class="stranger">{other}</p>
          </Notice>
        </div>
      ) : null}
      <Camera onText={take} />
      <Paste onText={take} />
    </Page>
  );
}

// --- the camera ------------------------------------------------------------------------------------------------

function Camera({ onText }: { onText: (text: string) => void }): JSX.Element {
  const words = joinWords();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button kind="primary" big wide icon="camera" testId="scan" onPress={() => setOpen(true)}>
        {words.scan}
      </Button>
      <Sheet title={words.scanTitle} open={open} onClose={() => setOpen(false)}>
        <Viewfinder
          onText={(text) => {
            setOpen(false);
            onText(text);
          }}
        />
      </Sheet>
    </>
  );
}

function Viewfinder({ onText }: { onText: (text: string) => void }): JSX.Element {
  const words = joinWords();
  const video = useRef<HTMLVideoElement>(null);
  const [failed, setFailed] = useState('');
  useEffect(() => {
    let end = (): void => {};
    let gone = false;
    if (video.current === null) return undefined;
    scan(video.current, (text) => {
      onText(text);
      return true;
    }).then(
      (ends) => {
        end = ends;
        if (gone) end();
      },
      (why: unknown) => setFailed(cameraSaid(why)),
    );
    return () => {
      gone = true;
      end();
    };
  }, []);
  return (
    <>
      {failed ? (
        <Notice tone="wait" icon="camera" title={failed} testId="no-camera">
          {words.pasteInstead}
        </Notice>
      ) : null}
      <video ref={video} class={failed ? 'viewfinder viewfinder-off' : 'viewfinder'} muted playsInline aria-label={words.scanTitle} />
      {failed ? null : <p class="muted">{words.scanHint}</p>}
    </>
  );
}

function cameraSaid(why: unknown): string {
  const words = joinWords();
  const name = why instanceof DOMException ? why.name : '';
  if (name === 'NotAllowedError') return words.cameraDenied;
  return name === 'NotFoundError' || name === '' ? words.noCamera : words.cameraBusy;
}

// --- pasting ---------------------------------------------------------------------------------------------------

function Paste({ onText }: { onText: (text: string) => void }): JSX.Element {
  const words = joinWords();
  const [text, setText] = useState('');
  return (
    <Card title={words.paste}>
      <Form onSubmit={() => text.trim() && onText(text)} label={words.paste}>
        <Field label={words.pasteLabel} value={text} onInput={setText} lines={3} maxLength={4096} testId="invite" />
        <Button submit wide disabled={text.trim() === ''} testId="read">
          {words.next}
        </Button>
      </Form>
    </Card>
  );
}

// --- what it is, and using it ----------------------------------------------------------------------------------

/** Told to the operator, so that a person can tell their devices apart. */
const NAME_CHARS_MAX = 64;

function Accept({ invite, onBack }: { invite: Read; onBack: () => void }): JSX.Element {
  const client = useClient();
  const words = joinWords();
  const [name, setName] = useState(words.deviceDefault);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const { info } = invite;
  const over = info.expiresMs < Date.now();
  const join = async (): Promise<void> => {
    setBusy(true);
    setTrouble(null);
    try {
      const site = await client.join(invite.text, name.trim() || words.deviceDefault);
      toast(words.joined(client.site(site).value?.name ?? ''));
      go(['chargers'], true);
    } catch (failed) {
      setTrouble(asTrouble(failed));
      setBusy(false);
    }
  };
  return (
    <Page
      title={words.acceptTitle}
      action={
        <>
          <Button kind="primary" big wide busy={busy} onPress={() => void join()} testId="join">
            {busy ? words.joining : words.join}
          </Button>
          <Button kind="quiet" wide onPress={onBack}>
            {words.notThis}
          </Button>
        </>
      }
    >
      <Card>
        <p class="maker">
          <Icon name={info.local ? 'home' : 'cloud'} />
          <span>
            {info.local ? words.fromBox : words.fromCloud}
            <strong>{info.maker}</strong>
          </span>
        </p>
        <p class="muted">{words.goodUntil(format.clock(info.expiresMs, Date.now()))}</p>
        {info.local ? <p>{words.onTheirNetwork}</p> : null}
      </Card>
      {over ? (
        <Notice tone="wait" icon="clock" testId="over">
          {words.maybeOver}
        </Notice>
      ) : null}
      {trouble ? <Failure trouble={trouble} onRetry={trouble.code === 'bad_invite' ? undefined : () => void join()} /> : null}
      <Field
        label={words.device}
        hint={words.deviceHint}
        value={name}
        onInput={setName}
        maxLength={NAME_CHARS_MAX}
        testId="device"
      />
      <p class="muted small">{words.onlyIf}</p>
    </Page>
  );
}
