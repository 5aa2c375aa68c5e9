/* The page's behaviour. Text of people and articles is put in as text, or comes from the server escaped. */
"use strict";
window.faqtual = (() => {
  const user = window.gradio_config?.username;  // who signed in, where people do: each has their own store
  const STORE = user ? `faqtual/${user}` : "faqtual";
  const MOST_KEPT = 50;
  const CALM = 3000;  // milliseconds between two things that a screen reader says of an answer that is awaited
  let root, kept, asking = null, editing = false, cites = [], cite = -1, opener = null, toastTimer = 0, spoken = "", speechTimer = 0, drags = 0, wanted = 0;

  const $ = (id) => root.querySelector(`#${id}`);
  const key = () => Date.now().toString(36) + "-" + Math.floor(Math.random() * 1e9).toString(36);
  const strings = (list, most) => (Array.isArray(list) ? list.filter((s) => typeof s === "string").slice(0, most) : []);

  /* the server */

  async function post(path, values) {
    const reply = await fetch(`gradio_api/${path}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data: values }),
    });
    if (reply.status === 401) location.reload();
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    return reply.json();
  }
  const unreached = () => toast("The server does not answer. Is rag ui still running? Start it again, then reload this page.");
  async function call(name, ...values) {
    try {
      const result = (await post(`run/${name}`, values)).data[0];
      if (result.error) toast(result.error);
      return result;
    } catch {
      unreached();
      return { error: true };
    }
  }
  async function leave() {
    try { await fetch("logout", { redirect: "manual", headers: { "X-Faqtual": "sign out" } }); } catch { return unreached(); }
    location.reload();
  }
  async function stream(name, values, heard, signal) {
    const { event_id: id } = await post(`call/${name}`, values);
    const reply = await fetch(`gradio_api/call/${name}/${id}`, { signal });
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the stream broke off");
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const found = /^event: (\w+)\ndata: ([^]*)$/.exec(event);
        if (!found) continue;
        if (found[1] === "error") throw new Error("the server failed");
        if (found[1] === "complete") return;
        if (found[1] === "generating") heard(JSON.parse(found[2])[0]);
      }
    }
  }

  /* what this browser keeps: nothing in it is trusted, by this script or by the server */

  function load() {
    let value = {};
    try { value = JSON.parse(localStorage.getItem(STORE)) || {}; } catch { value = {}; }
    const all = Array.isArray(value.conversations) ? value.conversations : [];
    kept = {
      leftOut: strings(value.leftOut, 100000),
      current: typeof value.current === "string" ? value.current : "",
      conversations: all.filter((c) => c && typeof c.id === "string" && typeof c.title === "string" && Array.isArray(c.exchanges)).slice(0, MOST_KEPT),
    };
  }
  function save() {
    for (;;) {
      try { localStorage.setItem(STORE, JSON.stringify(kept)); return; } catch {
        if (kept.conversations.length < 2) return;
        kept.conversations.pop();  // the oldest makes room
      }
    }
  }
  const current = () => kept.conversations.find((c) => c.id === kept.current);
  const exchanges = () => current()?.exchanges ?? [];

  /* the conversation */

  async function show() {
    const talk = current();
    $("topic").textContent = talk ? talk.title : "New conversation";
    $("export").disabled = !talk;
    if (talk) {
      const result = await call("conversation", talk.exchanges);
      if (result.error || talk !== current()) return;
      talk.exchanges = result.exchanges;
      $("log").innerHTML = result.html;
      $("scroll").scrollTop = $("scroll").scrollHeight;
    } else await welcome();
    menu();
  }
  async function welcome() {
    const result = await call("welcome", kept.leftOut);
    if (result.error || current() || asking) return;
    $("log").innerHTML = result.html;
    if (result.html.includes("data-filling")) setTimeout(() => { if (!current() && !asking) welcome(); shelf(); }, 1500);
  }
  function menu() {
    const list = $("conversations");
    list.replaceChildren(...kept.conversations.map((c) => {
      const row = document.createElement("li");
      row.append(make("button", "name", c.title, { do: "switch", id: c.id }), tool("rename", "Rename", "edit", c.id), tool("forget", "Delete", "close", c.id));
      row.firstChild.setAttribute("aria-current", String(c.id === kept.current));
      return row;
    }));
    if (!kept.conversations.length) list.append(make("li", "more", "Your conversations are kept here, in this browser alone."));
  }
  function make(name, style, text, data = {}) {
    const element = document.createElement(name);
    if (name === "button") element.type = "button";
    element.className = style;
    element.dir = "auto";
    element.textContent = text;
    Object.assign(element.dataset, data);
    return element;
  }
  function tool(action, label, drawing, id) {
    const button = make("button", "tool", "", { do: action, id });
    button.setAttribute("aria-label", label);
    button.title = label;
    button.innerHTML = `<svg class="icon" aria-hidden="true"><use href="#i-${drawing}"></use></svg>`;
    return button;
  }
  function turn(id) { return root.querySelector(`.turn[data-key="${CSS.escape(id)}"]`); }

  async function ask(question) {
    question = question.trim();
    if (!question || asking) return;
    let talk = current();
    if (!talk) {
      talk = { id: key(), title: question.slice(0, 80), exchanges: [] };
      kept.conversations.unshift(talk);
      kept.current = talk.id;
      $("log").replaceChildren();
      $("topic").textContent = talk.title;
    }
    if (editing) { talk.exchanges.pop(); $("log").lastElementChild?.remove(); edit(false); }
    const previous = talk.exchanges.map((e) => e.answer?.standalone_question).filter(Boolean);
    const mine = { id: key(), control: new AbortController(), talk, question, said: [] };
    asking = mine;
    const pending = make("article", "turn pending", "", { key: mine.id });
    const status = make("p", "status", "");
    status.setAttribute("aria-hidden", "true");
    const tell = (text) => { status.textContent = text; speak(text); };
    tell("Sending the question");
    const said = make("p", "said", "");
    pending.append(make("h3", "asked", question), said, status);
    $("log").append(pending);
    waiting(true);
    $("scroll").scrollTo({ top: pending.offsetTop - 12 });
    let last = null;
    try {
      await stream("ask", [mine.id, question, previous, kept.leftOut], (event) => {
        if (asking !== mine) return;
        if (event.stage) tell(event.stage);
        if (event.sentence) {
          if (said.childNodes.length) said.append(" ");
          said.insertAdjacentHTML("beforeend", event.sentence);
          mine.said.push(said.lastElementChild.textContent);
        }
        if (event.exchange) last = event;
      }, mine.control.signal);
    } catch (error) {
      if (asking === mine) finish(mine, { exchange: { key: mine.id, question, answer: null, said: [], error: "the server does not answer; see whether rag ui still runs, then ask again" } });
      return;
    }
    if (asking === mine) finish(mine, last);
  }
  function speak(text) {
    spoken = text;
    if (speechTimer) return;
    $("spoken").textContent = text;
    speechTimer = setTimeout(() => { speechTimer = 0; if ($("spoken").textContent !== spoken) speak(spoken); }, CALM);
  }
  async function finish(mine, event) {
    asking = null;
    speak("");
    waiting(false);
    mine.talk.exchanges.push(event.exchange);
    kept.conversations = [mine.talk, ...kept.conversations.filter((c) => c !== mine.talk)].slice(0, MOST_KEPT);
    save();
    $("export").disabled = !current();
    menu();
    const html = event.html ?? (await call("conversation", [event.exchange])).html;
    const pending = turn(mine.id);
    if (!pending) return;
    if (!html) return pending.querySelector(".status").replaceWith(make("p", "stopped", "No answer: the server does not reply."));
    pending.insertAdjacentHTML("afterend", html);
    pending.remove();
  }
  function stop() {
    const mine = asking;
    if (!mine) return;
    mine.control.abort();
    call("stop", mine.id);
    finish(mine, { exchange: { key: mine.id, question: mine.question, answer: null, said: mine.said, error: "" } });
    $("question").focus();
  }
  function waiting(on) {
    $("send").hidden = on;
    $("stop").hidden = !on;
    root.classList.toggle("asking", on);
  }
  function edit(on) {
    editing = on;
    $("editing").hidden = !on;
    $("question").value = on ? exchanges().at(-1)?.question ?? "" : "";
    grow();
    if (on) $("question").focus();
  }
  function retry() {
    const question = exchanges().at(-1)?.question;
    if (!question || asking) return;
    editing = true;
    ask(question);
  }
  function select(id) {
    if (asking) stop();
    kept.current = id;
    edit(false);
    $("menu").open = false;
    save();
    show();
  }
  function forget(id) {
    const place = kept.conversations.findIndex((c) => c.id === id);
    if (place < 0) return;
    if (asking && asking.talk.id === id) stop();
    const [gone] = kept.conversations.splice(place, 1);
    const was = kept.current;
    if (kept.current === id) kept.current = "";
    save(); show();
    toast("Conversation deleted", () => { kept.conversations.splice(place, 0, gone); kept.current = was; save(); show(); });
  }
  function rename(button) {
    const row = button.closest("li"), talk = kept.conversations.find((c) => c.id === button.dataset.id);
    const input = document.createElement("input");
    input.value = talk.title; input.maxLength = 80; input.setAttribute("aria-label", "Name of the conversation");
    row.firstChild.replaceWith(input);
    input.focus(); input.select();
    const done = (keep) => {
      if (keep && input.value.trim()) talk.title = input.value.trim();
      save(); menu();
      $("topic").textContent = current()?.title ?? "New conversation";
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); input.blur(); }
      if (event.key === "Escape") { event.stopPropagation(); input.value = talk.title; input.blur(); }
    });
    input.addEventListener("blur", () => done(true), { once: true });
  }
  async function exported() {
    const talk = current();
    if (!talk) return;
    const { markdown } = await call("export", talk.title, talk.exchanges);
    if (markdown === undefined) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([markdown], { type: "text/markdown" }));
    link.download = (talk.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "conversation") + ".md";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  async function copy(text) {
    try { await navigator.clipboard.writeText(text); toast("Copied with its sources"); } catch { toast("The browser does not let the page copy; select the text instead"); }
  }
  async function judge(button, good, correction = "") {
    const box = button.closest(".turn"), all = exchanges();
    const place = all.findIndex((e) => e.key === box.dataset.key);
    if (place < 0) return;
    const previous = all.slice(0, place).map((e) => e.question);
    const result = await call("feedback", all[place], previous, good, correction);
    if (result.error) return;
    box.querySelectorAll('[data-do="good"],[data-do="bad"]').forEach((b) => b.setAttribute("aria-pressed", String((b.dataset.do === "good") === good)));
    toast(good || correction ? "Kept in the library; the examination asks it again" : "Kept in the library");
  }
  function correct(button) {
    const box = button.closest(".turn");
    if (box.querySelector(".correction")) return box.querySelector("textarea").focus();
    const form = document.createElement("form");
    form.className = "correction";
    form.innerHTML = '<label>What would be right? <small>(optional)</small><textarea rows="2" maxlength="4000"></textarea></label><button type="submit" class="quiet">Send</button>';
    form.addEventListener("submit", (event) => { event.preventDefault(); judge(button, false, form.querySelector("textarea").value.trim()); form.remove(); });
    box.querySelector(".actions").after(form);
    form.querySelector("textarea").focus();
  }

  /* the library */

  async function shelf() {
    const mine = ++wanted;
    const result = await call("shelf", $("filter").value, kept.leftOut);
    if (result.error || mine !== wanted) return;
    const focused = document.activeElement?.closest?.("#volumes [data-id]");
    const again = focused && [focused.dataset.do, focused.dataset.id];
    $("volumes").innerHTML = result.html;
    if (again) root.querySelector(`#volumes [data-do="${again[0]}"][data-id="${CSS.escape(again[1])}"]`)?.focus();
    $("chosen").textContent = result.articles ? `${result.chosen} of ${result.articles} answer` : "Empty";
    root.ids = result.ids;
  }
  function choose(ids, on) {
    const out = new Set(kept.leftOut);
    for (const id of ids) if (on) out.delete(id); else out.add(id);
    kept.leftOut = [...out];
    save(); shelf();
    if (!current() && !asking) welcome();
  }
  async function remove(id) {
    const result = await call("remove", id);
    if (result.error) return;
    changed();
    toast(`Removed “${result.title}”`, async () => { await call("undo", id); changed(); });
  }
  function changed() { shelf(); if (!current() && !asking) welcome(); }
  async function add(files, address) {
    const most = Number($("files").dataset.megabytes) * 1e6, kinds = $("files").accept.split(",");
    const failures = [], body = new FormData();
    for (const file of files) {
      if (!kinds.some((kind) => file.name.toLowerCase().endsWith(kind))) failures.push(`${file.name}: cannot read this kind of file`);
      else if (file.size > most) failures.push(`${file.name}: larger than ${most / 1e6} MB; split it`);
      else body.append("files", file);
    }
    if (!body.has("files") && !address) return told(failures);
    progress("Sending", 0, 0);
    let last = {};
    try {
      let paths = [];
      if (body.has("files")) {
        const reply = await fetch("gradio_api/upload", { method: "POST", body });
        if (!reply.ok) throw new Error(reply.statusText);
        paths = await reply.json();
      }
      last = await followed("add", [paths, address]);
    } catch { last = { failures: ["the server did not take it; try again, or use: rag add"] }; }
    told([...failures, ...(last.failures ?? [])], last);
  }
  async function followed(name, values) {
    let last = {};
    await stream(name, values, (event) => { last = event; if (event.stage) progress(event.stage, event.done, event.total); });
    return last;
  }
  async function bundled() {
    let last = {};
    progress("Reading", 0, 0);
    try { last = await followed("bundled", []); } catch { last = { failures: ["the server does not answer"] }; }
    told(last.failures ?? [], last);
  }
  function progress(stage, done, total) {
    const box = $("progress");
    box.hidden = false;
    box.replaceChildren(make("span", "", stage[0].toUpperCase() + stage.slice(1) + (total ? ` ${done} of ${total}` : "")));
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", "Adding");
    if (total) { bar.max = total; bar.value = done; }
    box.append(bar);
  }
  function told(failures, last = {}) {
    const parts = [];
    for (const [name, words] of [["new", "added"], ["changed", "updated"], ["unchanged", "already there"]])
      if (last[name]?.length) parts.push(`${last[name].length} ${words}`);
    const box = $("progress");
    box.hidden = false;
    box.replaceChildren();
    if (parts.length) box.append(make("p", "done", `Articles: ${parts.join(", ")}`));
    for (const line of failures) box.append(make("p", "failure", line));
    box.append(tool("close-progress", "Close this message", "close", ""));
    changed();
  }

  /* the reader */

  async function read(id, start, end, from) {
    const around = from?.closest(".turn, .case");
    cites = around ? [...around.querySelectorAll(".chip, .nearest .source, .cite")] : [];
    if (from && !cites.includes(from)) from = cites.find((c) => c.dataset.start === String(start) && c.dataset.article === id);
    cite = cites.indexOf(from);
    const spans = cites.filter((c) => c.dataset.article === id).map((c) => [Number(c.dataset.start), Number(c.dataset.end)]);
    const mine = (root.reading = {});
    const result = await call("reading", id, spans);
    if (mine !== root.reading) return;
    drawer("reader");
    $("which").textContent = cite >= 0 ? `Citation ${cite + 1} of ${cites.length}` : "";
    $("before").disabled = cite <= 0;
    $("after").disabled = cite < 0 || cite >= cites.length - 1;
    document.querySelectorAll(".chip.on, .cite.on").forEach((c) => c.classList.remove("on"));
    if (cite >= 0) cites[cite].classList.add("on");
    if (result.error) return $("leaf").replaceChildren(make("p", "vacant", result.error));
    $("leaf").innerHTML = result.html;
    const marks = root.querySelectorAll(`#leaf mark[data-spans~="${start}-${end}"]`);
    marks.forEach((mark) => mark.classList.add("on"));
    if (marks.length) {
      const leaf = $("leaf"), top = marks[0].getBoundingClientRect().top - leaf.getBoundingClientRect().top;
      leaf.scrollTop += top - leaf.clientHeight / 3;
    } else $("leaf").scrollTop = 0;
    $("leaf").focus({ preventScroll: true });
  }
  function step(by) {
    const next = cites[cite + by];
    if (next) read(next.dataset.article, next.dataset.start, next.dataset.end, next);
  }
  function drawer(name) {
    if (!root.classList.contains(`show-${name}`)) opener = document.activeElement;
    root.classList.remove("show-shelf", "show-reader");
    root.classList.add(`show-${name}`);
    $("talk").inert = getComputedStyle($("veil")).display !== "none";
    if (name === "shelf") $("filter").focus();
  }
  function close() {
    const open = root.classList.contains("show-shelf") || root.classList.contains("show-reader");
    root.classList.remove("show-shelf", "show-reader");
    $("talk").inert = false;
    const back = $("reader").contains(document.activeElement) && cites[cite]?.isConnected ? cites[cite] : open && opener;
    if (back) (back.offsetParent ? back : $("scroll")).focus({ preventScroll: true });
  }

  /* small things */

  function tip(target) {
    const described = target && root.querySelector(`#${CSS.escape(target.getAttribute("aria-describedby") ?? "-")}`);
    const box = $("tip");
    box.hidden = !described;
    if (!described) return;
    box.replaceChildren(...[...described.childNodes].map((node) => node.cloneNode(true)));
    const at = target.getBoundingClientRect(), width = Math.min(380, innerWidth - 24);
    box.style.width = `${width}px`;
    box.style.left = `${Math.max(12, Math.min(at.left - 24, innerWidth - width - 12))}px`;
    const below = at.bottom + box.offsetHeight + 12 < innerHeight;  // so that the sentence stays in sight
    box.style.top = below ? `${at.bottom + 6}px` : `${Math.max(6, at.top - box.offsetHeight - 6)}px`;
  }
  function toast(text, undo) {
    clearTimeout(toastTimer);
    const box = $("toast");
    box.replaceChildren(make("span", "", text));
    if (undo) {
      const button = make("button", "link", "Undo");
      button.addEventListener("click", () => { box.replaceChildren(); undo(); });
      box.append(button);
    }
    toastTimer = setTimeout(() => box.replaceChildren(), undo ? 12000 : 5000);
  }
  function grow() {
    const box = $("question");
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 180)}px`;
  }

  const actions = {
    read: (b) => read(b.dataset.article, b.dataset.start, b.dataset.end, b),
    open: (b) => read(b.dataset.id, 0, 0, null),
    choose: (b) => choose([b.dataset.id], b.checked),
    all: () => choose(kept.leftOut, true), none: () => choose(root.ids ?? [], false),
    remove: (b) => remove(b.dataset.id), bundled, "choose-files": () => $("files").click(),
    "close-progress": () => { $("progress").hidden = true; },
    offer: (b) => ask(b.textContent), stop, retry, edit: () => edit(true), "cancel-edit": () => edit(false),
    copy: (b) => copy(b.dataset.text), good: (b) => judge(b, true), bad: correct,
    fresh: () => { select(""); $("question").focus(); }, switch: (b) => select(b.dataset.id), rename, forget: (b) => forget(b.dataset.id), export: exported,
    before: () => step(-1), after: () => step(1),
    "open-shelf": () => drawer("shelf"), "open-reader": () => drawer("reader"), "close-drawer": close, leave,
  };

  function listen() {
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button && root.contains(button)) { tip(null); actions[button.dataset.do]?.(button); }
      if (!event.target.closest("#menu")) $("menu").open = false;
    });
    for (const [on, off] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
      root.addEventListener(on, (event) => { const t = event.target.closest("[aria-describedby]"); if (t) tip(t); });
      root.addEventListener(off, (event) => { if (event.target.closest("[aria-describedby]") && !event.relatedTarget?.closest?.("#tip")) tip(null); });
    }
    document.addEventListener("click", (event) => {  // a case of the examination, in the tab beside
      const button = event.target.closest(".sheet .cite");
      if (button) { document.getElementById("chat-tab-button").click(); actions.read(button); }
    });
    $("tip").addEventListener("mouseleave", () => tip(null));
    $("scroll").addEventListener("scroll", () => tip(null), { passive: true });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (!$("tip").hidden) tip(null);
      else if ($("menu").open) { $("menu").open = false; $("menu").firstElementChild.focus(); }
      else if (asking) stop();
      else close();
    });
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const box = $("question"), question = box.value;
      if (asking || !question.trim()) return;
      box.value = ""; grow();
      ask(question);
    });
    $("question").addEventListener("input", grow);
    $("question").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("composer").requestSubmit(); }
    });
    $("filter").addEventListener("input", shelf);
    $("files").addEventListener("change", () => { add([...$("files").files], ""); $("files").value = ""; });
    $("address-form").addEventListener("submit", (event) => { event.preventDefault(); const box = $("address"); if (box.value.trim()) { add([], box.value.trim()); box.value = ""; } });
    root.addEventListener("dragenter", (event) => { event.preventDefault(); drags++; root.classList.add("dropping"); });
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("dragleave", () => { if (--drags <= 0) { drags = 0; root.classList.remove("dropping"); } });
    root.addEventListener("drop", (event) => { event.preventDefault(); drags = 0; root.classList.remove("dropping"); if (event.dataTransfer.files.length) add([...event.dataTransfer.files], ""); });
    addEventListener("storage", (event) => { if (event.key === STORE && !asking) { const id = kept.current; load(); kept.current = id; menu(); } });
  }

  function start(element) {
    root = element.querySelector("#page");
    if (!root || root.started) return;
    root.started = true;
    if (user) {
      $("leave").hidden = false;
      $("leave").title = `Sign out ${user}`;
      $("leave").setAttribute("aria-label", $("leave").title);
    }
    load(); listen(); menu(); shelf(); show();
  }
  return { start };
})();
