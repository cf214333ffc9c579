/** The TypeScript client: everything that an app may use. See README.md. */
export { Client, type ClientOptions } from './client';
export { PlugsideError, isCode } from './errors';
export { COMMANDS, ERRORS } from './generated';
export type {
  ChargerView,
  Code,
  CommandArgs,
  CommandView,
  ConnectorState,
  ConnectorView,
  LimitView,
  MeterSample,
  Name,
  Role,
  SessionView,
  TapView,
  Target,
  View,
} from './generated';
export { inForce, live, type Live } from './shown';
export type {
  AppClient,
  AskOptions,
  InviteInfo,
  LocalNetwork,
  Page,
  Run,
  SiteState,
  Stage,
  StageName,
  Trouble,
  Way,
  WayState,
} from './types';
