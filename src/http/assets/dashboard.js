// Fills the page with what the node says, and asks again every few seconds while the page is seen.
"use strict";

const place = (id) => document.getElementById(id);

// Kept for as long as this tab is open, and sent to nobody but this node.
const TOKEN = "plexspaces-token";

class Unauthenticated extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { cache: "no-store", headers });
  const body = await answer.json();
  if (answer.status === 401) throw new Unauthenticated(token ? body.error : "");
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

// textContent only: names come from whoever deployed them.
function cell(row, text, className) {
  const td = row.insertCell();
  td.textContent = text;
  if (className) td.className = className;
}

function showApplications(applications) {
  const body = place("applications");
  body.replaceChildren();
  for (const application of applications) {
    const row = body.insertRow();
    const status = application.status.replace("APPLICATION_STATUS_", "").toLowerCase();
    cell(row, application.name);
    cell(row, application.version);
    cell(row, status, status === "running" ? "good" : "bad");
    cell(row, application.kind);
    cell(row, String(application.metrics.actor_count));
    cell(row, new Date(application.deployed_at).toLocaleString());
  }
  place("empty").hidden = applications.length > 0;
}

function showHealth(text, good) {
  const health = place("health");
  health.textContent = text;
  health.className = good ? "good" : "bad";
}

// Without a token that the node takes, there is a form to give one, and none of the figures.
function showSignIn(needed, complaint) {
  place("sign-in").hidden = !needed;
  place("overview").hidden = needed;
  place("sign-out").hidden = needed || !sessionStorage.getItem(TOKEN);
  place("complaint").textContent = complaint;
}

function signIn(event) {
  event.preventDefault();
  // Whatever else was copied with it: a token has printable characters only, and so must a header.
  const token = place("token").value.replace(/[^!-~]/g, "");
  place("token").value = "";
  if (!token) return;
  sessionStorage.setItem(TOKEN, token);
  refresh();
}

function signOut() {
  sessionStorage.removeItem(TOKEN);
  refresh();
}

async function refresh() {
  try {
    const [summary, list] = await Promise.all([ask("/api/v1/dashboard/summary"), ask("/api/v1/applications")]);
    place("node").textContent = summary.node_id;
    place("version").textContent = summary.version;
    place("applications-total").textContent = String(summary.total_applications);
    const actors = Object.values(summary.actors_by_type).reduce((sum, count) => sum + count, 0);
    place("actors-total").textContent = String(actors);
    showApplications(list.applications);
    showSignIn(false, "");
    showHealth("serving", true);
  } catch (error) {
    if (error instanceof Unauthenticated) {
      sessionStorage.removeItem(TOKEN);
      // The page asks again by itself; what was said about the last token stays until the next one.
      showSignIn(true, error.message || place("complaint").textContent);
      return showHealth("token needed", false);
    }
    showHealth(error.message, false);
  }
}

place("deploy-url").textContent = location.origin + "/api/v1/applications/deploy";
place("sign-in").addEventListener("submit", signIn);
place("sign-out").addEventListener("click", signOut);
refresh();
setInterval(() => document.hidden || refresh(), 5000);
