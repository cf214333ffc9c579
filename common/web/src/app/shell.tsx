/**
 * The shell: which screen stands for the route, the navigation, and what concerns every screen: no storage, no
 * secure page, a newer version. Screens are `driver/` and, loaded only for those who have the role, `operator/`.
 */
import { signal } from '@preact/signals';
import { Component, type ComponentChildren, type ComponentType, type JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import type { AppClient } from '../client';
import { newer, takeNewer } from '../pwa';
import { ClientContext, isStaff, startTicking, useClient } from './client';
import { Driver } from './driver/driver';
import { Join } from './driver/join';
import { DRIVER_ROUTES } from './driver/routes';
import { language } from './i18n';
import { href, route } from './router';
import { Button, ButtonLink, Empty, Icon, type IconName, Loading, Notice, Page, Toasts } from './ui';
import { shellWords } from './words';

/** The whole app for one client. */
export function Shell({ client }: { client: AppClient }): JSX.Element {
  useEffect(startTicking, []);
  useEffect(() => {
    document.documentElement.lang = language.value;
  }, [language.value]);
  return (
    <ClientContext.Provider value={client}>
      <Frame />
    </ClientContext.Provider>
  );
}

function Frame(): JSX.Element {
  const client = useClient();
  const words = shellWords();
  const joined = client.sites.value.length > 0;
  return (
    <div class={joined ? 'shell shell-joined' : 'shell'}>
      <a class="skip" href="#content" onClick={skip}>
        {words.skip}
      </a>
      {joined ? <Navigation /> : null}
      <main id="content" tabIndex={-1}>
        {isOld(client) ? <Newer /> : null}
        <Guard key={route.value.join('/')}>
          <Screen />
        </Guard>
      </main>
      <Toasts />
    </div>
  );
}

// The fragment is the route, so a link into the page would lead away from it.
function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

function isOld(client: AppClient): boolean {
  if (newer.value) return true;
  return client.sites.value.some((site) =>
    [site.lan.failure, site.cloud.failure, site.denied].some((failed) => failed?.code === 'unsupported_version'),
  );
}

function Newer(): JSX.Element {
  const words = shellWords();
  return (
    <div class="strip">
      <Notice
        tone="flow"
        icon="reload"
        title={words.newerTitle}
        testId="newer"
        action={
          <Button kind="primary" onPress={takeNewer}>
            {words.reload}
          </Button>
        }
      >
        {words.newer}
      </Notice>
    </div>
  );
}

function Screen(): JSX.Element {
  const client = useClient();
  const trouble = client.trouble.value;
  if (trouble !== null) return <Unusable trouble={trouble} />;
  const [first = 'chargers'] = route.value;
  if (client.sites.value.length === 0 || first === 'join') return <Join />;
  if (first === 'operator' && mayOperate(client)) return <Operating />;
  if (DRIVER_ROUTES.has(first)) return <Driver />;
  return <Nowhere />;
}

function mayOperate(client: AppClient): boolean {
  return client.sites.value.some(isStaff);
}

function Unusable({ trouble }: { trouble: 'storage' | 'insecure' }): JSX.Element {
  const words = shellWords();
  const storage = trouble === 'storage';
  return (
    <Page title="Plugside">
      <Empty
        icon="alert"
        testId={`trouble-${trouble}`}
        title={storage ? words.noStorageTitle : words.insecureTitle}
        action={
          <Button kind="primary" icon="reload" onPress={() => location.reload()}>
            {words.reload}
          </Button>
        }
      >
        <p>{storage ? words.noStorage : words.insecure}</p>
        <p>{storage ? words.noStorageNext : words.insecureNext}</p>
      </Empty>
    </Page>
  );
}

function Nowhere(): JSX.Element {
  const words = shellWords();
  return (
    <Page title={words.nowhereTitle}>
      <Empty
        icon="question"
        title={words.nowhereTitle}
        testId="nowhere"
        action={<ButtonLink href={href('chargers')}>{words.toStart}</ButtonLink>}
      >
        {words.nowhere}
      </Empty>
    </Page>
  );
}

// --- navigation ------------------------------------------------------------------------------------------------

function Navigation(): JSX.Element {
  const client = useClient();
  const words = shellWords();
  const [first = 'chargers'] = route.value;
  const open = first === 'at' || first === 'join' ? 'chargers' : first;
  const places: [string, string, IconName][] = [
    ['chargers', words.chargers, 'bolt'],
    ['history', words.history, 'history'],
  ];
  if (mayOperate(client)) places.push(['operator', words.operate, 'gauge']);
  places.push(['settings', words.settings, 'settings']);
  return (
    <nav class="nav" aria-label={words.navigation}>
      {places.map(([place, text, icon]) => (
        <a key={place} class="nav-one" href={href(place)} aria-current={place === open ? 'page' : undefined}>
          <Icon name={icon} />
          <span>{text}</span>
        </a>
      ))}
    </nav>
  );
}

// --- the operator's screens ------------------------------------------------------------------------------------

const operator = signal<ComponentType | null>(null);
let asked = false;

function Operating(): JSX.Element {
  if (!asked) {
    asked = true;
    void import('./operator').then((loaded) => {
      operator.value = loaded.Operator;
    });
  }
  const Loaded = operator.value;
  return Loaded === null ? <Loading rows={5} /> : <Loaded />;
}

// --- what breaks -----------------------------------------------------------------------------------------------

/** Keeps a screen that cannot be drawn from taking the rest with it. */
class Guard extends Component<{ children: ComponentChildren }, { broken: boolean }> {
  override state = { broken: false };

  override componentDidCatch(thrown: unknown): void {
    console.error(thrown);
    this.setState({ broken: true });
  }

  override render(): ComponentChildren {
    const words = shellWords();
    if (!this.state.broken) return this.props.children;
    return (
      <Page title={words.brokenTitle}>
        <Empty
          icon="alert"
          title={words.brokenTitle}
          testId="broken"
          action={
            <Button icon="reload" kind="primary" onPress={() => location.reload()}>
              {words.reload}
            </Button>
          }
        >
          {words.broken}
        </Empty>
      </Page>
    );
  }
}
