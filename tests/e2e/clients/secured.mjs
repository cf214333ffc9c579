// A charger on `ocpp-rpc` that is moved up OCPP's security profiles: it keeps the password, the roots and the
// profile that it is told, hangs up when its profile changes, and dials anew with what it has. The library makes
// Basic authentication (the password as raw bytes, as its own server expects it) and TLS.
//
//     node secured.mjs PLAIN_URL TLS_URL IDENTITY [PASSWORD]
//
// With a password it begins at profile 1. Reports leave on stdout, one JSON object a line.

import { createInterface } from 'node:readline';
import { RPCClient } from 'ocpp-rpc';

const [plain, secure, identity, typed = ''] = process.argv.slice(2);
const report = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
let profile = typed ? 1 : 0, password = typed, roots = [], client = null;

const accepted = { status: 'Accepted' };
const calls = {
  ChangeConfiguration({ key, value }) {
    if (key === 'AuthorizationKey') { password = value; if (profile > 0) setTimeout(again, 20); }
    else if (key === 'SecurityProfile') { profile = Number(value); setTimeout(again, 20); }
    else return { status: 'NotSupported' };
    report('told', { key, value: key === 'AuthorizationKey' ? value.length : value });
    return accepted;
  },
  InstallCertificate({ certificateType, certificate }) {
    roots.push(certificate);
    report('told', { key: certificateType });
    return accepted;
  },
  GetConfiguration: ({ key = [] }) => ({ configurationKey: [], unknownKey: key }),
  TriggerMessage: () => ({ status: 'NotImplemented' }),
};

async function dial() {
  client = new RPCClient({
    endpoint: profile >= 2 ? secure : plain, identity, protocols: ['ocpp1.6'], strictMode: false, reconnect: false,
    password: profile >= 1 ? Buffer.from(password, 'hex') : null,
    wsOpts: profile >= 2 ? { ca: roots } : {},
  });
  for (const [name, answer] of Object.entries(calls)) client.handle(name, ({ params }) => answer(params));
  try {
    await client.connect();
    report('in', { profile });
    await client.call('BootNotification', { chargePointVendor: 'ocpp-rpc', chargePointModel: 'secured' });
    report('booted', { profile });
  } catch (failed) {
    report('out', { profile, why: String(failed.code ?? failed.message) });
  }
}
async function again() {
  await client.close({ code: 1000, reason: 'another profile', force: true });
  await dial();
}
createInterface({ input: process.stdin }).on('line', again).on('close', () => process.exit(0));
await dial();
