// A 2.0.1 station on `ocpp-rpc`: the library dials, redials with back-off, queues and checks every frame against
// its own 2.0.1 schemas; this file adds what a firmware does on top: a meter, a plug, a tag reader, one
// transaction at a time on EVSE 1, and events that are numbered and repeated, in order, until they are answered.
// What 2.0.1 lets a station send once (evse, idToken), it sends once.
//
//     node station.mjs URL IDENTITY [sample ms] [Wh a sample] [TxStartPoint: tap | plug]
//
// Commands come on stdin and reports leave on stdout, one JSON object a line.

import { createInterface } from 'node:readline';
import { RPCClient } from 'ocpp-rpc';

const [endpoint, identity, sampleMs = '100', sampleWh = '137', startPoint = 'tap'] = process.argv.slice(2);
const report = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const now = () => new Date().toISOString();
const client = new RPCClient({
  endpoint, identity, protocols: ['ocpp2.0.1'], strictMode: true, callTimeoutMs: 30000, pingIntervalMs: 0,
  backoff: { initialDelay: 100, maxDelay: 400, factor: 2, randomisationFactor: 0.25 },
});
let register = 512_044, plugged = false, transaction = null, booted = false, count = 0;
let online = false, delivery = Promise.resolve();

// One after the other; the library gives up a call when its socket goes, we do not.
function deliver(method, params) {
  const attempt = async () => {
    for (let attempts = 1; ; attempts += 1) {
      try {
        const answer = await client.call(method, params);
        report('delivered', { method, attempts, answer, offline: params.offline ?? false });
        return answer;
      } catch (failed) {
        if (failed.name !== 'AbortError' && failed.constructor.name !== 'TimeoutError') {
          report('refused', { method, code: failed.rpcErrorCode ?? String(failed), text: failed.message });
          return null;
        }
        await new Promise((again) => setTimeout(again, 20));
      }
    }
  };
  delivery = delivery.then(attempt);
  return delivery;
}
const status = (connectorStatus) => deliver('StatusNotification',
  { timestamp: now(), connectorStatus, evseId: 1, connectorId: 1 });
const meter = (context) => [{ timestamp: now(), sampledValue: [
  { value: register / 1000, context, measurand: 'Energy.Active.Import.Register',
    unitOfMeasure: { unit: 'Wh', multiplier: 3 } }] }];

function tell(mine, eventType, triggerReason, more = {}, info = {}) {
  const event = { eventType, timestamp: now(), triggerReason, seqNo: mine.seqNo,
    transactionInfo: { transactionId: mine.id, ...info }, ...more };
  mine.seqNo += 1;
  if (!online) event.offline = true;
  return deliver('TransactionEvent', event);
}
async function open(trigger, more, state) {
  count += 1;
  const mine = { id: `${identity}-${Date.now()}-${count}`, seqNo: 0, start: register, timer: null };
  transaction = mine;
  const answer = await tell(mine, 'Started', trigger,
    { evse: { id: 1, connectorId: 1 }, meterValue: meter('Transaction.Begin'), ...more }, state);
  report('started', { transaction: mine.id, status: answer?.idTokenInfo?.status ?? 'none', start_wh: mine.start });
  return answer;
}
function flow(mine) {
  mine.timer = setInterval(() => {
    register += Number(sampleWh);
    tell(mine, 'Updated', 'MeterValuePeriodic', { meterValue: meter('Sample.Periodic') });
  }, Number(sampleMs));
}
async function begin(token, trigger, remoteStartId) {
  const more = { idToken: token };
  const info = { chargingState: 'Charging', ...(remoteStartId === undefined ? {} : { remoteStartId }) };
  let answer = null;
  if (transaction === null) answer = await open(trigger, more, info);
  else answer = await tell(transaction, 'Updated', trigger, more, info);
  report('authorized', { status: answer?.idTokenInfo?.status ?? 'none' });
  const mine = transaction;
  if (mine === null) return;
  if ((answer?.idTokenInfo?.status ?? 'Accepted') !== 'Accepted') end('DeAuthorized', 'Deauthorized');
  else flow(mine);
}
async function end(stoppedReason, trigger) {
  const mine = transaction;
  if (mine === null) return;
  transaction = null;
  clearInterval(mine.timer);
  register += 7;  // what flowed after the last sample
  const stop = register;
  report('ended', { start_wh: mine.start, stop_wh: stop, reason: stoppedReason });
  await tell(mine, 'Ended', trigger, { meterValue: meter('Transaction.End') },
    { chargingState: plugged ? 'EVConnected' : 'Idle', stoppedReason });
  report('stopped', { transaction: mine.id, start_wh: mine.start, stop_wh: stop, events: mine.seqNo });
}

const card = (tag) => ({ idToken: tag, type: 'ISO14443' });
const flowing = () => transaction !== null && transaction.timer !== null;
const commands = {
  plug() {
    plugged = true;
    status('Occupied');
    if (startPoint === 'plug') open('CablePluggedIn', {}, { chargingState: 'EVConnected' });
  },
  async tap({ tag }) {
    if (flowing()) { end('Local', 'StopAuthorized'); return; }
    const { idTokenInfo } = await deliver('Authorize', { idToken: card(tag) });
    report('judged', { status: idTokenInfo.status });
    if (idTokenInfo.status === 'Accepted' && plugged) begin(card(tag), 'Authorized');
  },
  tap_offline({ tag }) { begin(card(tag), 'Authorized'); },  // a tag that it believes in without asking
  unplug() { plugged = false; end('EVDisconnected', 'EVCommunicationLost'); status('Available'); },
  async quit() { await client.close(); process.exit(0); },
};

client.handle(({ method, params }) => {
  report('asked', { method, params });
  if (method === 'GetVariables') {
    return { getVariableResult: params.getVariableData.map(({ component, variable }) => ({
      attributeStatus: 'UnknownVariable', component, variable })) };
  }
  if (method === 'SetVariables') {
    return { setVariableResult: params.setVariableData.map(({ component, variable }) => ({
      attributeStatus: 'Accepted', component, variable })) };
  }
  if (method === 'GetTransactionStatus') {
    return { ongoingIndicator: transaction?.id === params.transactionId, messagesInQueue: false };
  }
  if (method === 'TriggerMessage') {
    setTimeout(() => status(plugged ? 'Occupied' : 'Available'), 20);
    return { status: 'Accepted' };
  }
  const able = { RequestStartTransaction: plugged && !flowing(),
    RequestStopTransaction: transaction !== null && transaction.id === params.transactionId }[method];
  if (able) {
    setTimeout(() => (method === 'RequestStartTransaction'
      ? begin(params.idToken, 'RemoteStart', params.remoteStartId) : end('Remote', 'RemoteStop')), 20);
  }
  return { status: able ? 'Accepted' : 'Rejected' };
});
client.on('strictValidationFailure', ({ method, outbound, error }) =>
  report('violation', { method, outbound, error: String(error.message) }));
client.on('badMessage', ({ error }) => report('bad', { error: String(error.message) }));
client.on('disconnect', () => { online = false; report('disconnected'); });
client.on('open', async () => {
  online = true;
  report('open', { protocol: client.protocol });
  if (booted) return;  // like several firmwares: no BootNotification when only the socket was lost
  booted = true;
  const answer = await deliver('BootNotification', { reason: 'PowerUp', chargingStation: {
    vendorName: 'Elsewhere', model: 'RPC 2', serialNumber: `rpc-${identity}`, firmwareVersion: '2.2.1' } });
  await status('Available');
  report('booted', { status: answer.status });
});
createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on('close', () => process.exit(0));  // whoever steered us is gone
client.connect().catch((failed) => { report('failed', { code: failed.code ?? String(failed) }); process.exit(1); });
