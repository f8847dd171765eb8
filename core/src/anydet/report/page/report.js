// The page of `anydet report` and `anydet browse`. Of a report, everything is drawn from what this file holds, and
// nothing is loaded; `browse` gives columns and pictures on request. Text from files gets into the page as text
// nodes alone.
"use strict";
(() => {
  const TRUTH = -1, IMAGE = -2, WRONG = 0, RIGHT = 1, IGNORED = 2, NO_CELL = 65535, NO_STATE = 255, NO_ERROR = 65535;
  const PAGE = 24, AHEAD = 4, MOST_KEPT = 2000, PAUSE_MS = 80, MOST_CLASSES = 14, MOST_NAMES = 40, EM = 0.6, MOST_SPARKS = 36, MOST_ROWS = 12;
  const SVG = "http://www.w3.org/2000/svg";
  const ARRAYS = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, f4: Float32Array };
  let R, C, N, judged, pictured, matrix = [];
  const state = {};
  const START = { model: 0, other: 1, cls: -1, step: 300, kind: "wrong", size: -1, aspect: -1, a: -1, b: -1, order: 0, page: 0, text: "" };
  const layers = { boxes: true, truth: true, masks: true, points: true, names: true };
  const redraws = [];

  // --- elements ---------------------------------------------------------------------------------------------

  function el(tag, props, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(props || {})) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "text") node.textContent = value;
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
    return node;
  }
  function draw(tag, attributes, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return node;
  }
  const count = (n) => n.toLocaleString("en-US");
  const fixed = (x, digits = 3) => (x === null || x === undefined || Number.isNaN(x) ? "n/a" : x.toFixed(digits));
  const cell = (x) => (x === null ? "n/a" : typeof x === "number" ? (Number.isInteger(x) ? count(x) : x.toFixed(4)) : x);
  const score = (step) => (step / R.steps).toFixed(3);
  const className = (c) => (c === N ? "background" : R.classes[c]);
  const signed = (x) => `${x > 0 ? "+" : x < 0 ? "−" : ""}${fixed(Math.abs(x))}`;
  const ratio = (a, b) => (b ? a / b : NaN);

  /** A number that leads to its pictures. */
  function link(text, changes, label, extra) {
    return el("button", { type: "button", class: `link ${extra || ""}`, "aria-label": label ? `${text}: ${label}` : null, onclick: () => go(changes) }, text);
  }
  function section(id, title, note, ...children) {
    return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), note ? el("p", { class: "note" }, note) : null, ...children);
  }
  function table(head, rows, { caption, numbers = true } = {}) {
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      el("table", { class: numbers ? "numbers" : "" }, el("caption", {}, caption),
        el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))),
        el("tbody", {}, rows.map((row) => el("tr", {}, row.map((c, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, c)))))));
  }
  function select(label, options, value, change) {
    const node = el("select", { onchange: (e) => change(e.target.value) }, options.map(([v, text]) => el("option", { value: v, selected: String(v) === String(value) }, text)));
    return { node, field: el("label", { class: "field" }, el("span", {}, label), node) };
  }

  // --- data -------------------------------------------------------------------------------------------------

  function bytes(id) {
    const node = document.getElementById(id), text = node.textContent;
    node.remove();
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }
  async function read() {
    const embedded = document.getElementById("data").textContent !== "";
    const packed = embedded ? new Response(new Blob([bytes("data")])) : await ask("data");
    const stream = packed.body.pipeThrough(new DecompressionStream("deflate"));
    const block = await new Response(stream).arrayBuffer();
    const length = new DataView(block).getUint32(0, true);
    R = JSON.parse(new TextDecoder().decode(new Uint8Array(block, 4, length)));
    const start = (4 + length + 7) & ~7;
    C = {};
    for (const [name, type, size, place] of R.columns) C[name] = new ARRAYS[type](block, start + place, size);
    for (const name of Object.keys(C)) {
      if (!name.endsWith("/image")) continue;
      for (let i = 1; i < C[name].length; i++) C[name][i] += C[name][i - 1]; // distances, modulo 2^32
    }
    N = R.classes.length;
    judged = R.models.map((_, m) => curvesOf(m));
    let at = 0;
    (R.items || []).forEach((item, i) => { item.from = at; at += R.picture_bytes[i]; item.to = at; keep(item); });
    pictured = new Map([TRUTH, ...R.models.keys()].map((m) => [m, new Uint8Array(C[m === TRUTH ? "truth/class" : `${m}/class`].length)]));
    for (const item of loaded.values()) pictured.get(item.m)[item.r] = 1;
  }
  /** Cumulative counts of right and wrong detections by class and step, from the highest score down. */
  function curvesOf(m) {
    const width = R.steps + 2, size = (N + 1) * width;
    const right = new Int32Array(size), wrong = new Int32Array(size), positives = new Int32Array(N + 1);
    const step = C[`${m}/step`], cls = C[`${m}/class`], outcome = C[`${m}/outcome`];
    for (let i = 0; i < step.length; i++) {
      if (step[i] < 0 || outcome[i] === IGNORED) continue;
      (outcome[i] === RIGHT ? right : wrong)[cls[i] * width + step[i]]++;
    }
    for (let c = 0; c < N; c++) {
      for (let s = R.steps; s >= 0; s--) {
        const at = c * width + s;
        right[at] += right[at + 1]; wrong[at] += wrong[at + 1];
        right[N * width + s] += right[at]; wrong[N * width + s] += wrong[at];
      }
    }
    const truth = C["truth/class"], crowd = C["truth/crowd"];
    for (let i = 0; i < truth.length; i++) if (!crowd[i]) { positives[truth[i]]++; positives[N]++; }
    return { right, wrong, positives, width };
  }
  /** Counts and rates of a model at a threshold; of all classes for -1. */
  function at(m, cls, step) {
    const one = judged[m], c = cls < 0 ? N : cls, tp = one.right[c * one.width + step], fp = one.wrong[c * one.width + step];
    const fn = one.positives[c] - tp;
    return { tp, fp, fn, precision: ratio(tp, tp + fp), recall: ratio(tp, tp + fn), f1: ratio(2 * tp, 2 * tp + fp + fn) };
  }
  function bestStep(m, cls) {
    let best = 0, f1 = -1;
    for (let s = R.steps; s >= 0; s--) { const now = at(m, cls, s).f1; if (now > f1) { f1 = now; best = s; } }
    return best;
  }
  function confusion(m) {
    if (matrix[m]) return matrix[m];
    const width = N + 1, counts = new Int32Array(width * width);
    const cls = C[`${m}/class`], cells = C[`${m}/cell`], fate = C[`${m}/truth/fate`], truth = C["truth/class"];
    for (let i = 0; i < cls.length; i++) if (cells[i] !== NO_CELL) counts[cells[i] * width + cls[i]]++;
    for (let i = 0; i < fate.length; i++) if (fate[i] & 4) counts[truth[i] * width + N]++;
    return (matrix[m] = counts);
  }

  // --- what is looked at ------------------------------------------------------------------------------------

  /** Kinds of pictures: which rows they are of (detections of a model, or annotations) and which of these. */
  const KINDS = {
    all: { title: "All detections", of: "d", test: (m) => { const s = C[`${m}/step`]; return (i) => s[i] >= state.step || state.step === 0; } },
    ignored: { title: "Detections that count neither way", of: "d", free: true, test: (m) => { const o = C[`${m}/outcome`]; return (i) => o[i] === IGNORED; } },
    labels: { title: "All annotations", of: "t", free: true, test: () => () => true },
    images: { title: "Images", of: "i", test: () => () => true },
    wrong: { title: "False positives", of: "d", test: (m) => { const o = C[`${m}/outcome`], s = C[`${m}/step`]; return (i) => o[i] === WRONG && s[i] >= state.step; } },
    missed: { title: "Misses", of: "t", test: (m) => { const f = C[`${m}/truth/found`], w = C["truth/crowd"]; return (i) => !w[i] && f[i] < state.step; } },
    right: { title: "True positives", of: "d", test: (m) => { const o = C[`${m}/outcome`], s = C[`${m}/step`]; return (i) => o[i] === RIGHT && s[i] >= state.step; } },
    error: { title: "", of: "d", free: true, test: (m) => { const e = C[`${m}/error`]; return (i) => e[i] === state.a; } },
    unfound: { title: "TIDE: Miss", of: "t", free: true, test: (m) => { const f = C[`${m}/truth/fate`]; return (i) => (f[i] & 1) > 0; } },
    anyerror: { title: "TIDE: all false positives", of: "d", free: true, test: (m) => { const e = C[`${m}/error`]; return (i) => e[i] < 5; } },
    negative: { title: "TIDE: all false negatives", of: "t", free: true, test: (m) => { const f = C[`${m}/truth/fate`]; return (i) => (f[i] & 2) > 0; } },
    cell: { title: "", of: "d", free: true, test: (m) => { const e = C[`${m}/cell`], c = C[`${m}/class`]; return (i) => e[i] === state.a && c[i] === state.b; } },
    cellmissed: { title: "", of: "t", free: true, test: (m) => { const f = C[`${m}/truth/fate`], c = C["truth/class"]; return (i) => (f[i] & 4) > 0 && c[i] === state.a; } },
    bin: { title: "", of: "d", free: true, test: (m) => { const b = C[`${m}/bin`], o = C[`${m}/outcome`]; return (i) => b[i] === state.a && o[i] !== IGNORED; } },
    band: { title: "", of: "d", free: true, test: (m) => { const s = C[`${m}/step`], o = C[`${m}/outcome`]; return (i) => o[i] === state.b && s[i] >= state.a && s[i] < state.a + R.steps / 10 + (state.a + R.steps / 10 === R.steps); } },
    both: { title: "", of: "t", test: (m) => versus(m, true, true) },
    first: { title: "", of: "t", test: (m) => versus(m, true, false) },
    second: { title: "", of: "t", test: (m) => versus(m, false, true) },
    neither: { title: "", of: "t", test: (m) => versus(m, false, false) },
    state: { title: "", of: "d", free: true, test: (m) => { const t = C[`${m}/true_state`], s = C[`${m}/state`]; return t ? (i) => t[i] === state.a && s[i] === (state.b < 0 ? NO_STATE : state.b) : () => false; } },
    rotation: { title: "Poses by rotation error", of: "d", free: true, test: (m) => { const e = C[`${m}/rotation`]; return e ? (i) => e[i] !== NO_ERROR : () => false; } },
    translation: { title: "Poses by translation error", of: "d", free: true, test: (m) => { const e = C[`${m}/translation`]; return e ? (i) => e[i] !== NO_ERROR : () => false; } },
  };
  function versus(m, mine, theirs) {
    const a = C[`${m}/truth/found`], b = C[`${otherOf(m)}/truth/found`], crowd = C["truth/crowd"];
    return (i) => !crowd[i] && (a[i] >= state.step) === mine && (b[i] >= state.step) === theirs;
  }
  const otherOf = (m) => (state.other !== m && state.other < R.models.length ? state.other : m ? 0 : Math.min(1, R.models.length - 1));
  function kindTitle() {
    const name = R.models[state.model].name, other = R.models[otherOf(state.model)].name;
    switch (state.kind) {
      case "error": return `TIDE: ${{ Cls: "wrong class", Loc: "poor box", Both: "wrong class and poor box", Dupe: "duplicates", Bkg: "background" }[R.errors[state.a]]} (${R.errors[state.a]})`;
      case "cell": return state.a === state.b ? `${className(state.a)}, found as such` : state.a === N ? `Background taken for ${className(state.b)}` : `${className(state.a)} taken for ${className(state.b)}`;
      case "cellmissed": return `${className(state.a)}, missed at score ${R.confusion.score}`;
      case "bin": return `Scores ${(state.a / R.bins).toFixed(2)} to ${((state.a + 1) / R.bins).toFixed(2)}`;
      case "band": return `${state.b === RIGHT ? "Right" : "Wrong"} detections, scores ${score(state.a)} to ${score(state.a + R.steps / 10)}`;
      case "both": return `Found by ${name} and by ${other}`;
      case "first": return `Found by ${name}, missed by ${other}`;
      case "second": return `Found by ${other}, missed by ${name}`;
      case "neither": return `Missed by ${name} and by ${other}`;
      case "state": return `State ${R.states[state.a] || state.a} taken for ${state.b < 0 ? "none" : R.states[state.b] || state.b}`;
      default: return KINDS[state.kind].title;
    }
  }
  let lowered = null;
  /** Whether a row is looked at: its kind, and what the filters of the gallery say. */
  function chosen() {
    const kind = KINDS[state.kind], m = state.model, words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !lowered) lowered = { images: R.images.map((key) => key.toLowerCase()), classes: R.classes.map((name) => name.toLowerCase()) };
    if (kind.of === "i") {
      const { errors, detections, labels } = tallied(m), every = state.cls < 0 && state.size < 0 && state.aspect < 0;
      return { model: IMAGE, length: R.images.length, worst: (i) => errors[i], test: (i) => (every || detections[i] + labels[i] > 0) && words.every((w) => lowered.images[i].includes(w)) };
    }
    const side = kind.of === "d" ? `${m}` : "truth", test = kind.test(m), fits = filtered(side), image = C[`${side}/image`], cls = C[`${side}/class`];
    const iou = C[`${m}/iou`], columns = { rotation: C[`${m}/rotation`], translation: C[`${m}/translation`] };
    const column = columns[state.kind] || (kind.of === "d" ? C[`${m}/step`] : C["truth/size"]);
    return {
      model: kind.of === "d" ? m : TRUTH, length: cls.length, worst: state.kind === "right" ? (i) => 1000 - iou[i] : (i) => column[i],
      test: (i) => test(i) && fits(i) && (!words.length || words.every((w) => lowered.images[image[i]].includes(w) || lowered.classes[cls[i]].includes(w))),
    };
  }
  /** Whether class, size and shape of a detection or an annotation are those that are looked at. */
  function filtered(side) {
    const cls = C[`${side}/class`], size = C[`${side}/size`], aspect = C[`${side}/aspect`];
    return (i) => (state.cls < 0 || cls[i] === state.cls) && (state.size < 0 || size[i] === state.size) && (state.aspect < 0 || aspect[i] === state.aspect);
  }
  /** Of each image: detections, false positives and misses at the threshold, and annotations, that the filters leave. */
  function tally(m) {
    const [wrong, missed, detections, labels] = [0, 1, 2, 3].map(() => new Int32Array(R.images.length));
    const step = C[`${m}/step`], outcome = C[`${m}/outcome`], image = C[`${m}/image`], found = C[`${m}/truth/found`], crowd = C["truth/crowd"], home = C["truth/image"];
    const mine = filtered(`${m}`), theirs = filtered("truth");
    for (let i = 0; i < step.length; i++) if (mine(i) && step[i] >= state.step) { detections[image[i]]++; if (outcome[i] === WRONG) wrong[image[i]]++; }
    for (let i = 0; i < found.length; i++) if (theirs(i)) { labels[home[i]]++; if (!crowd[i] && found[i] < state.step) missed[home[i]]++; }
    return { wrong, missed, detections, labels, errors: wrong.map((n, i) => n + missed[i]) };
  }
  const imageIndex = (m, r) => (m === IMAGE ? r : C[m === TRUTH ? "truth/image" : `${m}/image`][r]);
  /** How many rows are looked at, and in the order of the gallery those that have a picture: of a server, all. */
  function listed() {
    const rows = chosen(), found = [], have = R.served ? null : pictured.get(rows.model);
    let total = 0;
    for (let i = 0; i < rows.length; i++) if (rows.test(i)) { total++; if (!have || have[i]) found.push(i); }
    const key = state.order === 2 ? (i) => R.images.length - imageIndex(rows.model, i) : rows.worst, sorted = largestFirst(found, key);
    return { model: rows.model, rows: state.order === 1 ? sorted.reverse() : sorted, total };
  }
  /** By counting, as there may be millions: keys are whole numbers from -1 on; equal ones stay in order. */
  function largestFirst(rows, key) {
    const keys = Int32Array.from(rows, (r) => key(r) + 1), starts = new Int32Array(keys.reduce((a, b) => Math.max(a, b), 0) + 2), out = new Uint32Array(rows.length);
    for (const k of keys) starts[k]++;
    let before = 0;
    for (let k = starts.length - 1; k >= 0; k--) { const n = starts[k]; starts[k] = before; before += n; }
    for (let i = 0; i < rows.length; i++) out[starts[keys[i]]++] = rows[i];
    return out;
  }

  // --- what a picture is of: in this file, or on request -----------------------------------------------------

  const loaded = new Map(), requests = new Map();
  let lost = "";
  function keep(item) {
    const key = `${item.m}/${item.r}`;
    loaded.delete(key);
    loaded.set(key, item);
    if (R.served && loaded.size > MOST_KEPT) loaded.delete(loaded.keys().next().value);
  }
  const itemOf = (m, r) => loaded.get(`${m}/${r}`);
  async function ask(address) {
    let answer;
    try { answer = await fetch(address, { cache: "no-store" }); } catch { throw new Error("anydet browse does not answer; it may have been ended"); }
    if (!answer.ok) throw new Error(`anydet browse says: ${(await answer.text()).trim()}`);
    return answer;
  }
  /** Ask for what is not known of these rows yet; the page is drawn again when it is there. */
  async function load(m, rows) {
    const wanted = rows.filter((r) => !itemOf(m, r) && !requests.has(`${m}/${r}`));
    if (!R.served || !wanted.length || lost) return;
    for (const r of wanted) requests.set(`${m}/${r}`, true);
    try { for (const item of await (await ask(`items?of=${m}&rows=${wanted.join(",")}`)).json()) keep(item); }
    catch (error) { lost = error.message; }
    for (const r of wanted) requests.delete(`${m}/${r}`);
    redraw();
  }
  let later = 0;
  /** The same, once nothing has changed for a moment, as while a slider is dragged. */
  function loadSoon(m, rows) { clearTimeout(later); later = setTimeout(() => load(m, rows), PAUSE_MS); }

  // --- state, kept in the address so that a view can be linked ----------------------------------------------

  function change(changes) { Object.assign(state, { page: 0 }, changes); lost = ""; remember(false); redraw(); }
  /** Look at something else: a new entry of the history, and the gallery comes into view. */
  function go(changes) {
    Object.assign(state, { size: -1, aspect: -1, a: -1, b: -1, order: 0, page: 0, text: "" }, changes);
    lost = "";
    remember(true);
    redraw();
    const gallery = document.getElementById("pictures-title");
    if (getComputedStyle(document.getElementById("gallery")).position !== "sticky") gallery.scrollIntoView();
    gallery.focus({ preventScroll: true });
  }
  function remember(push) {
    const parts = Object.entries(START).filter(([name, value]) => state[name] !== value).map(([name]) => `${name}=${encodeURIComponent(state[name])}`);
    try { history[push ? "pushState" : "replaceState"](null, "", `#${parts.join("&")}`); } catch { /* an address that cannot be changed */ }
  }
  function recall() {
    Object.assign(state, START);
    for (const part of location.hash.slice(1).split("&")) {
      const [name, value] = part.split("=");
      if (!(name in START) || value === undefined) continue;
      try { state[name] = typeof START[name] === "number" ? Number.parseInt(value, 10) || 0 : decodeURIComponent(value); } catch { /* not one of ours */ }
    }
    const within = (name, low, high) => { if (!(state[name] >= low && state[name] <= high)) state[name] = START[name]; };
    within("model", 0, R.models.length - 1); within("other", 0, R.models.length); within("cls", -1, N - 1); within("step", 0, R.steps);
    within("size", -1, R.sizes.length - 1); within("aspect", -1, R.aspects.length - 1); within("order", 0, 2); within("page", 0, 2 ** 31);
    if (!Object.hasOwn(KINDS, state.kind) || (KINDS[state.kind].of === "i" && !R.served)) state.kind = START.kind;
    if (state.kind === "error") within("a", 0, 4);
    if (["cell", "cellmissed"].includes(state.kind) && !(state.a >= 0 && state.a <= N && state.b >= -1 && state.b <= N)) state.kind = START.kind;
  }
  let waiting = 0;
  function redraw() {
    if (waiting) return;
    waiting = requestAnimationFrame(() => { waiting = 0; for (const one of redraws) one(); });
  }
  /** A place whose content is made anew when what it depends on has changed: by default, anything. */
  function live(node, make, key = () => Number.NaN) {
    let last;
    redraws.push(() => {
      const now = key();
      if (now === last) return;
      last = now;
      node.replaceChildren(...[make()].flat().filter(Boolean));
    });
    return node;
  }

  // --- parts of the page ------------------------------------------------------------------------------------

  function head() {
    const d = R.dataset;
    const facts = [`${count(R.images.length)} images`, `${count(d.annotations)} annotations`, `${count(N)} classes`];
    return el("header", { class: "top" },
      el("div", {}, el("h1", {}, "Detection report"),
        el("p", { class: "facts" }, el("span", { class: "path" }, d.root), d.split ? ` · ${d.split}` : "", ` · ${facts.join(" · ")}`),
        R.models.length > 1 ? el("ul", { class: "legend" }, R.models.map((model, m) => el("li", { class: `m${m % 4}` }, model.name))) : el("p", { class: "facts" }, R.models[0].name)),
      themeButton());
  }
  function themeButton() {
    const names = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" }, order = ["", "light", "dark"];
    let now = "";
    try { now = localStorage.getItem("anydet-theme") || ""; } catch { /* no storage for files */ }
    const button = el("button", { type: "button", class: "plain", id: "theme" });
    const show = () => { document.documentElement.dataset.theme = now; button.textContent = names[now]; };
    button.addEventListener("click", () => {
      now = order[(order.indexOf(now) + 1) % 3];
      try { localStorage.setItem("anydet-theme", now); } catch { /* the same */ }
      show();
    });
    if (!order.includes(now)) now = "";
    show();
    return button;
  }
  function toolbar() {
    const byName = R.classes.map((name, c) => [c, name]).sort((x, y) => (x[1] < y[1] ? -1 : 1));
    const cls = select("Class", [[-1, "all classes"], ...byName], -1, (v) => change({ cls: Number(v) }));
    const model = select("Model", R.models.map((one, m) => [m, one.name]), 0, (v) => change({ model: Number(v) }));
    const slider = el("input", { type: "range", id: "threshold", min: "0", max: String(R.steps), step: "1", oninput: (e) => change({ step: Number(e.target.value) }) });
    const value = el("input", { type: "number", id: "threshold-value", min: "0", max: "1", step: "0.001", "aria-label": "Score threshold as a number", onchange: (e) => change({ step: Math.min(R.steps, Math.max(0, Math.round(Number(e.target.value) * R.steps) || 0)) }) });
    redraws.push(() => {
      cls.node.value = state.cls; model.node.value = state.model;
      slider.value = state.step; slider.setAttribute("aria-valuetext", score(state.step));
      if (document.activeElement !== value) value.value = score(state.step);
    });
    const counts = live(el("div", { class: "counts", id: "counts", role: "group", "aria-label": "Counts at this threshold" }), () => {
      const now = at(state.model, state.cls, state.step);
      const one = (id, name, text, kind) => el("div", { class: "count" }, el("span", { class: "name" }, name), link(text, { kind }, `${name}; pictures`, `n-${id}`));
      return [one("tp", "right", count(now.tp), "right"), one("fp", "wrong", count(now.fp), "wrong"), one("fn", "missed", count(now.fn), "missed"),
        one("p", "precision", fixed(now.precision), "wrong"), one("r", "recall", fixed(now.recall), "missed"), one("f1", "F1", fixed(now.f1), "wrong")];
    });
    return el("section", { class: "bar", "aria-label": "Model, class and threshold" },
      el("div", { class: "controls" }, R.models.length > 1 ? model.field : null, cls.field,
        el("div", { class: "field wide" }, el("label", { for: "threshold" }, "Score threshold"), el("div", { class: "pair" }, slider, value,
          el("button", { type: "button", class: "plain", id: "best", onclick: () => change({ step: bestStep(state.model, state.cls) }) }, "best F1")))), counts);
  }
  const AREAS = { s: 0, m: 1, l: 2 };
  function ofMetric(name) {
    const size = name.endsWith("small") ? 0 : name.endsWith("medium") ? 1 : name.endsWith("large") ? 2 : AREAS[name.slice(-1)];
    return { kind: name.startsWith("AR") ? "missed" : "wrong", size: size === undefined ? -1 : size, cls: -1 };
  }
  function headline() {
    const d = R.draws, several = R.models.length > 1;
    const names = Object.keys(R.models[0].metrics);
    const range = (m, name) => { const i = R.models[m].intervals && R.models[m].intervals[name]; return i && i.low !== null ? `${fixed(i.low)} – ${fixed(i.high)}` : "—"; };
    const heads = ["metric", ...R.models.flatMap((one) => [one.name, `${100 * d.level} % interval`])];
    const rows = names.map((name) => {
      const row = [name, ...R.models.flatMap((one, m) => [link(fixed(one.metrics[name]), { ...ofMetric(name), model: m }, `${name} of ${one.name}; its errors`), el("span", { class: "dim" }, range(m, name)), ])];
      for (const other of R.comparisons) {
        const o = other.overall[name];
        row.push(el("span", { class: o.p !== null && o.p < 1 - d.level ? (o.difference > 0 ? "up" : "down") : "dim" }, difference(o)), el("span", { class: "dim" }, o.p === null ? "—" : fixed(o.p)));
      }
      return row;
    });
    R.comparisons.forEach((_, i) => heads.push(`${R.models[i + 1].name} − ${R.models[0].name}`, "p"));
    const note = `COCO's metrics on boxes. Intervals are from ${count(d.resamples)} bootstrap resamples of the images (seed ${d.seed})${several ? "; differences from the same draws for both models" : ""}.`;
    return section("summary", "Summary", note, intervalChart(), table(heads, rows, { caption: "COCO metrics" }), facts());
  }
  /** Dots with whiskers: what a table of intervals looks like. */
  function intervalChart() {
    const names = Object.keys(R.models[0].metrics).filter((n) => R.models.some((m) => m.metrics[n] !== null)).slice(0, 6);
    const row = 15 * R.models.length + 11, height = names.length * row + 28, width = 640, left = 64, x = (v) => left + v * (width - left - 16);
    const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `Intervals: ${names.map((n) => `${n} ${R.models.map((m) => fixed(m.metrics[n])).join(", ")}`).join("; ")}` });
    for (const t of [0, 0.2, 0.4, 0.6, 0.8, 1]) chart.append(draw("line", { x1: x(t), x2: x(t), y1: 4, y2: height - 22, class: "grid" }), draw("text", { x: x(t), y: height - 6, class: "tick", "text-anchor": "middle" }, t.toFixed(1)));
    names.forEach((name, n) => {
      chart.append(draw("text", { x: left - 10, y: n * row + row / 2 + 5, class: "tick strong", "text-anchor": "end" }, name));
      R.models.forEach((one, m) => {
        const y = n * row + 14 + 15 * m, value = one.metrics[name], i = one.intervals && one.intervals[name];
        if (value === null) return;
        if (i && i.low !== null) chart.append(draw("line", { x1: x(i.low), x2: x(i.high), y1: y, y2: y, class: `whisker m${m % 4}` }));
        chart.append(draw("circle", { cx: x(value), cy: y, r: 5, class: `dot m${m % 4}` }, draw("title", {}, `${one.name}: ${name} ${fixed(value, 4)}`)));
      });
    });
    return chart;
  }
  function facts() {
    const timed = R.models.filter((m) => m.meta.images_per_s);
    if (!timed.length) return null;
    return el("p", { class: "note", id: "latency" }, "Speed of the runs that wrote the files, decoding and writing included: ", timed.map((m) => `${m.name} ${(1000 / m.meta.images_per_s).toFixed(1)} ms an image (${m.meta.images_per_s} images/s${m.meta.device ? ` on ${m.meta.device}` : ""})`).join("; "), ".");
  }
  function classes() {
    const box = el("div", {});
    let column = 3, down = true;
    const heads = ["class", "annotations", "AP", "AP50", "right", "wrong", "missed", "precision", "recall", "F1"];
    live(box, () => {
      const m = state.model;
      const rows = R.classes.map((name, c) => { const n = at(m, c, state.step), ap = R.models[m].per_class[c] || {}; return [name, judged[m].positives[c], ap.AP, ap.AP50, n.tp, n.fp, n.fn, n.precision, n.recall, n.f1, c]; });
      const key = (row) => { const v = row[column]; return typeof v === "string" ? v : v === null || v === undefined || Number.isNaN(v) ? -1 : v; };
      rows.sort((x, y) => (key(x) < key(y) ? -1 : key(x) > key(y) ? 1 : 0) * (down ? -1 : 1));
      const body = rows.map((r) => { const c = r[10], name = r[0]; return [link(name, { cls: c, kind: state.kind in { right: 1, missed: 1 } ? state.kind : "wrong" }, "look at this class"), count(r[1]), fixed(r[2]), fixed(r[3]),
        link(count(r[4]), { cls: c, kind: "right" }, `right, ${name}`), link(count(r[5]), { cls: c, kind: "wrong" }, `wrong, ${name}`), link(count(r[6]), { cls: c, kind: "missed" }, `missed, ${name}`), fixed(r[7]), fixed(r[8]), fixed(r[9])]; });
      const sorters = heads.map((h, i) => el("button", { type: "button", class: "sort", "aria-pressed": String(i === column), onclick: () => { down = i === column ? !down : i > 0; column = i; redraw(); } }, `${h}${i === column ? (down ? " ↓" : " ↑") : ""}`));
      return table(sorters, body, { caption: `Classes of ${R.models[m].name} at score ${score(state.step)}` });
    });
    return section("classes", "Classes", "Matched as COCO does at IoU 0.5. Counts follow the threshold; AP does not depend on it.", box);
  }

  // --- precision by recall ----------------------------------------------------------------------------------

  const RECALLS = 101, W = 640, H = 400, PAD = { l: 46, r: 14, t: 10, b: 36 };
  const px = (v) => PAD.l + v * (W - PAD.l - PAD.r), py = (v) => H - PAD.b - v * (H - PAD.t - PAD.b);
  const curve = (m, c) => C[`${m}/curve`].subarray(c * RECALLS, (c + 1) * RECALLS);
  const known = (m) => R.classes.map((_, c) => c).filter((c) => curve(m, c)[0] > -1);
  function path(values, x = px, y = py) { return Array.from(values, (v, i) => `${i ? "L" : "M"}${x(i / (RECALLS - 1)).toFixed(1)},${y(v).toFixed(1)}`).join(""); }
  function meanCurve(m) {
    const some = known(m), out = new Float32Array(RECALLS);
    for (const c of some) curve(m, c).forEach((v, i) => { out[i] += v / some.length; });
    return out;
  }
  function axes(xName, yName) {
    const parts = [];
    for (const t of [0, 0.25, 0.5, 0.75, 1]) parts.push(draw("line", { x1: px(t), x2: px(t), y1: py(0), y2: py(1), class: "grid" }), draw("line", { x1: px(0), x2: px(1), y1: py(t), y2: py(t), class: "grid" }),
      draw("text", { x: px(t), y: H - 18, class: "tick", "text-anchor": "middle" }, String(t)), draw("text", { x: PAD.l - 6, y: py(t) + 4, class: "tick", "text-anchor": "end" }, String(t)));
    parts.push(draw("text", { x: px(0.5), y: H - 3, class: "tick strong", "text-anchor": "middle" }, xName), draw("text", { x: 12, y: py(0.5), class: "tick strong", "text-anchor": "middle", transform: `rotate(-90 12 ${py(0.5)})` }, yName));
    return parts;
  }
  function curves() {
    const cursor = { i: 50, c: -1 };
    const said = el("p", { class: "said", id: "curve-said" }, "");
    const chart = draw("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart picks", id: "curve", tabindex: "0", role: "slider", "aria-valuemin": "0", "aria-valuemax": "1", "aria-label": "Precision by recall at IoU 0.5; arrow keys move along the curve and from class to class, Enter shows the errors there" });
    const mark = draw("circle", { r: 5, class: "dot cursor" });
    const tracked = () => (state.cls >= 0 ? state.cls : cursor.c >= 0 ? cursor.c : known(state.model)[0]);
    const point = () => { const c = tracked(); return { c, recall: cursor.i / (RECALLS - 1), precision: curve(state.model, c)[cursor.i], step: Math.min(R.steps, Math.max(0, Math.floor(C[`${state.model}/curve_score`][c * RECALLS + cursor.i] * R.steps + 1e-4))) }; };
    function move() {
      if (!known(state.model).length) return;
      const p = point(), there = p.precision > 0;
      chart.setAttribute("aria-valuenow", p.recall.toFixed(2));
      said.textContent = `${className(p.c)}, recall ${p.recall.toFixed(2)}: ${there ? `precision ${p.precision.toFixed(3)} from score ${score(p.step)} on` : "not reached"}`;
      chart.setAttribute("aria-valuetext", said.textContent);
      mark.setAttribute("cx", px(p.recall)); mark.setAttribute("cy", py(Math.max(0, p.precision)));
    }
    const pick = () => { const p = point(); if (p.precision > 0) go({ cls: p.c, step: p.step, kind: "wrong" }); };
    const nearest = (event) => {
      const box = chart.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * W, y = ((event.clientY - box.top) / box.height) * H;
      cursor.i = Math.round(Math.min(1, Math.max(0, (x - PAD.l) / (W - PAD.l - PAD.r))) * (RECALLS - 1));
      if (state.cls < 0) cursor.c = known(state.model).reduce((best, c) => (Math.abs(py(curve(state.model, c)[cursor.i]) - y) < Math.abs(py(curve(state.model, best)[cursor.i]) - y) ? c : best), known(state.model)[0]);
      move();
    };
    chart.addEventListener("pointermove", nearest);
    chart.addEventListener("click", (e) => { nearest(e); pick(); });
    chart.addEventListener("keydown", (e) => {
      const some = known(state.model), place = some.indexOf(tracked());
      if (e.key === "ArrowRight") cursor.i = Math.min(RECALLS - 1, cursor.i + 1);
      else if (e.key === "ArrowLeft") cursor.i = Math.max(0, cursor.i - 1);
      else if (e.key === "ArrowUp" || e.key === "ArrowDown") { cursor.c = some[(place + (e.key === "ArrowUp" ? 1 : some.length - 1)) % some.length]; if (state.cls >= 0) change({ cls: cursor.c }); }
      else if (e.key === "Enter") pick();
      else return;
      e.preventDefault();
      move();
    });
    redraws.push(() => {
      const m = state.model, lines = known(m).map((c) => draw("path", { d: path(curve(m, c)), class: `line faint${c === state.cls ? " gone" : ""}` }));
      R.models.forEach((_, other) => { if (other !== m) lines.push(draw("path", { d: path(state.cls < 0 ? meanCurve(other) : curve(other, state.cls).map((v) => Math.max(0, v))), class: `line m${other % 4} dashed` })); });
      lines.push(draw("path", { d: path(state.cls < 0 ? meanCurve(m) : curve(m, state.cls).map((v) => Math.max(0, v))), class: `line strong m${m % 4}` }));
      const now = at(m, state.cls, state.step);
      if (state.cls >= 0 && !Number.isNaN(now.precision) && !Number.isNaN(now.recall)) lines.push(draw("circle", { cx: px(now.recall), cy: py(now.precision), r: 6, class: `dot m${m % 4}` }, draw("title", {}, `at score ${score(state.step)}`)));
      chart.replaceChildren(...axes("recall", "precision"), ...lines, mark);
      move();
    });
    let most = MOST_SPARKS;
    const sparks = live(el("ul", { class: "sparks" }), () => {
      const m = state.model, some = known(m).sort((a, b) => R.models[m].per_class[a].AP - R.models[m].per_class[b].AP);
      const x = (v) => 2 + 76 * v, y = (v) => 42 - 40 * v;
      return [...some.slice(0, most).map((c) => el("li", {}, el("button", { type: "button", class: "spark", "aria-pressed": String(c === state.cls), onclick: () => change({ cls: c === state.cls ? -1 : c }) },
        draw("svg", { viewBox: "0 0 80 44", "aria-hidden": "true" }, draw("path", { d: `${path(curve(m, c), x, y)}L78,42L2,42Z`, class: `area m${m % 4}` }), draw("path", { d: path(curve(m, c), x, y), class: `line m${m % 4}` })),
        el("span", { class: "name" }, R.classes[c]), el("span", { class: "dim" }, `AP ${fixed(R.models[m].per_class[c].AP)}`)))),
      some.length > most ? el("li", {}, el("button", { type: "button", class: "plain", onclick: () => { most = Infinity; redraw(); } }, `show ${some.length - most} more`)) : null].filter(Boolean);
    }, () => `${state.model} ${state.cls} ${most}`);
    return section("curves", "Precision by recall", "At IoU 0.5. The strong line is the mean over classes, or the class that is chosen; a click on a point of a curve sets class and threshold and shows the errors there. Below, the class of the lowest AP comes first.", chart, said, sparks);
  }

  // --- confusions, errors, calibration, slices --------------------------------------------------------------

  function confusions() {
    const goTo = (t, p) => (p === N ? { kind: "cellmissed", a: t, cls: -1 } : { kind: "cell", a: t, b: p, cls: -1 });
    const box = live(el("div", {}), () => {
      const counts = confusion(state.model), width = N + 1, wrong = new Int32Array(N);
      for (let t = 0; t < N; t++) for (let p = 0; p < N; p++) if (t !== p) { wrong[t] += counts[t * width + p]; wrong[p] += counts[t * width + p]; }
      let some = R.classes.map((_, c) => c);
      if (N > MOST_CLASSES) {
        some.sort((a, b) => wrong[b] - wrong[a]);
        some = some.slice(0, MOST_CLASSES);
        if (state.cls >= 0 && !some.includes(state.cls)) some = [state.cls, ...some.slice(0, -1)];
        some.sort((a, b) => a - b);
      }
      some.push(N);
      let all = 0, seen = 0;
      counts.forEach((n) => { all += n; });
      const rows = some.map((t) => {
        let whole = 0;
        for (let p = 0; p < width; p++) whole += counts[t * width + p];
        return el("tr", {}, el("th", { scope: "row", class: t === state.cls ? "on" : "" }, className(t)), some.map((p) => {
          const n = counts[t * width + p];
          seen += n;
          if (!n) return el("td", { class: "zero" }, "");
          const node = el("td", { class: t === p ? "same" : "other" }, link(count(n), goTo(t, p), t === p ? `${className(t)} found` : `${className(t)} taken for ${className(p)}`));
          node.style.setProperty("--part", `${Math.round(100 * Math.min(1, 0.12 + 0.88 * ratio(n, whole)))}%`);
          return node;
        }));
      });
      const common = [];
      counts.forEach((n, i) => { const t = Math.floor(i / width), p = i % width; if (n && t !== p) common.push([n, t, p]); });
      common.sort((x, y) => y[0] - x[0]);
      return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of confusions" }, el("table", { class: "matrix" }, el("caption", {}, "rows: true class; columns: predicted class"),
        el("thead", {}, el("tr", {}, el("td", {}), some.map((p) => el("th", { scope: "col" }, el("span", {}, className(p)))))), el("tbody", {}, rows))),
      all > seen ? el("p", { class: "note" }, `${count(N + 1 - some.length)} classes with fewer confusions are left out, and ${count(all - seen)} objects with them; choose one above to see it here.`) : null,
      el("h3", {}, "Most common"), el("ol", { class: "common" }, common.slice(0, MOST_ROWS).map(([n, t, p]) => el("li", {}, link(count(n), goTo(t, p), `${className(t)} taken for ${className(p)}`), t === N ? ` background taken for ${className(p)}` : p === N ? ` ${className(t)} missed` : ` ${className(t)} taken for ${className(p)}`)))];
    }, () => `${state.model} ${state.cls}`);
    return section("confusions", "Confusion matrix", `Detections from score ${R.confusion.score} on, paired above IoU ${R.confusion.iou}, whatever the threshold above is.`, box);
  }
  const MEANING = { Cls: "right place, wrong class", Loc: "right class, poor box", Both: "wrong class and poor box", Dupe: "found already", Bkg: "nothing is there", Miss: "not found at all", FP: "no false positives", FN: "no false negatives" };
  function errors() {
    const of = (m) => (R.models[m].results.find((r) => r.name === "tide") || {}).metrics;
    if (!R.models.some((_, m) => of(m))) return null;
    const most = Math.max(1e-9, ...R.models.flatMap((_, m) => Object.entries(of(m) || {}).filter(([k]) => k.startsWith("dAP_")).map(([, v]) => v)));
    const counts = R.models.map((_, m) => {
      const n = { FP: 0, FN: 0, Miss: 0 }, kinds = C[`${m}/error`], fate = C[`${m}/truth/fate`];
      for (const k of kinds) if (k < 5) { n[R.errors[k]] = (n[R.errors[k]] || 0) + 1; n.FP++; }
      for (const f of fate) { if (f & 1) n.Miss++; if (f & 2) n.FN++; }
      return n;
    });
    const to = (kind) => ({ Miss: { kind: "unfound" }, FP: { kind: "anyerror" }, FN: { kind: "negative" } }[kind] || { kind: "error", a: R.errors.indexOf(kind) });
    const bars = [...R.errors, "FP", "FN"].map((kind) => el("div", { class: `tide ${kind === "FP" ? "after" : ""}` }, el("div", { class: "what" }, el("b", {}, kind), el("span", { class: "dim" }, MEANING[kind])),
      el("div", { class: "bars" }, R.models.map((one, m) => {
        const gain = (of(m) || {})[`dAP_${kind}`], bar = el("span", { class: `fill m${m % 4}` });
        bar.style.width = `${Math.max(0.4, (100 * Math.max(0, gain || 0)) / most)}%`;
        return el("button", { type: "button", class: "bar-row", "aria-label": `${kind} of ${one.name}: costs ${fixed(gain, 4)} AP, ${counts[m][kind] || 0} times; pictures`, onclick: () => go({ ...to(kind), model: m, cls: -1 }) },
          el("span", { class: "track" }, bar), el("span", { class: "num" }, fixed(gain, 4)), el("span", { class: "num dim" }, count(counts[m][kind] || 0)));
      }))));
    return section("errors", "What errors cost", "TIDE (Bolya et al. 2020): the AP at IoU 0.5 that would be gained if one kind of error were corrected, and how often it occurs among the 100 best detections of an image.", el("div", { class: "tides" }, bars));
  }
  function calibration() {
    const numbers = el("p", { class: "note" });
    const chart = draw("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "group", "aria-label": "Precision by score" });
    live(chart, () => {
      const m = state.model, right = new Float64Array(R.bins), all = new Float64Array(R.bins), bins = C[`${m}/bin`], outcome = C[`${m}/outcome`], cls = C[`${m}/class`];
      for (let i = 0; i < bins.length; i++) if (outcome[i] !== IGNORED && (state.cls < 0 || cls[i] === state.cls)) { all[bins[i]]++; right[bins[i]] += outcome[i] === RIGHT; }
      const most = Math.max(1, ...all), width = (px(1) - px(0)) / R.bins;
      const bars = Array.from(all, (n, i) => {
        if (!n) return null;
        const p = right[i] / n, x = px(i / R.bins), open = () => go({ kind: "bin", a: i, cls: state.cls });
        return draw("g", { role: "button", tabindex: "0", class: "pick", "aria-label": `scores ${(i / R.bins).toFixed(2)} to ${((i + 1) / R.bins).toFixed(2)}: precision ${fixed(p)}, ${n} detections; pictures`, onclick: open, onkeydown: (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); open(); } } },
          draw("rect", { x, y: py(1), width, height: py(0) - py(1), class: "hit" }), draw("rect", { x: x + 1, y: py(p), width: width - 2, height: py(0) - py(p), class: `fillbar m${m % 4}`, "fill-opacity": (0.25 + 0.75 * Math.sqrt(n / most)).toFixed(2) }),
          draw("title", {}, `precision ${fixed(p)} of ${count(n)} detections`));
      }).filter(Boolean);
      const metrics = (R.models[m].results.find((r) => r.name === "calibration") || { metrics: {} }).metrics;
      numbers.textContent = `${Object.entries(metrics).map(([k, v]) => `${k} ${fixed(v, 4)}`).join(" · ")}. Bars on the diagonal are calibrated; paler bars hold fewer detections.`;
      return [...axes("score", "precision"), ...bars, draw("line", { x1: px(0), y1: py(0), x2: px(1), y2: py(1), class: "diagonal" })];
    }, () => `${state.model} ${state.cls}`);
    return section("calibration", "Calibration", null, numbers, chart);
  }
  function slices() {
    const box = live(el("div", {}), () => {
      const m = state.model, step = C[`${m}/step`], outcome = C[`${m}/outcome`], cls = C[`${m}/class`], found = C[`${m}/truth/found`], crowd = C["truth/crowd"], tcls = C["truth/class"];
      const groups = { size: R.sizes, aspect: R.aspects }, rows = [], bands = Array.from({ length: 10 }, () => [0, 0]);
      const tally = {};
      for (const name of Object.keys(groups)) tally[name] = groups[name].map(() => [0, 0, 0, 0]);
      const columns = Object.keys(groups).map((name) => [tally[name], C[`${m}/${name}`], C[`truth/${name}`]]);
      for (let i = 0; i < step.length; i++) {
        if (outcome[i] === IGNORED || step[i] < 0 || (state.cls >= 0 && cls[i] !== state.cls)) continue;
        bands[Math.min(9, Math.floor((step[i] * 10) / R.steps))][outcome[i] === RIGHT ? 0 : 1]++;
        if (step[i] >= state.step) for (const [t, mine] of columns) t[mine[i]][outcome[i] === RIGHT ? 0 : 1]++;
      }
      for (let i = 0; i < found.length; i++) {
        if (crowd[i] || (state.cls >= 0 && tcls[i] !== state.cls)) continue;
        for (const [t, , theirs] of columns) t[theirs[i]][found[i] >= state.step ? 2 : 3]++;
      }
      for (const [name, words] of Object.entries(groups)) words.forEach((word, i) => {
        const [right, wrong, hit, missed] = tally[name][i], to = { [name]: i, cls: state.cls };
        rows.push([`${word}`, link(count(right), { ...to, kind: "right" }, `right, ${word}`), link(count(wrong), { ...to, kind: "wrong" }, `wrong, ${word}`), fixed(ratio(right, right + wrong)), count(hit + missed), link(count(missed), { ...to, kind: "missed" }, `missed, ${word}`), fixed(ratio(hit, hit + missed))]);
      });
      const scores = bands.map(([right, wrong], i) => { const a = (i * R.steps) / 10; return [`${(i / 10).toFixed(1)} – ${((i + 1) / 10).toFixed(1)}`, link(count(right), { kind: "band", a, b: RIGHT, cls: state.cls }, "right"), link(count(wrong), { kind: "band", a, b: WRONG, cls: state.cls }, "wrong"), fixed(ratio(right, right + wrong))]; }).reverse();
      return [table(["boxes", "right", "wrong", "precision", "annotations", "missed", "recall"], rows, { caption: `By size and shape, at score ${score(state.step)}` }), table(["scores", "right", "wrong", "precision"], scores, { caption: "By score, whatever the threshold" })];
    });
    return section("slices", "Slices", "Sizes are COCO's (32² and 96² pixels); shapes are width by height: below 1/2, 4/5, 5/4, 2 and above. Detections are sliced by their own box, annotations by theirs.", box);
  }
  function versusSection() {
    if (R.models.length < 2) return null;
    const other = select("Compared with", R.models.map((one, m) => [m, one.name]), 1, (v) => change({ other: Number(v) }));
    redraws.push(() => { other.node.value = otherOf(state.model); });
    const box = live(el("div", {}), () => {
      const m = state.model, o = otherOf(m), a = C[`${m}/truth/found`], b = C[`${o}/truth/found`], crowd = C["truth/crowd"], cls = C["truth/class"];
      const n = R.classes.map(() => [0, 0, 0, 0]), all = [0, 0, 0, 0];
      for (let i = 0; i < a.length; i++) { if (crowd[i]) continue; const k = (a[i] >= state.step ? 0 : 2) + (b[i] >= state.step ? 0 : 1); n[cls[i]][k]++; all[k]++; }
      const names = [`both`, `only ${R.models[m].name}`, `only ${R.models[o].name}`, "neither"], kinds = ["both", "first", "second", "neither"];
      const comparison = m === 0 && R.comparisons[o - 1] ? R.comparisons[o - 1] : null;
      const line = (name, values, c) => [name, ...values.map((v, k) => link(count(v), { kind: kinds[k], cls: c }, `${names[k]}, ${name}`)), ...(comparison ? [c < 0 ? difference(comparison.overall.AP) : difference(comparison.by_class[c])] : [])];
      const order = n.map((_, c) => c).sort((x, y) => Math.abs(n[y][1] - n[y][2]) - Math.abs(n[x][1] - n[x][2])).filter((c) => n[c].some(Boolean));
      return table(["annotations found by", ...names, ...(comparison ? ["AP difference"] : [])], [line("all classes", all, -1), ...order.map((c) => line(R.classes[c], n[c], c))], { caption: `Found at score ${score(state.step)}, largest difference first` });
    });
    return section("versus", "Side by side", "What one model finds and the other misses, at the threshold above for both.", other.field, box);
  }
  function difference(o) { return !o || o.difference === null ? "n/a" : `${signed(o.difference)}${o.low === null ? "" : ` [${signed(o.low)}, ${signed(o.high)}]`}`; }

  // --- figures of other evaluators --------------------------------------------------------------------------

  /** Evaluators that have a section of their own above, or nothing but tables. */
  const OWN = ["coco", "tide", "confusion", "calibration", "thresholds"];
  function others() {
    const names = [...new Set(R.models.flatMap((m) => m.results.filter((r) => !OWN.includes(r.name)).map((r) => r.name)))];
    return names.map((name) => {
      const box = live(el("div", { class: "figures" }), () => {
        const result = R.models[state.model].results.find((r) => r.name === name);
        if (!result) return el("p", { class: "note" }, `${R.models[state.model].name} has none.`);
        const metrics = Object.entries(result.metrics).filter(([k]) => !k.includes("/"));
        const poses = name === "pose" && C[`${state.model}/rotation`] ? el("p", {}, link("largest rotation errors", { kind: "rotation", cls: state.cls }), " · ", link("largest translation errors", { kind: "translation", cls: state.cls })) : null;
        return [el("dl", { class: "metrics" }, metrics.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, cell(v))))), poses, ...result.figures.map((f) => figure(f, name)), ...(result.figures.length ? [] : result.tables.map((t) => table(t.header, t.rows.map((row) => row.map(cell)), { caption: t.title })))].filter(Boolean);
      }, () => `${state.model} ${state.cls}`);
      return section(`of-${name}`, { states: "States", pose: "Poses", "coco-segm": "Masks", "coco-keypoints": "Keypoints", semantic: "Semantic masks" }[name] || name, null, box);
    });
  }
  function figure(f, of) {
    const body = f.kind === "lines" ? lineFigure(f) : f.kind === "bars" ? barFigure(f) : matrixFigure(f, of);
    return el("figure", {}, el("figcaption", {}, f.title), body);
  }
  function lineFigure(f) {
    const xs = f.series.flatMap((s) => s.x).filter((v) => v !== null), ys = f.series.flatMap((s) => [...s.y, ...(s.low || []), ...(s.high || [])]).filter((v) => v !== null);
    const range = (axis, values) => (axis.limits ? axis.limits : [Math.min(0, ...values), Math.max(1e-9, ...values)]);
    const [x0, x1] = range(f.x, xs), [y0, y1] = range(f.y, ys), x = (v) => px((v - x0) / (x1 - x0 || 1)), y = (v) => py((v - y0) / (y1 - y0 || 1));
    const chart = draw("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": f.title });
    for (const t of [0, 0.25, 0.5, 0.75, 1]) chart.append(draw("line", { x1: px(t), x2: px(t), y1: py(0), y2: py(1), class: "grid" }), draw("line", { x1: px(0), x2: px(1), y1: py(t), y2: py(t), class: "grid" }),
      draw("text", { x: px(t), y: H - 18, class: "tick", "text-anchor": "middle" }, short(x0 + t * (x1 - x0))), draw("text", { x: PAD.l - 6, y: py(t) + 4, class: "tick", "text-anchor": "end" }, short(y0 + t * (y1 - y0))));
    chart.append(draw("text", { x: px(0.5), y: H - 3, class: "tick strong", "text-anchor": "middle" }, unit(f.x)), draw("text", { x: 12, y: py(0.5), class: "tick strong", "text-anchor": "middle", transform: `rotate(-90 12 ${py(0.5)})` }, unit(f.y)));
    f.series.forEach((s, i) => {
      const points = s.x.map((v, k) => [v, s.y[k]]).filter(([a, b]) => a !== null && b !== null);
      chart.append(draw("path", { d: points.map(([a, b], k) => `${k ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(""), class: `line s${i % 7} ${s.reference ? "dashed" : ""}` }, draw("title", {}, s.name)));
    });
    return [chart, f.series.length > 1 ? el("ul", { class: "legend" }, f.series.map((s, i) => el("li", { class: `s${i % 7}` }, s.name))) : null].filter(Boolean).reduce((box, part) => (box.append(part), box), el("div", {}));
  }
  const unit = (axis) => (axis.unit ? `${axis.label} (${axis.unit})` : axis.label);
  const short = (v) => (Math.abs(v) >= 100 || Number.isInteger(v) ? String(Math.round(v)) : v.toFixed(2));
  function barFigure(f) {
    const most = Math.max(1e-9, f.value.limits ? f.value.limits[1] : 0, ...f.bars.map((b) => Math.max(b.value || 0, b.high || 0)));
    return el("div", { class: "tides" }, f.bars.map((b) => { const fill = el("span", { class: `fill m${state.model % 4}` }); fill.style.width = `${(100 * Math.max(0, b.value || 0)) / most}%`; return el("div", { class: "bar-row still" }, el("span", { class: "what" }, b.name), el("span", { class: "track" }, fill), el("span", { class: "num" }, fixed(b.value, 4)), el("span", { class: "num dim" }, b.note || "")); }));
  }
  function matrixFigure(f, of) {
    const stated = of === "states" && C[`${state.model}/state`] && f.row_names.every((name, i) => name === R.states[i]);
    const top = Math.max(1e-9, ...f.values.flat().filter((v) => v !== null));
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": f.title }, el("table", { class: "matrix" }, el("caption", {}, `rows: ${unit(f.rows)}; columns: ${unit(f.columns)}; ${unit(f.value)}`),
      el("thead", {}, el("tr", {}, el("td", {}), f.column_names.map((n) => el("th", { scope: "col" }, el("span", {}, n))))),
      el("tbody", {}, f.values.map((row, r) => {
        const whole = f.by_row ? row.reduce((a, b) => a + (b || 0), 0) : top;
        return el("tr", {}, el("th", { scope: "row" }, f.row_names[r]), row.map((v, c) => {
          if (!v) return el("td", { class: "zero" }, v === null ? "" : "0");
          const text = cell(v), node = el("td", { class: f.row_names[r] === f.column_names[c] ? "same" : "other" }, stated ? link(text, { kind: "state", a: r, b: c < R.states.length ? c : -1, cls: -1 }, `${f.row_names[r]} taken for ${f.column_names[c]}`) : text);
          node.style.setProperty("--part", `${Math.round(100 * (0.12 + 0.88 * Math.min(1, ratio(v, whole))))}%`);
          return node;
        }));
      }))));
  }
  function tables() {
    // Made when they are opened: those of eighty classes are long.
    const one = (r) => {
      const node = el("details", {}, el("summary", {}, r.name));
      node.addEventListener("toggle", () => {
        if (node.childElementCount === 1) node.append(...r.tables.map((t) => table(t.header, t.rows.map((row) => row.map(cell)), { caption: t.title })));
      });
      return node;
    };
    const box = live(el("div", {}), () => R.models[state.model].results.map(one), () => state.model);
    return section("tables", "All tables", "As anydet eval prints them, of the model above.", box);
  }
  function about() {
    const all = R.columns.filter(([name]) => /^(\d+|truth)\/class$/.test(name)).reduce((sum, c) => sum + c[2], 0), some = loaded.size;
    const lines = [
      R.served ? `All ${count(all)} detections and annotations have a picture, which is read from the data set when it is looked at.`
        : `Pictures: ${count(some)} of ${count(all)} detections and annotations; the worst of every number, in turn. The other ${count(all - some)} are counted everywhere; anydet browse shows them all, and --pictures brings more into this file.`,
      R.unread && R.unread.length ? `${count(R.unread.length)} images could not be read: ${R.unread.slice(0, 5).join(", ")}${R.unread.length > 5 ? ", …" : ""}.` : null,
      `Labels: ${R.dataset.source}${R.dataset.crowds ? `; ${count(R.dataset.crowds)} crowds count neither as hits nor as misses` : ""}.`,
      `Written by anydet ${R.version}.`,
    ];
    const models = R.models.map((m) => el("div", {}, el("h3", {}, m.name), el("dl", { class: "meta" }, Object.entries({ file: m.path, detections: count(m.detections), ...m.meta }).map(([k, v]) => el("div", {}, el("dt", {}, k.replaceAll("_", " ")), el("dd", {}, String(v))))),
      m.warnings.map((w) => el("p", { class: "warn" }, w)), Object.entries(m.failed).map(([k, v]) => el("p", { class: "warn" }, `${k} failed: ${v}`)),
      Object.keys(m.skipped).length ? el("details", {}, el("summary", {}, "evaluators that do not apply"), el("ul", {}, Object.entries(m.skipped).map(([k, v]) => el("li", {}, `${k}: ${v}`)))) : null));
    return section("about", "About this report", null, lines.filter(Boolean).map((t) => el("p", {}, t)), models);
  }

  // --- gallery ----------------------------------------------------------------------------------------------

  let blob = null;
  const urls = new Map();
  function url(item, large) {
    if (R.served) return `picture?of=${item.m}&rows=${item.r}${large ? "&large=1" : ""}`;
    if (item.to === item.from) return null;
    if (!blob) blob = bytes("pictures");
    if (!urls.has(item)) urls.set(item, URL.createObjectURL(new Blob([blob.subarray(item.from, item.to)], { type: R.media_type })));
    return urls.get(item);
  }
  function picture(item, { large = false, focus = null } = {}) {
    const [w, h] = item.wh[0] ? item.wh : [100, 100];
    const art = draw("svg", { viewBox: `0 0 ${w} ${h}`, class: "art", role: "img", "aria-label": describe(item).join(", ") });
    const source = url(item, large), none = () => draw("text", { x: w / 2, y: h / 2, class: "tick", "text-anchor": "middle", "font-size": h / 9 }, "no picture");
    art.append(source ? draw("image", { href: source, width: w, height: h, onerror: (e) => e.target.replaceWith(none()) }) : none());
    const wide = item.m === IMAGE ? Math.min(1100, Math.max(620, innerWidth - 340)) : 620, scale = Math.max(w, h) / (large ? wide : 200), tags = [];
    const whole = item.m === IMAGE, wholeOrder = [0, TRUTH, ...R.models.keys()], own = (mark, i) => (whole ? focus !== null && mark.m === focus.m && mark.r === focus.r : i === 0);
    const hidden = (mark, i) => !own(mark, i) && (mark.m === TRUTH ? !layers.truth : (mark.m !== state.model && !large) || mark.s < state.step / R.steps);
    const marks = item.marks.map((mark, i) => [mark, own(mark, i)]).filter(([mark], i) => !hidden(mark, i)).reverse(), named = large && marks.length <= MOST_NAMES;
    marks.forEach(([mark, own]) => {
      const kind = mark.m === TRUTH ? "truth" : `m${mark.m % 4}`;
      if (layers.masks) for (const ring of mark.p || []) { let d = ""; for (let k = 0; k < ring.length; k += 2) d += `${k ? "L" : "M"}${ring[k]},${ring[k + 1]}`; art.append(draw("path", { d: `${d}Z`, class: `mask ${kind}` })); }
      const [x, y, bw, bh] = mark.b, box = { x, y, width: Math.max(0, bw), height: Math.max(0, bh) };
      if (layers.boxes) art.append(draw("rect", { ...box, class: `halo ${own ? "own" : ""}`, "stroke-width": (own ? 4.6 : 2.2) * scale }), draw("rect", { ...box, class: `box ${kind} ${own ? "own" : ""}`, "stroke-width": (own ? 2.8 : 1.2) * scale, "stroke-dasharray": mark.m === TRUTH ? `${5 * scale} ${3 * scale}` : null }, whole && large ? draw("title", {}, `${tag(mark)} · ${mark.m === TRUTH ? "ground truth" : R.models[mark.m].name}`) : null));
      if (layers.points) {
        for (const [kx, ky, v] of mark.k || []) art.append(draw("circle", { cx: kx, cy: ky, r: 2.6 * scale, class: `point ${kind} ${v < 2 ? "unsure" : ""}`, "stroke-width": scale }));
        if (mark.a) [1, 2, 3].forEach((axis) => art.append(draw("line", { x1: mark.a[0][0], y1: mark.a[0][1], x2: mark.a[axis][0], y2: mark.a[axis][1], class: `axis a${axis}`, "stroke-width": 2.2 * scale })));
      }
      if (layers.names && (own || named)) tags.push([mark, kind, own]);
    });
    for (const [mark, kind, own] of tags) {
      const text = tag(mark), size = (large ? 12 : 11.5) * scale, width = Math.min(w, text.length * size * EM + 6 * scale), height = size * 1.35;
      // Tags of the item's side stand above boxes, those of the others below, so that a match hides none.
      const other = whole ? wholeOrder.indexOf(mark.m) - 1 : [TRUTH, ...R.models.keys()].filter((m) => m !== item.m).indexOf(mark.m), [bx, by, bw, bh] = mark.b;
      const above = by - height > 0 ? by - height : by, below = by + bh + height < h ? by + bh : by + bh - height;
      const x = Math.max(0, Math.min(other > 0 ? bx + bw - width : bx, w - width)), y = Math.min(Math.max(0, other < 0 ? above : below), h - height);
      art.append(draw("rect", { x, y, width, height, class: `tagbox ${kind} ${own ? "own" : ""}` }), draw("text", { x: x + 3 * scale, y: y + size * 1.02, class: `tag ${kind}`, "font-size": size, textLength: text.length * size * EM > w ? width - 6 * scale : null, lengthAdjust: "spacingAndGlyphs" }, text));
    }
    return art;
  }
  const shortened = (text) => (text.length > 40 ? `${text.slice(0, 38)}…` : text);
  function tag(mark) {
    const name = shortened(className(mark.c)), stateName = mark.t === undefined ? "" : ` ${R.states[mark.t] || `state ${mark.t}`}`;
    return `${name}${stateName}${mark.s === undefined ? "" : ` ${mark.s.toFixed(2)}`}`;
  }
  const imageOf = (item) => R.images[imageIndex(item.m, item.r)];
  let counted = null, countedAt = "";
  /** As ``tally``, once for all items that are described. */
  function tallied(m) {
    const now = [m, state.step, state.cls, state.size, state.aspect].join();
    if (countedAt !== now) { counted = tally(m); countedAt = now; }
    return counted;
  }
  /** What is said of an item: what it is, where, and what is wrong. */
  function describe(item) {
    const own = item.marks[0], words = [], m = item.m;
    if (m === IMAGE) {
      const n = tallied(state.model), many = (k, one, more) => `${count(k)} ${k === 1 ? one : more}`;
      words.push(`${many(n.wrong[item.r], "false positive", "false positives")}, ${many(n.missed[item.r], "miss", "misses")}`, `${many(n.detections[item.r], "detection", "detections")} from score ${score(state.step)} on, ${many(n.labels[item.r], "annotation", "annotations")}`);
    } else if (!own) return [imageOf(item)];
    else if (m === TRUTH) {
      words.push(`${className(own.c)}, annotated`);
      R.models.forEach((one, k) => { const f = C[`${k}/truth/found`][item.r]; words.push(`${R.models.length > 1 ? `${one.name}: ` : ""}${f >= state.step ? `found, score ${score(f)}` : f >= 0 ? `found below the threshold, score ${score(f)}` : `missed, best IoU ${fixed(item.iou[k], 2)}`}`); });
      if (own.t !== undefined) words.push(`state ${R.states[own.t] || own.t}`);
    } else {
      const kind = C[`${m}/error`][item.r], outcome = C[`${m}/outcome`][item.r], cellOf = C[`${m}/cell`][item.r];
      words.push(`${className(own.c)} ${own.s.toFixed(3)}`);
      words.push(outcome === RIGHT ? "right" : outcome === IGNORED ? "not counted" : kind < 5 ? `${R.errors[kind]}: ${MEANING[R.errors[kind]]}` : "wrong");
      if (cellOf < N && cellOf !== own.c) words.push(`truth: ${className(cellOf)}`);
      words.push(`IoU ${fixed(item.iou[0], 2)}`);
      const t = C[`${m}/true_state`];
      if (t && t[item.r] !== NO_STATE) words.push(`state ${own.t === undefined ? "none" : R.states[own.t] || own.t}, truth ${R.states[t[item.r]] || t[item.r]}`);
      const e = C[`${m}/rotation`];
      if (e && e[item.r] !== NO_ERROR) words.push(`rotation off by ${(e[item.r] / 10).toFixed(1)}°, translation by ${C[`${m}/translation`][item.r]} mm`);
    }
    if (item.more) words.push(`${item.more} more boxes in it are not drawn`);
    return words;
  }
  function card(list, place) {
    const item = itemOf(list.model, list.rows[place]);
    if (!item) return el("li", {}, el("div", { class: "card waiting", "aria-hidden": "true" }, el("span", { class: "art" }), el("span", { class: "cap" }, el("b", {}, "…"), el("span", {}, "…"))));
    const [first, ...rest] = describe(item), key = imageOf(item);
    return el("li", {}, el("button", { type: "button", class: "card", onclick: () => open(list, place) }, picture(item), el("span", { class: "cap" }, el("b", {}, first), el("span", { class: "dim" }, rest.join(" · ")), el("span", { class: "path", title: key }, key))));
  }
  function overlays() {
    const names = { boxes: "boxes", truth: "ground truth", masks: "masks", points: "points and axes", names: "names" }, boxes = {};
    redraws.push(() => { for (const name of Object.keys(names)) boxes[name].checked = layers[name]; });
    return el("div", { class: "checks", role: "group", "aria-label": "Overlays" }, Object.entries(names).map(([name, text]) => el("label", { class: "check" },
      (boxes[name] = el("input", { type: "checkbox", checked: layers[name], onchange: (e) => { layers[name] = e.target.checked; redraw(); } })), text)));
  }
  function pager(pages) {
    const turned = (page) => change({ page: Math.min(pages() - 1, Math.max(0, page)) });
    const button = (text, by) => el("button", { type: "button", class: "plain", onclick: () => turned(state.page + by) }, text);
    const back = button("← previous", -1), on = button("next →", 1), of = el("span", { class: "dim" });
    const number = el("input", { type: "number", min: "1", "aria-label": "Page", onchange: () => { turned(Math.round(Number(number.value)) - 1 || 0); number.value = state.page + 1; } });
    const node = el("nav", { class: "pages", "aria-label": "Pages of pictures" }, back, el("span", { class: "field" }, number), of, on);
    redraws.push(() => {
      node.hidden = pages() < 2;
      of.textContent = `of ${count(pages())}`;
      number.max = pages();
      if (document.activeElement !== number) number.value = state.page + 1;
      back.disabled = state.page === 0; on.disabled = state.page >= pages() - 1;
    });
    return node;
  }
  function gallery() {
    const kinds = [["wrong", "False positives"], ["missed", "Misses"], ["right", "True positives"], ...[0, 1, 2, 3, 4].map((i) => [`error:${i}`, `TIDE ${R.errors[i]}: ${MEANING[R.errors[i]]}`]), ["unfound", "TIDE Miss: not found at all"],
      ...(R.models.length > 1 ? [["first", "Only this model finds"], ["second", "Only the other finds"], ["both", "Both find"], ["neither", "Neither finds"]] : []), ...(R.models.some((_, m) => C[`${m}/rotation`]) ? [["rotation", "Poses by rotation error"], ["translation", "Poses by translation error"]] : []),
      ["all", "All detections"], ["ignored", "Detections not counted"], ["labels", "All annotations"], ...(R.served ? [["images", "Images"]] : [])];
    const kind = select("Show", [...kinds, ["other", "as chosen"]], "wrong", (v) => { const [name, a] = v.split(":"); if (name !== "other") change({ kind: name, a: a === undefined ? -1 : Number(a), b: -1 }); });
    const size = select("Size", [[-1, "any size"], ...R.sizes.map((s, i) => [i, s])], -1, (v) => change({ size: Number(v) }));
    const aspect = select("Shape", [[-1, "any shape"], ...R.aspects.map((s, i) => [i, s])], -1, (v) => change({ aspect: Number(v) }));
    const order = select("Order", [[0, "most telling first"], [1, "least telling first"], [2, "by image"]], 0, (v) => change({ order: Number(v) }));
    const search = el("input", { type: "search", id: "search", placeholder: "image or class", oninput: (e) => change({ text: e.target.value }) });
    redraws.push(() => {
      const value = state.kind === "error" ? `error:${state.a}` : state.kind;
      kind.node.value = kinds.some(([k]) => k === value) ? value : "other";
      size.node.value = state.size; aspect.node.value = state.aspect; order.node.value = state.order;
      if (document.activeElement !== search) search.value = state.text;
    });
    const title = el("h2", { id: "pictures-title", tabindex: "-1" });
    const said = el("p", { class: "said", id: "pictures-said", role: "status" });
    const cards = el("ul", { class: "cards", id: "cards" });
    let list;
    redraws.push(() => {
      list = listed();
      const { rows, total } = list, free = KINDS[state.kind].free;
      state.page = Math.max(0, Math.min(state.page, Math.ceil(rows.length / PAGE) - 1));
      const bits = [kindTitle()];
      if (state.cls >= 0 && !["cell", "cellmissed"].includes(state.kind)) bits.push(className(state.cls));
      if (!free) bits.push(`score ${score(state.step)}`);
      if (R.models.length > 1 && !["both", "first", "second", "neither", "labels"].includes(state.kind)) bits.push(R.models[state.model].name);
      title.textContent = bits.join(" · ");
      said.textContent = lost || (!total ? "0 in the data." : R.served ? `${count(total)} in the data.` : `${count(total)} in the data; ${total === rows.length ? "all have a picture" : `${count(rows.length)} with a picture, ${count(total - rows.length)} without`}.`);
      said.classList.toggle("warn", lost !== "");
      const first = state.page * PAGE, shown = Array.from(rows.subarray(first, first + PAGE));
      cards.replaceChildren(...shown.map((_, i) => card(list, first + i)));
      if (shown.some((r) => !itemOf(list.model, r))) loadSoon(list.model, shown);
    });
    return el("aside", { id: "gallery", "aria-labelledby": "pictures-title" }, title, said,
      el("div", { class: "controls" }, kind.field, size.field, aspect.field, order.field, el("label", { class: "field" }, el("span", {}, "Search"), search)),
      overlays(), cards, pager(() => Math.ceil(list.rows.length / PAGE)),
      el("button", { type: "button", class: "plain back", onclick: () => history.back() }, "back to the number"));
  }

  // --- one picture, large -----------------------------------------------------------------------------------

  let dialog, shownList = null, shownAt = 0, wholeImage = false;
  function viewer() {
    const button = (text, act) => el("button", { type: "button", class: "plain", onclick: act }, text);
    const art = el("div", { class: "stage" }), path = el("p", { class: "path" }), words = el("ul", {}), place = el("span", { class: "dim" });
    const back = button("← previous", () => turn(-1)), on = button("next →", () => turn(1)), whole = button("", () => { wholeImage = !wholeImage; redraw(); });
    dialog = el("dialog", { "aria-label": "Picture" }, art, el("div", { class: "detail" }, path, words,
      el("p", { class: "legend-line" }, el("span", { class: "key truth" }, "ground truth"), R.models.map((one, m) => el("span", { class: `key m${m % 4}` }, one.name))), overlays(),
      el("div", { class: "pair" }, back, place, on, R.served ? whole : null, button("close", () => dialog.close()))));
    dialog.addEventListener("keydown", (e) => { if (e.key === "ArrowRight") turn(1); else if (e.key === "ArrowLeft") turn(-1); });
    dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
    redraws.push(() => {
      if (!dialog.open) return;
      const { model, rows } = shownList, row = rows[shownAt], image = imageIndex(model, row), asWhole = wholeImage && model !== IMAGE;
      const item = itemOf(model, row), drawn = asWhole ? itemOf(IMAGE, image) : item;
      path.textContent = R.images[image];
      words.replaceChildren(...(item ? describe(item) : [lost || "…"]).map((w) => el("li", {}, w)));
      place.textContent = `${count(shownAt + 1)} of ${count(rows.length)}`;
      back.disabled = shownAt === 0; on.disabled = shownAt === rows.length - 1;
      whole.textContent = wholeImage ? "object alone" : "whole image"; whole.hidden = model === IMAGE;
      dialog.classList.toggle("whole", asWhole || model === IMAGE);
      art.replaceChildren(drawn ? picture(drawn, { large: true, focus: asWhole ? { m: model, r: row } : null }) : el("div", { class: "art" }));
      load(model, Array.from(rows.subarray(Math.max(0, shownAt - 1), shownAt + AHEAD)));
      if (asWhole) load(IMAGE, [image]);
    });
    return dialog;
  }
  function open(list, place) { shownList = list; shownAt = place; wholeImage = false; dialog.showModal(); redraw(); }
  function turn(by) { shownAt = Math.min(shownList.rows.length - 1, Math.max(0, shownAt + by)); lost = ""; redraw(); }

  // --- start ------------------------------------------------------------------------------------------------

  async function start() {
    const app = document.getElementById("app");
    try {
      if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old to open the report (DecompressionStream is missing; Chrome 80, Firefox 113, Safari 16.4 have it)");
      await read();
      // The address may be shown to others: without the token, which is in a cookie by now.
      if (R.served) history.replaceState(null, "", location.pathname + location.hash);
      recall();
      const main = el("main", {}, headline(), versusSection(), curves(), classes(), errors(), confusions(), calibration(), slices(), ...others(), tables(), about());
      app.replaceChildren(head(), toolbar(), el("div", { class: "layout" }, main, gallery()), viewer());
      for (const one of redraws) one();
      document.documentElement.dataset.ready = "yes";
    } catch (error) {
      app.replaceChildren(el("p", { class: "notice", role: "alert" }, `The report cannot be shown: ${error.message}`));
      throw error;
    }
    addEventListener("popstate", () => { recall(); redraw(); });
    addEventListener("hashchange", () => { recall(); redraw(); });
    addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  }
  start();
})();
