// Hardware keys, the clock of the session, and the copy button. No library; served as it is.
"use strict";

const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function problem(text) {
  const place = document.getElementById("problem");
  place.textContent = text;
  place.hidden = !text;
}

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content;
}

const named = (list) => (list || []).map((one) => ({ ...one, id: decode(one.id) }));

async function create(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: decode(options.challenge),
      user: { ...options.user, id: decode(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    },
  });
  return {
    id: encode(made.rawId),
    response: {
      clientDataJSON: encode(made.response.clientDataJSON),
      attestationObject: encode(made.response.attestationObject),
    },
  };
}

async function get(options) {
  const made = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: decode(options.challenge),
      allowCredentials: named(options.allowCredentials),
    },
  });
  return {
    id: encode(made.rawId),
    response: {
      clientDataJSON: encode(made.response.clientDataJSON),
      authenticatorData: encode(made.response.authenticatorData),
      signature: encode(made.response.signature),
    },
  };
}

function ceremony(id, use, asked) {
  const section = document.getElementById(id);
  if (!section) return;
  const button = section.querySelector("button");
  button.addEventListener("click", async () => {
    problem("");
    button.disabled = true;
    try {
      const options = await post(section.dataset.ask, asked(section));
      await post(section.dataset.answer, await use(options));
      location.assign(section.dataset.then);
    } catch (error) {
      problem(error.message);
      button.disabled = false;
    }
  });
}

ceremony("sign-in", get, () => ({}));
ceremony("enrol", create, (section) => ({ ticket: section.querySelector("input").value.trim() }));

const signing = document.getElementById("sign-request");
if (signing) {
  const [action, body, button, shown] = ["#action", "#body", "button", "#assertion"].map((one) => signing.querySelector(one));
  body.addEventListener("input", () => (shown.value = ""));
  button.addEventListener("click", async () => {
    problem("");
    shown.value = "";
    button.disabled = true;
    try {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body.value)));
      const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
      const options = await post("/v1/staff/assertions", { action: action.value, request_sha256: sha256 });
      shown.value = encode(new TextEncoder().encode(JSON.stringify(await get(options))));
      shown.select();
    } catch (error) {
      problem(error.message);
    }
    button.disabled = false;
  });
}

const expiry = document.getElementById("expiry");
if (expiry) {
  const end = Date.parse(expiry.dateTime);
  const tick = () => {
    const left = Math.max(0, Math.round((end - Date.now()) / 1000));
    document.getElementById("left").textContent = left
      ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left`
      : "over: sign in again";
  };
  tick();
  setInterval(tick, 1000);
  document.getElementById("copy").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(document.getElementById("token").value);
    event.target.textContent = "Copied";
  });
}

const onward = document.querySelector("form[data-submit]");
if (onward) onward.submit();
