// Fills the page with what the node says, and asks again while somebody looks; names and errors come from whoever
// deployed them, so everything is written as text, never as markup.
"use strict";

const EVERY_MS = 5000;
const AT_MOST_MS = 60000;
const PAGE = 50;

const place = (id) => document.getElementById(id);
const offsets = { applications: 0, actors: 0 };
let wait = EVERY_MS;
let timer = null;
let running = false;
let againAtOnce = false;

class Refused extends Error {}

// Kept for as long as this tab is open, and sent to nobody but this node.
const TOKEN = "plexspaces-token";

class Unauthenticated extends Error {
  constructor(token, message) {
    super(message);
    this.token = token;
  }
}

async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { cache: "no-store", headers, signal: AbortSignal.timeout(AT_MOST_MS) });
  const body = await answer.json();
  if (answer.status === 401) throw new Unauthenticated(token, body.error);
  // Health says what is wrong with a status of its own, in the same shape.
  if (!answer.ok && body.success === false) throw new Refused(body.error);
  return body;
}

const listed = (what) => ask(`/api/v1/dashboard/${what}?offset=${offsets[what]}&limit=${PAGE}`);

// ── words ───────────────────────────────────────────────────────────────────

function inBytes(bytes) {
  if (bytes === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${bytes < 10 && unit > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

function inTime(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}

const inMessages = ({ messages_handled: handled, messages_failed: failed }) =>
  failed > 0 ? `${handled} + ${failed} failed` : String(handled);

const inFailures = ({ failures, last_error: error, next_try_at: at }) => {
  const times = failures === 1 ? "once" : `${failures} times`;
  return `failed ${times}${at ? `, again at ${new Date(at).toLocaleTimeString()}` : ""}: ${error}`;
};

const when = (rfc3339) => new Date(rfc3339).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

// ── pieces ──────────────────────────────────────────────────────────────────

function write(id, text) {
  const element = place(id);
  // Unchanged text is left alone, so that a screen reader is not told it again.
  if (element.textContent !== text) element.textContent = text;
}

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function head(row, text) {
  const th = element("th", text);
  th.scope = "row";
  row.append(th);
}

function cell(row, column, content, className) {
  const td = element("td", "", className);
  td.dataset.column = column;
  td.append(content);
  row.append(td);
}

const MOODS = { healthy: "good", running: "good", degraded: "warn", starting: "warn", stopping: "warn", busy: "warn", failed: "bad" };
const badge = (word, text = word) => element("span", text, `badge ${MOODS[word] || "bad"}`);

function show(what, list, row) {
  const rows = list[what].map((item) => {
    const tr = document.createElement("tr");
    row(tr, item);
    return tr;
  });
  place(what).replaceChildren(...rows);
  showPages(what, list.page, rows.length);
}

function showPages(what, page, count) {
  const nav = place(`${what}-pages`);
  nav.hidden = page.total_size <= page.limit && page.offset === 0;
  if (nav.hidden) return;
  const turn = (text, offset, possible) => {
    const button = element("button", text);
    button.type = "button";
    button.disabled = !possible;
    button.addEventListener("click", () => {
      offsets[what] = Math.max(0, offset);
      refreshNow();
    });
    return button;
  };
  const focused = [...nav.children].indexOf(document.activeElement);
  const range = count > 0 ? `${page.offset + 1}–${page.offset + count} of ${page.total_size}` : `none of ${page.total_size}`;
  nav.replaceChildren(
    element("span", range),
    turn("Earlier", page.offset - page.limit, page.offset > 0),
    turn("Later", page.offset + page.limit, page.has_next),
  );
  if (focused >= 0) nav.children[focused].focus();
}

// ── parts of the page ───────────────────────────────────────────────────────

function showHealth(health) {
  const badge = place("health");
  write("health", health.status.replace("_", " "));
  badge.className = `badge ${MOODS[health.status] || "bad"}`;
  const reasons = health.degraded.map(({ component, reason }) => `${component}: ${reason}`);
  if (health.reason) reasons.unshift(health.reason);
  const title = health.status === "degraded" ? "The node serves, but not all is well" : "The node does not serve";
  showNotice(title, reasons, health.status === "degraded" ? "" : "bad");
}

function showNotice(title, reasons, mood) {
  place("notice").hidden = reasons.length === 0;
  place("notice").className = `notice ${mood}`;
  write("notice-title", title);
  const list = place("notice-list");
  const known = [...list.children].map((item) => item.textContent);
  if (known.join("\n") !== reasons.join("\n")) list.replaceChildren(...reasons.map((text) => element("li", text)));
}

function showApplications(list) {
  show("applications", list, (row, application) => {
    const status = application.status.replace("APPLICATION_STATUS_", "").toLowerCase();
    head(row, application.name);
    cell(row, "Status", badge(status), "state");
    cell(row, "Version", application.version);
    cell(row, "Kind", application.kind);
    cell(row, "Actors", String(application.metrics.actor_count), "number");
    cell(row, "Deployed", when(application.deployed_at), "quiet");
    const { revival } = application;
    cell(row, "Failures", revival ? inFailures(revival) : "none", revival ? "error" : "quiet none");
  });
  write("applications-total", String(list.page.total_size));
  const none = list.page.total_size === 0;
  place("empty").hidden = !none;
  place("applications-table").hidden = none;
  place("actors-section").hidden = none;
}

function showActors(list) {
  show("actors", list, (row, actor) => {
    head(row, actor.actor_id);
    const busy = actor.busy_seconds !== null;
    cell(row, "State", busy ? badge("busy", `busy ${inTime(Math.floor(actor.busy_seconds))}`) : badge(actor.state), "state");
    cell(row, "Supervisor", actor.supervisors.join(" › "));
    cell(row, "Restarts", String(actor.restarts), "number");
    cell(row, "Mailbox", String(actor.mailbox_depth), "number");
    cell(row, "Messages", inMessages(actor), "number");
    cell(row, "Memory", inBytes(actor.memory_bytes), "number");
    cell(row, "Last error", actor.last_error || "none", actor.last_error ? "error" : "quiet none");
  });
  write("actors-total", String(list.page.total_size));
}

function showNode(summary, system) {
  write("node", summary.node_id);
  document.title = `${summary.node_id} · PlexSpaces`;
  write("memory", inBytes(system.resident_bytes));
  write("uptime", inTime(system.uptime_seconds));
  const facts = [
    ["Version", system.version],
    ["System", `${system.os}, ${system.arch}`],
    ["Processors", String(system.cpu_count)],
    ["Memory", `${inBytes(system.memory_available_bytes)} free of ${inBytes(system.memory_total_bytes)}`],
    ["Data directory", `${inBytes(system.data_dir_free_bytes)} free`],
    ["Started", when(summary.since)],
    ...system.engine.map((pool) => [
      `Guests, ${pool.class}`,
      pool.slots === null ? pool.rung : `${pool.memories} of ${pool.slots} slots`,
    ]),
  ];
  const fact = ([name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  };
  place("facts").replaceChildren(...facts.map(fact));
}

// ── the token ───────────────────────────────────────────────────────────────

// Without a token that the node takes, there is a form to give one, and none of the figures.
function showSignIn(needed, complaint) {
  place("sign-in").hidden = !needed;
  place("overview").hidden = needed;
  place("sign-out").hidden = needed || !sessionStorage.getItem(TOKEN);
  write("complaint", complaint);
}

function askForToken(refused) {
  // A token that was given meanwhile is not the one that was refused.
  if (refused.token === sessionStorage.getItem(TOKEN)) sessionStorage.removeItem(TOKEN);
  // The page asks again by itself; what was said about the last token stays until the next one.
  showSignIn(true, refused.token ? refused.message : place("complaint").textContent);
  showNotice("", [], "");
  place("health").className = "badge warn";
  write("health", "token needed");
  write("freshness", "Waiting for a token");
}

function signIn(event) {
  event.preventDefault();
  // Whatever else was copied with it: a token has printable characters only, and so must a header.
  const token = place("token").value.replace(/[^!-~]/g, "");
  place("token").value = "";
  if (!token) return;
  sessionStorage.setItem(TOKEN, token);
  refreshNow();
}

function signOut() {
  sessionStorage.removeItem(TOKEN);
  refreshNow();
}

// ── asking ──────────────────────────────────────────────────────────────────

async function refresh() {
  const [health, summary, applications, actors, system] = await Promise.all([
    ask("/health"),
    ask("/api/v1/dashboard/summary"),
    listed("applications"),
    listed("actors"),
    ask("/api/v1/dashboard/system-info"),
  ]);
  showHealth(health);
  showApplications(applications);
  showActors(actors);
  showNode(summary, system);
  showSignIn(false, "");
  write("freshness", `As of ${new Date().toLocaleTimeString()}`);
}

async function refreshAndGoOn() {
  running = true;
  try {
    await refresh();
    wait = EVERY_MS;
  } catch (error) {
    if (error instanceof Unauthenticated) {
      // Only a token changes that answer, and each call without one leaves a line in the node's log.
      wait = AT_MOST_MS;
      askForToken(error);
      return;
    }
    wait = Math.min(wait * 2, AT_MOST_MS);
    place("health").className = "badge bad";
    const refused = error instanceof Refused;
    write("health", refused ? "refused" : "no answer");
    const again = `What you see is what it last said. Asking again in ${Math.round(wait / 1000)} s.`;
    showNotice(refused ? "The node refuses" : "The node does not answer", [error.message, again], "bad");
  } finally {
    running = false;
    if (againAtOnce) refreshNow();
    else schedule();
  }
}

// Nobody is asked anything while nobody looks.
function schedule() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refreshAndGoOn, wait);
}

function refreshNow() {
  clearTimeout(timer);
  againAtOnce = running;
  if (!running) refreshAndGoOn();
}

place("sign-in").addEventListener("submit", signIn);
place("sign-out").addEventListener("click", signOut);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refreshNow()));
write(
  "deploy-command",
  "curl -F application_id=my-app -F name=my-app -F version=1.0.0 \\\n" +
    `  -F wasm_file=@my.wasm ${location.origin}/api/v1/applications/deploy`,
);
refreshNow();
