// Made by `python -m tests.tools.app_types` from the structs in common/. Not to be changed by hand.

/** A fact's record, as the journal has it; `body` is one of `Bodies`, by its `kind`. */
export interface RawRecord {
  readonly uid: string;
  readonly kind: string;
  readonly v: number;
  readonly at: string;
  readonly clock: string;
  readonly body: unknown;
}

export type Branch = 'Refused' | 'RemoteFault' | 'LocalFault' | 'Unavailable';

/** What everybody knows of a command. */
export interface CommandRule {
  readonly roles: readonly Role[];
  readonly ttl_ms: number;
  readonly urgent: boolean;
  readonly of_the_site: boolean;
}

export type ConnectorState = "unknown" | "available" | "preparing" | "charging" | "suspended_ev" | "suspended_evse" | "finishing" | "reserved" | "unavailable" | "faulted";

export type Plug = "out" | "in" | "unknown";

export type EnergyMethod = "register" | "samples" | "interval" | "integrated" | "stated" | "unknown";

export type Phase = "idle" | "connected" | "charging" | "suspended_ev" | "suspended_evse";

export type Availability = "available" | "occupied" | "reserved" | "unavailable" | "faulted" | "unknown";

export type Role = "driver" | "operator" | "installer" | "local";

export type Path = "lan" | "cloud" | "local";

export type Name = "start" | "stop" | "unlock" | "reset" | "availability" | "configure" | "read_configuration" | "clear_cache" | "message" | "update_firmware" | "fetch_diagnostics" | "trigger" | "install_certificate" | "delete_certificate" | "list_certificates" | "limit" | "clear_limit" | "read_limit" | "adjust" | "adopt" | "secure" | "resolve" | "reserve" | "cancel_reservation" | "assign_tag" | "withdraw_tag" | "offline_policy";

/** One moment of a meter, all measurands that came with it. Absent = not reported, never 0. */
export interface MeterSample {
  readonly at: string | null;
  readonly context: string;
  readonly energy_wh: number | null;
  readonly export_wh: number | null;
  readonly power_w: number | null;
  readonly current_a: readonly number[] | null;
  readonly offered_a: number | null;
  readonly voltage_v: number | null;
  readonly soc_percent: number | null;
  readonly temperature_c: number | null;
  readonly interval_wh: number | null;
  readonly location: string;
  readonly other: Readonly<Record<string, number>>;
  readonly signed: readonly string[];
  readonly part: string;
}

/** One limit at a charger. `limit_a`: what it said yes to last, None = nothing yet. */
export interface LimitView {
  readonly limit_a: number | null;
  readonly proof: string;
  readonly rank: string;
  readonly asked_a: number | null;
  readonly measured_a: number | null;
}

/** What people decided on, whatever became of it. `policy_a`: the operator's, by EVSE; 0 = the whole. */
export interface WantedView {
  readonly revision: number;
  readonly safety_a: number | null;
  readonly policy_a: Readonly<Record<string, number>>;
}

/** One connector. `observed` set = its state is being confirmed. `stale` = last known, link is down. */
export interface ConnectorView {
  readonly evse: number;
  readonly connector: number;
  readonly state: ConnectorState;
  readonly plug: Plug;
  readonly observed: ConnectorState | null;
  readonly error_code: string;
  readonly info: string;
  readonly since: string;
  readonly stale: boolean;
  readonly out_of_service: boolean;
  readonly unattributed: boolean;
  readonly session: string | null;
  readonly limit: LimitView | null;
  readonly session_limit: LimitView | null;
  readonly reserved_by: string;
  readonly reserved_until: string;
}

/** One charger, by its OCPP identity. */
export interface ChargerView {
  readonly id: string;
  readonly name: string;
  readonly adopted: boolean;
  readonly online: boolean;
  readonly protocol: string;
  readonly address: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  readonly since: string;
  readonly boots: number;
  readonly lost_reason: string;
  readonly update: string;
  readonly station: ConnectorState;
  readonly connectors: Readonly<Record<string, ConnectorView>>;
  readonly limit: LimitView | null;
  readonly wanted: WantedView;
  readonly profile: number;
  readonly reboot_required: boolean;
}

/** One charge. `energy_wh` is so far while open, and final once `ended_at` is there. */
export interface SessionView {
  readonly session: string;
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly transaction: string;
  readonly principal: string | null;
  readonly command: string | null;
  readonly started_at: string;
  readonly received_at: string;
  readonly authorization: string;
  readonly meter_start_wh: number | null;
  readonly meter_stop_wh: number | null;
  readonly energy_wh: number | null;
  readonly method: EnergyMethod;
  readonly power_w: number | null;
  readonly current_a: readonly number[] | null;
  readonly soc_percent: number | null;
  readonly phase: Phase | null;
  readonly sampled_at: string;
  readonly heard_at: string;
  readonly ended_at: string;
  readonly reason: string;
  readonly provisional: boolean;
  readonly revision: number;
  readonly obtained: string;
  readonly flags: readonly string[];
}

/** One command on its way: accepted → sent → confirmed → settled. */
export interface CommandView {
  readonly command: string;
  readonly name: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly state: string;
  readonly answer: string;
  readonly outcome: string;
  readonly code: string;
  readonly session: string | null;
  readonly evse: number | null;
  readonly operative: boolean | null;
}

/** A tag that nobody has was shown at a charger: it can be given to somebody. */
export interface TapView {
  readonly charger: string;
  readonly at: string;
}

/** A tag of somebody's was shown at a charger, and their caps refused it. */
export interface RefusedTagView {
  readonly charger: string;
  readonly at: string;
  readonly because: string;
}

/** A whole site. `epoch`/`seq` name the last fact that is in it. */
export interface View {
  readonly site: string;
  readonly epoch: string;
  readonly seq: number;
  readonly at: string;
  readonly chargers: Readonly<Record<string, ChargerView>>;
  readonly sessions: Readonly<Record<string, SessionView>>;
  readonly commands: Readonly<Record<string, CommandView>>;
  readonly taps: Readonly<Record<string, TapView>>;
  readonly refused_tags: Readonly<Record<string, RefusedTagView>>;
}

/** A charger's connection was accepted (or, `adopted=False`, refused and put into the adoption queue). */
export interface ChargerSeen {
  readonly charger: string;
  readonly protocol: string;
  readonly address: string;
  readonly adopted: boolean;
  readonly each: boolean;
}

/** An installer took a charger into the site, or renamed it, or (`removed`) let it go. */
export interface ChargerAdopted {
  readonly charger: string;
  readonly name: string;
  readonly removed: boolean;
  readonly since: string;
}

export interface ChargerBooted {
  readonly charger: string;
  readonly vendor: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
}

/** The connection ended; every connector's state is now only the last one known. */
export interface ChargerLost {
  readonly charger: string;
  readonly reason: string;
}

/** The held state of a connector changed, or (`observed`) a report was held back until confirmed. */
export interface ConnectorChanged {
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly state: ConnectorState;
  readonly plug: Plug;
  readonly via: string;
  readonly observed: ConnectorState | null;
  readonly unconfirmed: boolean;
  readonly error_code: string;
  readonly info: string;
  readonly reported_at: string;
  readonly unattributed: boolean;
  readonly connectors: Readonly<Record<string, Availability>>;
}

/** A transaction opened. `key` is the deduplication key's hash; a replay finds this fact by it. */
export interface SessionStarted {
  readonly session: string;
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly transaction: string;
  readonly principal: string | null;
  readonly tag_ref: string | null;
  readonly command: string | null;
  readonly started_at: string;
  readonly received_at: string;
  readonly meter_start_wh: number | null;
  readonly authorization: string;
  readonly key: string;
  readonly weak: boolean;
  readonly boot: number;
  readonly clock_offset_ms: number;
  readonly scale: number;
  readonly history: boolean;
  readonly supersedes: string | null;
  readonly cap_wh: number | null;
  readonly flags: readonly string[];
}

/** One event of a session was taken. `number` and `digest` tell a repeat, a gap, and a contradiction. */
export interface SessionEvent {
  readonly session: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly step: string;
  readonly number: number | null;
  readonly digest: string;
  readonly phase: Phase | null;
  readonly at: string;
}

/** What became known of a session after it began. Each field is told once; None = not by this fact. */
export interface SessionLearned {
  readonly session: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly evse: number | null;
  readonly connector: number | null;
  readonly tag_ref: string | null;
  readonly command: string | null;
  readonly authorization: string | null;
  readonly started_at: string | null;
  readonly meter_start_wh: number | null;
  readonly cap_wh: number | null;
}

/** Samples of one message. Without `session`: nobody's energy (connector 0, or no transaction). */
export interface MeterSampled {
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly session: string | null;
  readonly principal: string | null;
  readonly transaction: string;
  readonly samples: readonly MeterSample[];
  readonly late: boolean;
}

/** A transaction closed. `provisional`: closed by us; the charger's own stop replaces it. */
export interface SessionEnded {
  readonly session: string;
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly transaction: string;
  readonly principal: string | null;
  readonly ended_at: string;
  readonly received_at: string;
  readonly meter_stop_wh: number | null;
  readonly energy_wh: number | null;
  readonly method: EnergyMethod;
  readonly reason: string;
  readonly obtained: string;
  readonly stopped_by: string | null;
  readonly provisional: boolean;
  readonly flags: readonly string[];
}

/** A later truth about a session: the true stop after a provisional close, or an operator's decision. */
export interface SessionRevised {
  readonly session: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly revision: number;
  readonly ended_at: string | null;
  readonly meter_stop_wh: number | null;
  readonly energy_wh: number | null;
  readonly method: EnergyMethod;
  readonly obtained: string;
  readonly command: string;
  readonly reason: string;
  readonly flags: readonly string[];
}

/** A charger reported something that fits no session. Kept whole; never guessed, never billed. */
export interface OrphanRecorded {
  readonly charger: string;
  readonly orphan: string;
  readonly what: string;
  readonly reason: string;
  readonly evse: number;
  readonly transaction: string;
  readonly at: string;
  readonly meter_wh: number | null;
  readonly raw: string;
  readonly principal: string | null;
}

/** An operator judged an orphan. `decision`: accepted | attached (to `session`) | dismissed. */
export interface OrphanResolved {
  readonly charger: string;
  readonly orphan: string;
  readonly decision: string;
  readonly session: string | null;
  readonly command: string;
  readonly reason: string;
}

/** A charger's register and its power tell different energies by a round factor (quirk 71). */
export interface MeterDoubted {
  readonly charger: string;
  readonly evse: number;
  readonly factor: number;
  readonly register_wh: number;
  readonly power_wh: number;
}

/** The edge took a command on; from here it ends in exactly one `command_settled`. */
export interface CommandAccepted {
  readonly command: string;
  readonly principal: string | null;
  readonly role: Role;
  readonly path: Path;
  readonly name: string;
  readonly charger: string;
  readonly evse: number | null;
  readonly connector: number | null;
  readonly session: string | null;
  readonly fingerprint: string;
  readonly expires_at: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly cap_wh: number | null;
  readonly because: string;
}

/** The call to the charger is about to leave (at-most-once commands: committed before it does). */
export interface CommandSent {
  readonly command: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly attempt: number;
  readonly step: string;
}

/** The charger answered. Accepted means that it will try; see `command_settled` for the effect. */
export interface CommandConfirmed {
  readonly command: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly answer: string;
  readonly detail: string;
  readonly result: Readonly<Record<string, unknown>>;
}

/** The command's one end. A refusal is settled too, so that a repeat gets the same answer. */
export interface CommandSettled {
  readonly command: string;
  readonly charger: string;
  readonly principal: string | null;
  readonly outcome: string;
  readonly code: string;
  readonly detail: string;
  readonly session: string | null;
  readonly fingerprint: string;
  readonly result: Readonly<Record<string, unknown>>;
}

/** Who may do what changed: a grant was issued, a tag assigned or withdrawn. */
export interface AuthorizationChanged {
  readonly principal: string | null;
  readonly change: string;
  readonly role: Role | null;
  readonly chargers: readonly string[] | null;
  readonly key: string;
  readonly caps: Caps | null;
  readonly tag_ref: string;
  readonly charger: string;
  readonly since: string;
  readonly because: string;
}

/** Charges of one principal that another box has counted; those that are known here already count once. */
export interface AllowanceCarried {
  readonly principal: string;
  readonly charges: readonly Charge[];
}

/** How far a charger's firmware update is, in the charger's own word; `fetched`: the box served it whole. */
export interface FirmwareChanged {
  readonly charger: string;
  readonly status: string;
  readonly detail: string;
}

/** A charger's log on its way: its own word (uploading | uploaded | upload_failed), or `received`: it is */
export interface UploadChanged {
  readonly charger: string;
  readonly status: string;
  readonly command: string;
  readonly file: string;
  readonly name: string;
  readonly size_bytes: number;
  readonly sha256: string;
  readonly detail: string;
}

/** What a charger can do was found out by asking; forgotten when it boots with another firmware. */
export interface CapabilityLearned {
  readonly charger: string;
  readonly ability: string;
  readonly value: string;
}

/** A charger's own certificate. `change`: asked | refused | failed | sent | installed | not_installed. */
export interface CertificateChanged {
  readonly charger: string;
  readonly change: string;
  readonly sha256: string;
  readonly detail: string;
  readonly until: string;
}

/** How a charger proves who it is: its security profile, and which password. Holds no secret. */
export interface ChargerSecured {
  readonly charger: string;
  readonly change: string;
  readonly profile: number;
  readonly to: number | null;
  readonly credential: string;
  readonly detail: string;
}

/** Up to `count` facts with samples, between two others that are named, are about to lose their content. */
export interface Thinned {
  readonly reason: "retention" | "rolled_up" | "halved" | "not_stored";
  readonly epoch: string;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly first_uid: string;
  readonly last_uid: string;
  readonly count: number;
  readonly acked: boolean;
  readonly since: string;
  readonly over: boolean;
}

/** The box's own clock was set. What it wrote in this boot so far is off by `after` − `before`. */
export interface ClockStepped {
  readonly before: string;
  readonly after: string;
  readonly reason: string;
  readonly boot: string;
  readonly mono_ms: number;
  readonly since: string;
}

/** Something an operator should know: a clone, a wrong password, a flood, an unreadable peer. */
export interface SecurityNoted {
  readonly what: string;
  readonly charger: string;
  readonly address: string;
  readonly detail: string;
}

/** What every charger of the site should be set to: setting → values, the first one preferred. */
export interface SettingsWanted {
  readonly settings: Readonly<Record<string, readonly string[]>>;
}

/** A setting was written to a charger, or (`done`) the procedure of this boot came to its end. */
export interface ChargerConfigured {
  readonly charger: string;
  readonly setting: string;
  readonly value: string;
  readonly before: string;
  readonly answer: string;
  readonly done: boolean;
}

/** How chargers of one vendor, model and firmware behave was found out on one of them. */
export interface ModelLearned {
  readonly charger: string;
  readonly what: string;
  readonly key: string;
  readonly value: string;
}

/** What is known beforehand about a charger. `source`: catalogue (its model) | installer (over it). */
export interface TraitsChanged {
  readonly charger: string;
  readonly source: string;
  readonly traits: Readonly<Record<string, unknown>>;
  readonly revision: number;
}

/** Somebody decided on a limit (None: lifted it). `evse` 0 = the charger as a whole. */
export interface LimitWanted {
  readonly charger: string;
  readonly evse: number;
  readonly rank: string;
  readonly limit_a: number | null;
  readonly revision: number;
}

/** How far a limit is in force at a charger. `limit_a` is the lowest of all ranks, for each phase. */
export interface LimitApplied {
  readonly charger: string;
  readonly evse: number;
  readonly scope: string;
  readonly rank: string;
  readonly limit_a: number | null;
  readonly proof: string;
  readonly attempt: number;
  readonly rung: number;
  readonly measured_a: number | null;
}

/** What chargers of this site do about tags while the box is away. `policy`: strict (nobody starts by a */
export interface OfflinePolicyChanged {
  readonly policy: string;
  readonly revision: number;
}

/** The local list was brought to a charger: `entries` tags `of` those that are good there. */
export interface TagsListed {
  readonly charger: string;
  readonly version: number;
  readonly entries: number;
  readonly of: number;
  readonly answer: string;
}

/** A connector is kept for somebody, or not any more. Names nobody: whose `command` it is knows. */
export interface ReservationChanged {
  readonly charger: string;
  readonly evse: number;
  readonly connector: number;
  readonly reservation: number;
  readonly command: string;
  readonly until: string;
  readonly state: string;
  readonly why: string;
}

/** What a command acts on. `evse` and `connector` count from 1; absent = the charger's only or whole. */
export interface Target {
  readonly charger: string;
  readonly evse?: number | null;
  readonly connector?: number | null;
}

/** Begin a charge on the target connector for the asking principal. */
export interface Start {
}

/** End the named session. */
export interface Stop {
  readonly session: string;
}

/** Release the plug. Ends a session that is running on the connector, if it may (`ends_charge`). */
export interface Unlock {
  readonly ends_charge?: boolean;
}

/** Restart the charger. Soft stops sessions in good order; hard may lose what the charger has queued. */
export interface Reset {
  readonly hard?: boolean;
  readonly ends_charge?: boolean;
}

/** Take a connector (or the whole charger) into or out of service; survives the charger's reboot. */
export interface SetAvailability {
  readonly operative: boolean;
}

/** Set one configuration key (1.6) or variable (2.x). */
export interface Configure {
  readonly key: string;
  readonly value: string;
}

/** Read configuration keys; none named = all that the charger tells. */
export interface ReadConfiguration {
  readonly keys?: readonly string[];
}

/** Empty the charger's own list of tags it has seen accepted. */
export interface ClearCache {
}

/** A vendor's own message (DataTransfer). */
export interface Message {
  readonly vendor: string;
  readonly message?: string;
  readonly data?: string;
}

/** Have the charger fetch a file that the box keeps, and install it. Waits until no car charges. */
export interface UpdateFirmware {
  readonly file: string;
  readonly version?: string;
  readonly signed?: boolean;
}

/** Have the charger send its log to the box. `since`, `until`: ISO 8601 with a zone; empty = open. */
export interface FetchDiagnostics {
  readonly log?: "diagnostics" | "security";
  readonly since?: string;
  readonly until?: string;
}

/** Have the charger tell something now. `certificate`: ask for a new one of its own. */
export interface Trigger {
  readonly what: "status" | "meter" | "boot" | "heartbeat" | "firmware" | "diagnostics" | "log" | "certificate";
}

/** Have the charger trust a root certificate (PEM). */
export interface InstallCertificate {
  readonly use: "central_system" | "manufacturer";
  readonly certificate: string;
}

/** Have the charger no longer trust a root certificate; named as `list_certificates` tells it. */
export interface DeleteCertificate {
  readonly algorithm: "SHA256" | "SHA384" | "SHA512";
  readonly issuer_name: string;
  readonly issuer_key: string;
  readonly serial: string;
}

/** Read which root certificates the charger trusts. */
export interface ListCertificates {
  readonly use?: "central_system" | "manufacturer";
}

/** Charge with at most so many amperes for each phase; the lowest limit of all ranks is in force. */
export interface Limit {
  readonly limit_a: number;
  readonly session?: string;
  readonly safety?: boolean;
  readonly expect?: number | null;
}

/** Lift a limit; fields as for `Limit`. */
export interface ClearLimit {
  readonly session?: string;
  readonly safety?: boolean;
  readonly expect?: number | null;
}

/** Ask the charger what it allows on a connector now. */
export interface ReadLimit {
}

/** Put a value over what is known of a charger's model (None: take it away again). */
export interface Adjust {
  readonly trait: string;
  readonly value?: unknown;
  readonly expect?: number | null;
}

/** Take a charger into the site, also before it first dials, or give an adopted one another name. */
export interface Adopt {
  readonly name?: string;
  readonly profile?: 0 | 1 | 2 | 3 | null;
}

/** Change how a charger proves who it is: its OCPP security profile, or (`rotate`) its password. */
export interface Secure {
  readonly profile: 0 | 1 | 2 | 3;
  readonly rotate?: boolean;
  readonly by_hand?: boolean;
}

/** Decide on what is flagged: a session that is over (`revision`: the one looked at), or an orphan. */
export interface Resolve {
  readonly decision: "accept" | "set" | "attach" | "dismiss";
  readonly reason: string;
  readonly session?: string;
  readonly revision?: number | null;
  readonly orphan?: string;
  readonly energy_wh?: number | null;
  readonly principal?: string;
}

/** Keep the target connector for the asking principal. */
export interface Reserve {
  readonly minutes?: number;
}

/** Give up what is reserved on the target connector. */
export interface CancelReservation {
}

/** A tag that was shown at a charger belongs to a principal from now on. It is named by its reference. */
export interface AssignTag {
  readonly tag_ref: string;
  readonly principal: string;
  readonly chargers?: readonly string[] | null;
}

/** A tag is nobody's any more. */
export interface WithdrawTag {
  readonly tag_ref: string;
}

/** What chargers do about tags while the box is away: nobody starts, or who is on their local list. */
export interface OfflinePolicy {
  readonly policy: "strict" | "listed";
  readonly expect?: number | null;
}

/** The payload that is signed. `id` is a UUIDv7 made and stored by the app before it sends. */
export interface Command {
  readonly site: string;
  readonly id: string;
  readonly name: Name;
  readonly target: Target;
  readonly args?: Readonly<Record<string, unknown>>;
  readonly expires_at: string;
}

/** One site that this link may follow. */
export interface SiteAccess {
  readonly site: string;
  readonly name: string;
  readonly role: string;
  readonly principal: string;
  readonly online: boolean;
  readonly expires_at: string;
  readonly key: string;
  readonly succession: string;
  readonly addresses: readonly string[];
  readonly certificates: readonly string[];
  readonly owner: boolean;
  readonly grace: boolean;
  readonly caps: Caps | null;
  readonly revocations: readonly string[];
  readonly zone: string;
}

/** First message. `nonce` is 32 random bytes. */
export interface Hello {
  readonly kind: "hello";
  readonly versions?: readonly number[];
  readonly nonce: string;
  readonly client?: string;
}

/** Grants (one a site) and the proof that their key is here. Empty on the local socket. */
export interface Auth {
  readonly kind: "auth";
  readonly grants?: readonly string[];
  readonly key?: string;
  readonly signature?: string;
  readonly revocations?: readonly string[];
}

/** Turn an invite into a grant for this key. Signed like `auth`, so an invite is never spent on a key */
export interface Redeem {
  readonly kind: "redeem";
  readonly secret: string;
  readonly key: string;
  readonly signature: string;
  readonly device?: string;
}

/** Ask for a fresh grant in place of one that is past half its life (or expired, key known). */
export interface Renew {
  readonly kind: "renew";
  readonly grant: string;
}

/** Follow these sites. A later follow replaces the earlier one. `since` = {site: [epoch, seq]}. */
export interface Follow {
  readonly kind: "follow";
  readonly sites: readonly string[];
  readonly since?: Readonly<Record<string, readonly [string, number]>>;
}

/** A signed command (`common.trust.seal`) beside the grant that permits it. On the local socket the */
export interface SendCommand {
  readonly kind: "command";
  readonly id: string;
  readonly site: string;
  readonly envelope: string;
  readonly grant?: string;
}

/** Read what is not live. `what`: sessions | session | meter | audit | invites | health … */
export interface Query {
  readonly kind: "query";
  readonly id: string;
  readonly site: string;
  readonly what: string;
  readonly args?: Readonly<Record<string, unknown>>;
  readonly after?: string;
  readonly limit?: number;
}

/** Administration that is not a command to a charger (pair, invite, forget, tags …): never repeated. */
export interface Manage {
  readonly kind: "manage";
  readonly id: string;
  readonly site: string;
  readonly name: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Liveness on transports that have none of their own. */
export interface Ping {
  readonly kind: "ping";
  readonly at?: number;
}

/** Who serves: its identity key over both nonces and its certificate list, before any grant is sent. */
export interface Proof {
  readonly kind: "proof";
  readonly version: number;
  readonly nonce: string;
  readonly server: string;
  readonly key: string;
  readonly certificates: readonly string[];
  readonly path: string;
  readonly time: string;
  readonly clock: string;
  readonly signature: string;
  readonly rotations: readonly string[];
}

/** Authenticated. What this link may do from here. Said again when something of it has changed. */
export interface Welcome {
  readonly kind: "welcome";
  readonly sites: readonly SiteAccess[];
  readonly time: string;
}

/** The answer to `redeem` and `renew`: the grant and what is needed to find the site. */
export interface Granted {
  readonly kind: "granted";
  readonly grant: string;
  readonly site: SiteAccess;
  readonly cloud: string;
  readonly cloud_key: string;
}

/** A site as this principal may see it. Facts after (`epoch`, `seq`) follow without a gap. */
export interface Snapshot {
  readonly kind: "snapshot";
  readonly site: string;
  readonly epoch: string;
  readonly seq: number;
  readonly view: View;
  readonly at: string;
  readonly age_ms: number;
  readonly source: string;
}

/** One fact. `record` is the journal's own bytes. Numbers may have gaps: what is not yours is left out. */
export interface FactMessage {
  readonly kind: "fact";
  readonly site: string;
  readonly epoch: string;
  readonly seq: number;
  readonly record: RawRecord;
}

/** The cloud says whether a site's box is connected. */
export interface Presence {
  readonly kind: "presence";
  readonly site: string;
  readonly online: boolean;
  readonly at: string;
}

/** The edge has the command in its journal. */
export interface Accepted {
  readonly kind: "accepted";
  readonly id: string;
}

/** The charger answered. */
export interface Confirmed {
  readonly kind: "confirmed";
  readonly id: string;
  readonly answer: string;
  readonly detail: string;
  readonly result: Readonly<Record<string, unknown>>;
}

/** The command's one end: the effect was observed, or is known not to come, or stays unknown. */
export interface Settled {
  readonly kind: "settled";
  readonly id: string;
  readonly outcome: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly session: string;
  readonly result: Readonly<Record<string, unknown>>;
}

/** The answer to anything that is declined; `id` where the request had one. */
export interface Refusal {
  readonly kind: "refused";
  readonly id: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Rows of a query. `next` empty = the end. */
export interface Page {
  readonly kind: "page";
  readonly id: string;
  readonly rows: readonly unknown[];
  readonly next: string;
}

/** The answer to `manage`. */
export interface Managed {
  readonly kind: "managed";
  readonly id: string;
  readonly result: Readonly<Record<string, unknown>>;
}

export interface Pong {
  readonly kind: "pong";
  readonly at: number;
}

/** Last message before the server closes, with the reason. */
export interface Bye {
  readonly kind: "bye";
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** What a right is for, at most. Everything absent = no such cap. */
export interface Caps {
  readonly energy_wh: number | null;
  readonly sessions: number | null;
  readonly period: "day" | "week" | "month";
  readonly connectors: readonly string[] | null;
  readonly hours: readonly string[];
  readonly offset_min: number;
}

/** One charge that is over, as far as its principal's caps need it: what a box tells the one after it. */
export interface Charge {
  readonly session: string;
  readonly charger: string;
  readonly at: string;
  readonly told_at: string;
  readonly energy_wh: number;
  readonly refused: boolean;
}

/** The bodies of facts by their kind. */
export interface Bodies {
  readonly charger_seen: ChargerSeen;
  readonly charger_adopted: ChargerAdopted;
  readonly charger_booted: ChargerBooted;
  readonly charger_lost: ChargerLost;
  readonly connector_changed: ConnectorChanged;
  readonly session_started: SessionStarted;
  readonly session_event: SessionEvent;
  readonly session_learned: SessionLearned;
  readonly meter_sampled: MeterSampled;
  readonly session_ended: SessionEnded;
  readonly session_revised: SessionRevised;
  readonly orphan_recorded: OrphanRecorded;
  readonly orphan_resolved: OrphanResolved;
  readonly meter_doubted: MeterDoubted;
  readonly command_accepted: CommandAccepted;
  readonly command_sent: CommandSent;
  readonly command_confirmed: CommandConfirmed;
  readonly command_settled: CommandSettled;
  readonly authorization_changed: AuthorizationChanged;
  readonly allowance_carried: AllowanceCarried;
  readonly firmware_changed: FirmwareChanged;
  readonly upload_changed: UploadChanged;
  readonly capability_learned: CapabilityLearned;
  readonly certificate_changed: CertificateChanged;
  readonly charger_secured: ChargerSecured;
  readonly thinned: Thinned;
  readonly clock_stepped: ClockStepped;
  readonly security_noted: SecurityNoted;
  readonly settings_wanted: SettingsWanted;
  readonly charger_configured: ChargerConfigured;
  readonly model_learned: ModelLearned;
  readonly traits_changed: TraitsChanged;
  readonly limit_wanted: LimitWanted;
  readonly limit_applied: LimitApplied;
  readonly offline_policy_changed: OfflinePolicyChanged;
  readonly tags_listed: TagsListed;
  readonly reservation_changed: ReservationChanged;
}

export type ClientMessage = Hello | Auth | Redeem | Renew | Follow | SendCommand | Query | Manage | Ping;

export type ServerMessage = Proof | Welcome | Granted | Snapshot | FactMessage | Presence | Accepted | Confirmed | Settled | Refusal | Page | Managed | Pong | Bye;

/** The arguments of commands by their name. */
export interface CommandArgs {
  readonly start: Start;
  readonly stop: Stop;
  readonly unlock: Unlock;
  readonly reset: Reset;
  readonly availability: SetAvailability;
  readonly configure: Configure;
  readonly read_configuration: ReadConfiguration;
  readonly clear_cache: ClearCache;
  readonly message: Message;
  readonly update_firmware: UpdateFirmware;
  readonly fetch_diagnostics: FetchDiagnostics;
  readonly trigger: Trigger;
  readonly install_certificate: InstallCertificate;
  readonly delete_certificate: DeleteCertificate;
  readonly list_certificates: ListCertificates;
  readonly limit: Limit;
  readonly clear_limit: ClearLimit;
  readonly read_limit: ReadLimit;
  readonly adjust: Adjust;
  readonly adopt: Adopt;
  readonly secure: Secure;
  readonly resolve: Resolve;
  readonly reserve: Reserve;
  readonly cancel_reservation: CancelReservation;
  readonly assign_tag: AssignTag;
  readonly withdraw_tag: WithdrawTag;
  readonly offline_policy: OfflinePolicy;
}

/** The newest version of each kind of fact that is understood here. */
export const VERSIONS_OF_FACTS: Readonly<Record<string, number>> = {
  "charger_seen": 1,
  "charger_adopted": 1,
  "charger_booted": 1,
  "charger_lost": 1,
  "connector_changed": 1,
  "session_started": 1,
  "session_event": 1,
  "session_learned": 1,
  "meter_sampled": 1,
  "session_ended": 1,
  "session_revised": 1,
  "orphan_recorded": 1,
  "orphan_resolved": 1,
  "meter_doubted": 1,
  "command_accepted": 1,
  "command_sent": 1,
  "command_confirmed": 1,
  "command_settled": 1,
  "authorization_changed": 1,
  "allowance_carried": 1,
  "firmware_changed": 1,
  "upload_changed": 1,
  "capability_learned": 1,
  "certificate_changed": 1,
  "charger_secured": 1,
  "thinned": 1,
  "clock_stepped": 1,
  "security_noted": 1,
  "settings_wanted": 1,
  "charger_configured": 1,
  "model_learned": 1,
  "traits_changed": 1,
  "limit_wanted": 1,
  "limit_applied": 1,
  "offline_policy_changed": 1,
  "tags_listed": 1,
  "reservation_changed": 1
};

/** What is left out on the wire, by struct: view, facts and messages of the server. */
export const DEFAULTS = {
  "MeterSample": {
    "at": null,
    "context": "periodic",
    "energy_wh": null,
    "export_wh": null,
    "power_w": null,
    "current_a": null,
    "offered_a": null,
    "voltage_v": null,
    "soc_percent": null,
    "temperature_c": null,
    "interval_wh": null,
    "location": "outlet",
    "other": {},
    "signed": [],
    "part": ""
  },
  "LimitView": {
    "limit_a": null,
    "proof": "",
    "rank": "",
    "asked_a": null,
    "measured_a": null
  },
  "WantedView": {
    "revision": 0,
    "safety_a": null,
    "policy_a": {}
  },
  "ConnectorView": {
    "connector": 1,
    "state": "unknown",
    "plug": "unknown",
    "observed": null,
    "error_code": "",
    "info": "",
    "since": "",
    "stale": false,
    "out_of_service": false,
    "unattributed": false,
    "session": null,
    "limit": null,
    "session_limit": null,
    "reserved_by": "",
    "reserved_until": ""
  },
  "ChargerView": {
    "name": "",
    "adopted": false,
    "online": false,
    "protocol": "",
    "address": "",
    "vendor": "",
    "model": "",
    "serial": "",
    "firmware": "",
    "since": "",
    "boots": 0,
    "lost_reason": "",
    "update": "",
    "station": "unknown",
    "connectors": {},
    "limit": null,
    "wanted": {
      "revision": 0,
      "safety_a": null,
      "policy_a": {}
    },
    "profile": 0,
    "reboot_required": false
  },
  "SessionView": {
    "connector": 1,
    "transaction": "",
    "principal": null,
    "command": null,
    "started_at": "",
    "received_at": "",
    "authorization": "accepted",
    "meter_start_wh": null,
    "meter_stop_wh": null,
    "energy_wh": null,
    "method": "unknown",
    "power_w": null,
    "current_a": null,
    "soc_percent": null,
    "phase": null,
    "sampled_at": "",
    "heard_at": "",
    "ended_at": "",
    "reason": "",
    "provisional": false,
    "revision": 0,
    "obtained": "measured",
    "flags": []
  },
  "CommandView": {
    "principal": null,
    "state": "accepted",
    "answer": "",
    "outcome": "",
    "code": "",
    "session": null,
    "evse": null,
    "operative": null
  },
  "TapView": {},
  "RefusedTagView": {
    "because": ""
  },
  "View": {
    "epoch": "",
    "seq": 0,
    "at": "",
    "chargers": {},
    "sessions": {},
    "commands": {},
    "taps": {},
    "refused_tags": {}
  },
  "ChargerSeen": {
    "protocol": "",
    "address": "",
    "adopted": true,
    "each": false
  },
  "ChargerAdopted": {
    "name": "",
    "removed": false,
    "since": ""
  },
  "ChargerBooted": {
    "vendor": "",
    "model": "",
    "serial": "",
    "firmware": ""
  },
  "ChargerLost": {
    "reason": ""
  },
  "ConnectorChanged": {
    "connector": 1,
    "plug": "unknown",
    "via": "report",
    "observed": null,
    "unconfirmed": false,
    "error_code": "",
    "info": "",
    "reported_at": "",
    "unattributed": false,
    "connectors": {}
  },
  "SessionStarted": {
    "connector": 1,
    "principal": null,
    "tag_ref": null,
    "command": null,
    "meter_start_wh": null,
    "authorization": "accepted",
    "key": "",
    "weak": false,
    "boot": 0,
    "clock_offset_ms": 0,
    "scale": 1.0,
    "history": false,
    "supersedes": null,
    "cap_wh": null,
    "flags": []
  },
  "SessionEvent": {
    "principal": null,
    "number": null,
    "digest": "",
    "phase": null,
    "at": ""
  },
  "SessionLearned": {
    "principal": null,
    "evse": null,
    "connector": null,
    "tag_ref": null,
    "command": null,
    "authorization": null,
    "started_at": null,
    "meter_start_wh": null,
    "cap_wh": null
  },
  "MeterSampled": {
    "connector": 1,
    "session": null,
    "principal": null,
    "transaction": "",
    "samples": [],
    "late": false
  },
  "SessionEnded": {
    "connector": 1,
    "transaction": "",
    "principal": null,
    "meter_stop_wh": null,
    "energy_wh": null,
    "method": "unknown",
    "reason": "",
    "obtained": "measured",
    "stopped_by": null,
    "provisional": false,
    "flags": []
  },
  "SessionRevised": {
    "principal": null,
    "ended_at": null,
    "meter_stop_wh": null,
    "energy_wh": null,
    "method": "unknown",
    "obtained": "measured",
    "command": "",
    "reason": "",
    "flags": []
  },
  "OrphanRecorded": {
    "orphan": "",
    "evse": 0,
    "transaction": "",
    "at": "",
    "meter_wh": null,
    "raw": "",
    "principal": null
  },
  "OrphanResolved": {
    "session": null,
    "command": ""
  },
  "MeterDoubted": {},
  "CommandAccepted": {
    "principal": null,
    "evse": null,
    "connector": null,
    "session": null,
    "args": {},
    "cap_wh": null,
    "because": ""
  },
  "CommandSent": {
    "principal": null,
    "attempt": 1,
    "step": ""
  },
  "CommandConfirmed": {
    "principal": null,
    "detail": "",
    "result": {}
  },
  "CommandSettled": {
    "principal": null,
    "code": "",
    "detail": "",
    "session": null,
    "fingerprint": "",
    "result": {}
  },
  "AuthorizationChanged": {
    "principal": null,
    "role": null,
    "chargers": null,
    "key": "",
    "caps": null,
    "tag_ref": "",
    "charger": "",
    "since": "",
    "because": ""
  },
  "AllowanceCarried": {
    "charges": []
  },
  "FirmwareChanged": {
    "detail": ""
  },
  "UploadChanged": {
    "command": "",
    "file": "",
    "name": "",
    "size_bytes": 0,
    "sha256": "",
    "detail": ""
  },
  "CapabilityLearned": {},
  "CertificateChanged": {
    "sha256": "",
    "detail": "",
    "until": ""
  },
  "ChargerSecured": {
    "to": null,
    "credential": "",
    "detail": ""
  },
  "Thinned": {
    "epoch": "",
    "first_seq": 0,
    "last_seq": 0,
    "first_uid": "",
    "last_uid": "",
    "count": 0,
    "acked": false,
    "since": "",
    "over": false
  },
  "ClockStepped": {
    "reason": "",
    "boot": "",
    "mono_ms": 0,
    "since": ""
  },
  "SecurityNoted": {
    "charger": "",
    "address": "",
    "detail": ""
  },
  "SettingsWanted": {
    "settings": {}
  },
  "ChargerConfigured": {
    "setting": "",
    "value": "",
    "before": "",
    "answer": "",
    "done": false
  },
  "ModelLearned": {
    "key": "",
    "value": ""
  },
  "TraitsChanged": {
    "traits": {},
    "revision": 0
  },
  "LimitWanted": {
    "evse": 0,
    "limit_a": null,
    "revision": 0
  },
  "LimitApplied": {
    "rank": "",
    "limit_a": null,
    "attempt": 0,
    "rung": 0,
    "measured_a": null
  },
  "OfflinePolicyChanged": {},
  "TagsListed": {},
  "ReservationChanged": {
    "connector": 1,
    "until": "",
    "state": "made",
    "why": ""
  },
  "SiteAccess": {
    "name": "",
    "online": true,
    "expires_at": "",
    "key": "",
    "succession": "",
    "addresses": [],
    "certificates": [],
    "owner": false,
    "grace": false,
    "caps": null,
    "revocations": [],
    "zone": ""
  },
  "Proof": {
    "certificates": [],
    "clock": "synced",
    "rotations": []
  },
  "Welcome": {},
  "Granted": {
    "cloud": "",
    "cloud_key": ""
  },
  "Snapshot": {
    "age_ms": 0,
    "source": "edge"
  },
  "FactMessage": {},
  "Presence": {},
  "Accepted": {},
  "Confirmed": {
    "detail": "",
    "result": {}
  },
  "Settled": {
    "code": "",
    "message": "",
    "hint": "",
    "session": "",
    "result": {}
  },
  "Refusal": {
    "id": "",
    "hint": ""
  },
  "Page": {
    "next": ""
  },
  "Managed": {
    "result": {}
  },
  "Pong": {
    "at": 0
  },
  "Bye": {
    "hint": ""
  }
} as const;

/** Kind of a fact → name of its struct. */
export const BODY_OF: Readonly<Record<string, keyof typeof DEFAULTS>> = {
  "charger_seen": "ChargerSeen",
  "charger_adopted": "ChargerAdopted",
  "charger_booted": "ChargerBooted",
  "charger_lost": "ChargerLost",
  "connector_changed": "ConnectorChanged",
  "session_started": "SessionStarted",
  "session_event": "SessionEvent",
  "session_learned": "SessionLearned",
  "meter_sampled": "MeterSampled",
  "session_ended": "SessionEnded",
  "session_revised": "SessionRevised",
  "orphan_recorded": "OrphanRecorded",
  "orphan_resolved": "OrphanResolved",
  "meter_doubted": "MeterDoubted",
  "command_accepted": "CommandAccepted",
  "command_sent": "CommandSent",
  "command_confirmed": "CommandConfirmed",
  "command_settled": "CommandSettled",
  "authorization_changed": "AuthorizationChanged",
  "allowance_carried": "AllowanceCarried",
  "firmware_changed": "FirmwareChanged",
  "upload_changed": "UploadChanged",
  "capability_learned": "CapabilityLearned",
  "certificate_changed": "CertificateChanged",
  "charger_secured": "ChargerSecured",
  "thinned": "Thinned",
  "clock_stepped": "ClockStepped",
  "security_noted": "SecurityNoted",
  "settings_wanted": "SettingsWanted",
  "charger_configured": "ChargerConfigured",
  "model_learned": "ModelLearned",
  "traits_changed": "TraitsChanged",
  "limit_wanted": "LimitWanted",
  "limit_applied": "LimitApplied",
  "offline_policy_changed": "OfflinePolicyChanged",
  "tags_listed": "TagsListed",
  "reservation_changed": "ReservationChanged"
};

/** Kind of a server's message → name of its struct. */
export const MESSAGE_OF: Readonly<Record<string, keyof typeof DEFAULTS>> = {
  "proof": "Proof",
  "welcome": "Welcome",
  "granted": "Granted",
  "snapshot": "Snapshot",
  "fact": "FactMessage",
  "presence": "Presence",
  "accepted": "Accepted",
  "confirmed": "Confirmed",
  "settled": "Settled",
  "refused": "Refusal",
  "page": "Page",
  "managed": "Managed",
  "pong": "Pong",
  "bye": "Bye"
};

/** Who may ask for what, how long it may live in ms, and whether it leaves before its commit. */
export const COMMANDS: Readonly<Record<Name, CommandRule>> = {
  "start": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 30000,
    "urgent": false,
    "of_the_site": false
  },
  "stop": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": true,
    "of_the_site": false
  },
  "unlock": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 15000,
    "urgent": false,
    "of_the_site": false
  },
  "reset": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "availability": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 86400000,
    "urgent": false,
    "of_the_site": false
  },
  "configure": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 86400000,
    "urgent": false,
    "of_the_site": false
  },
  "read_configuration": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "clear_cache": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "message": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "update_firmware": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 86400000,
    "urgent": false,
    "of_the_site": false
  },
  "fetch_diagnostics": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "trigger": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "install_certificate": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "delete_certificate": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "list_certificates": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "limit": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": true,
    "of_the_site": false
  },
  "clear_limit": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "read_limit": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "adjust": {
    "roles": [
      "installer",
      "local"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "adopt": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": false
  },
  "secure": {
    "roles": [
      "installer",
      "local"
    ],
    "ttl_ms": 900000,
    "urgent": false,
    "of_the_site": false
  },
  "resolve": {
    "roles": [
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": true
  },
  "reserve": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 30000,
    "urgent": false,
    "of_the_site": false
  },
  "cancel_reservation": {
    "roles": [
      "driver",
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 300000,
    "urgent": false,
    "of_the_site": false
  },
  "assign_tag": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": true
  },
  "withdraw_tag": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": true
  },
  "offline_policy": {
    "roles": [
      "installer",
      "local",
      "operator"
    ],
    "ttl_ms": 60000,
    "urgent": false,
    "of_the_site": true
  }
};

/** Every error: what to say, and what to do next (`common/errors.py`). */
export const ERRORS = {
  "bad_request": {
    "message": "That cannot be done as it was asked.",
    "hint": "Correct what is named, or update the app, and try again.",
    "branch": "Refused"
  },
  "not_permitted": {
    "message": "You may not do that here.",
    "hint": "Ask the operator of this site for the right to.",
    "branch": "Refused"
  },
  "unknown_charger": {
    "message": "There is no such charger here, or it is not yours to use.",
    "hint": "Check the name on the charger, or ask the operator to add you.",
    "branch": "Refused"
  },
  "bad_charger_id": {
    "message": "No charger can have that identity.",
    "hint": "Use the identity that is set in the charger: letters, digits and . - _ : = + * @, 48 at most.",
    "branch": "Refused"
  },
  "unknown_connector": {
    "message": "This charger has no such connector.",
    "hint": "Choose one of its own connectors.",
    "branch": "Refused"
  },
  "unknown_session": {
    "message": "There is no such charging session.",
    "hint": "Look at the charger's state again.",
    "branch": "Refused"
  },
  "not_your_session": {
    "message": "That charge was started by somebody else.",
    "hint": "Only they or the operator can end it.",
    "branch": "Refused"
  },
  "connector_in_use": {
    "message": "This connector is in use.",
    "hint": "Wait until it is free, or use another one.",
    "branch": "Refused"
  },
  "connector_faulted": {
    "message": "The charger reports a fault.",
    "hint": "Use another charger and tell the operator.",
    "branch": "Refused"
  },
  "connector_unavailable": {
    "message": "This connector is out of service.",
    "hint": "Use another one.",
    "branch": "Refused"
  },
  "connector_reserved": {
    "message": "This connector is reserved.",
    "hint": "Use another one, or wait until it is free.",
    "branch": "Refused"
  },
  "confirming": {
    "message": "The charger's state is being confirmed.",
    "hint": "Try again in a few seconds.",
    "branch": "Refused"
  },
  "unplug_first": {
    "message": "The last charge has ended but the cable is still in.",
    "hint": "Unplug, plug in again, then start.",
    "branch": "Refused"
  },
  "expired": {
    "message": "That command came too late and was not carried out.",
    "hint": "Try again.",
    "branch": "Refused"
  },
  "id_reuse": {
    "message": "This command id was used before for something else.",
    "hint": "Send the command again with a new id.",
    "branch": "Refused"
  },
  "wrong_site": {
    "message": "That command is for another site.",
    "hint": "Send it to the site that it names.",
    "branch": "Refused"
  },
  "unknown_site": {
    "message": "There is no such site, or it is not yours to use.",
    "hint": "Check the site's name.",
    "branch": "Refused"
  },
  "bad_signature": {
    "message": "The signature does not fit the request.",
    "hint": "Pair this device again.",
    "branch": "Refused"
  },
  "bad_grant": {
    "message": "This device's permission is not valid here.",
    "hint": "Pair this device again.",
    "branch": "Refused"
  },
  "grant_expired": {
    "message": "This device's permission has run out.",
    "hint": "Connect to the internet once, or pair again.",
    "branch": "Refused"
  },
  "revoked": {
    "message": "This device's permission was withdrawn.",
    "hint": "Ask the operator of this site.",
    "branch": "Refused"
  },
  "clock_unproven": {
    "message": "The box does not know what time it is, so it takes drivers only.",
    "hint": "Connect the box to the internet, or set its clock: plugside-edge clock --set TIME.",
    "branch": "Refused"
  },
  "bad_invite": {
    "message": "This invite is not valid, was used, or has run out.",
    "hint": "Ask the operator for a new one.",
    "branch": "Refused"
  },
  "bad_bundle": {
    "message": "This export file was not taken; nothing of it was lost at the box.",
    "hint": "Run `plugside-edge export FILE` on the box again and copy the file whole.",
    "branch": "Refused"
  },
  "key_replaced": {
    "message": "This box's key was given up for another one, and is not its site's any more.",
    "hint": "If the box was put back from an old copy, pair it again. If not, somebody has a copy of its disk.",
    "branch": "Refused"
  },
  "limit_reached": {
    "message": "The limit agreed for you is reached.",
    "hint": "Ask the operator of this site.",
    "branch": "Refused"
  },
  "month_open": {
    "message": "That month is not closed at this site.",
    "hint": "Once it is over there, `plugside-cloud export` closes it.",
    "branch": "Refused"
  },
  "charger_rejected": {
    "message": "The charger refused.",
    "hint": "Look at what it shows; to start, the car must be plugged in. Then try again.",
    "branch": "Refused"
  },
  "charger_not_supported": {
    "message": "This charger cannot do that.",
    "hint": "Use the charger's own controls.",
    "branch": "Refused"
  },
  "charger_timeout": {
    "message": "The charger did not answer; it may still act.",
    "hint": "Watch its state before you try again.",
    "branch": "Refused"
  },
  "not_plugged_in": {
    "message": "The charger was ready but no car was plugged in in time.",
    "hint": "Plug in, then start again.",
    "branch": "Refused"
  },
  "ftp_only": {
    "message": "This charger moves files by FTP only, which the box does not serve.",
    "hint": "Update it, or read its log, with its maker's own tool on this network.",
    "branch": "Refused"
  },
  "unknown_file": {
    "message": "The box has no such file, or the file is not what it was when it was added.",
    "hint": "Add the file again.",
    "branch": "Refused"
  },
  "transfer_failed": {
    "message": "The charger could not move the file.",
    "hint": "Check that it reaches the box's file port (`plugside-edge health` shows it), then try again.",
    "branch": "Refused"
  },
  "firmware_failed": {
    "message": "The charger did not install the firmware.",
    "hint": "Check that the file is for this model; the charger goes on with what it had.",
    "branch": "Refused"
  },
  "signature_needed": {
    "message": "This charger takes signed firmware only.",
    "hint": "Add the file together with its maker's signature and certificate.",
    "branch": "Refused"
  },
  "limit_too_low": {
    "message": "Below 6 A for each connector no car can charge, and this charger may end the charge over it.",
    "hint": "Choose 6 A or more, or stop the charge.",
    "branch": "Refused"
  },
  "limit_refused": {
    "message": "The charger refused the limit; what was in force before still is.",
    "hint": "Set it at the charger itself, or ask its maker how it takes charging profiles.",
    "branch": "Refused"
  },
  "limit_unproven": {
    "message": "The charger has not shown yet that it keeps to the limit.",
    "hint": "Look at the current that it draws, and do not rely on the limit until it is shown as proven.",
    "branch": "Refused"
  },
  "replaced": {
    "message": "A later command took the place of this one.",
    "hint": "Look at the limit that is in force.",
    "branch": "Refused"
  },
  "changed_meanwhile": {
    "message": "Somebody else has changed that meanwhile.",
    "hint": "Look at it again, then decide anew.",
    "branch": "Refused"
  },
  "session_open": {
    "message": "This charge is not over yet.",
    "hint": "Stop it, or wait: one whose charger says nothing more is closed by the box.",
    "branch": "Refused"
  },
  "nothing_to_decide": {
    "message": "This decision does not fit what is there.",
    "hint": "Look at the session again: it may need an energy, or belong to somebody already.",
    "branch": "Refused"
  },
  "unknown_orphan": {
    "message": "There is no such report waiting for a decision.",
    "hint": "Somebody may have decided already: `plugside-edge ledger orphans` lists what waits.",
    "branch": "Refused"
  },
  "no_transaction": {
    "message": "The charger never told the box that this charge began, so it cannot be told to end it.",
    "hint": "End it at the car; or restart the charger (a soft reset).",
    "branch": "Refused"
  },
  "security_profile": {
    "message": "That is not how a charger's security changes.",
    "hint": "See `plugside-edge chargers security ID`: up one profile at a time, down only with --by-hand.",
    "branch": "Refused"
  },
  "would_end_charge": {
    "message": "A car is charging there, and this would end its charge.",
    "hint": "Wait, stop the charge first, or ask again and say that it may end.",
    "branch": "Refused"
  },
  "protocol": {
    "message": "The other side sent something that does not belong here.",
    "hint": "Update both sides.",
    "branch": "RemoteFault"
  },
  "untrusted_peer": {
    "message": "The other side could not prove that it is the box or cloud you paired with.",
    "hint": "Do not continue on this network; check that you are on the site's own.",
    "branch": "RemoteFault"
  },
  "unsupported_version": {
    "message": "The two sides have no protocol version in common.",
    "hint": "Update the older one.",
    "branch": "RemoteFault"
  },
  "too_large": {
    "message": "That message is larger than is allowed.",
    "hint": "Send less at once.",
    "branch": "RemoteFault"
  },
  "bad_receipt": {
    "message": "This is not the receipt that a box signed.",
    "hint": "Do not rely on it; ask for a new one: plugside receipt SESSION.",
    "branch": "RemoteFault"
  },
  "bad_settings": {
    "message": "A setting is wrong.",
    "hint": "Correct the setting that is named and start again.",
    "branch": "LocalFault"
  },
  "folder_in_use": {
    "message": "Another process is running on this data folder.",
    "hint": "Stop it first, or give this one its own --data folder.",
    "branch": "LocalFault"
  },
  "folder_unusable": {
    "message": "The data folder cannot be used.",
    "hint": "Check that it exists and can be written.",
    "branch": "LocalFault"
  },
  "not_running": {
    "message": "Nothing answers there.",
    "hint": "Start it (its service, or `run`), or name its --socket.",
    "branch": "LocalFault"
  },
  "not_paired": {
    "message": "This device is not paired with any site.",
    "hint": "Run `plugside pair INVITE` first.",
    "branch": "LocalFault"
  },
  "internal": {
    "message": "Something went wrong on our side; nothing was changed.",
    "hint": "Try again; tell us if it stays.",
    "branch": "LocalFault"
  },
  "charger_offline": {
    "message": "The charger is not connected.",
    "hint": "Check its power and network, then try again.",
    "branch": "Unavailable"
  },
  "site_offline": {
    "message": "The site cannot be reached right now.",
    "hint": "Try again, or use the site's own Wi-Fi.",
    "branch": "Unavailable"
  },
  "journal_unavailable": {
    "message": "The box cannot write to its disk, so it takes no new work.",
    "hint": "Free space or replace the disk; the chargers keep what they have.",
    "branch": "Unavailable"
  },
  "busy": {
    "message": "Too much is going on right now.",
    "hint": "Try again in a few seconds.",
    "branch": "Unavailable"
  },
  "slow_reader": {
    "message": "This connection read too slowly and was cut.",
    "hint": "Connect again.",
    "branch": "Unavailable"
  },
  "no_path": {
    "message": "Neither the box nor the cloud can be reached.",
    "hint": "Check this device's network.",
    "branch": "Unavailable"
  },
  "cloud_unreachable": {
    "message": "The cloud cannot be reached; the site goes on without it.",
    "hint": "Check the internet connection of the box; what it has to send is kept.",
    "branch": "Unavailable"
  },
  "disk_full": {
    "message": "The box has no room for that file.",
    "hint": "Remove firmware that no charger needs, or free space on its disk.",
    "branch": "Unavailable"
  },
  "shutting_down": {
    "message": "The service is restarting.",
    "hint": "Connect again in a moment.",
    "branch": "Unavailable"
  }
} as const satisfies Readonly<Record<string, { message: string; hint: string; branch: Branch }>>;

/** Bounds that both sides keep. */
export const LIMITS = {
  "versions": [
    1
  ],
  "clientBytesMax": 65536,
  "serverBytesMax": 4194304,
  "settledCommandsMax": 64,
  "tapsMax": 16,
  "endedSessionsMax": 4,
  "liveMs": 180000
} as const;

export type Code = keyof typeof ERRORS;
