'use strict';
// The page. What it knows comes from api/stream; it asks for details of what is selected. A series is what the list
// has a row for: a group of runs that differ by seed alone, or with groups off a run.

const $ = id => document.getElementById(id);
const S = {
  runs: new Map(), groups: new Map(), curves: new Map(), palette: ['#0072b2'],
  selected: new Set(), focus: null, chosen: false, touched: false, hues: new Map(),
  grouped: true, filter: '', status: new Set(), experiment: '', data: '', folder: '', sort: 'newest',
  smooth: 0, x: 0, logx: false, logy: true, tab: 'results', run: null,
  compared: null, detail: null, pictures: null,
};

const states = ['running', 'stale', 'failed', 'broken', 'interrupted', 'paused', 'finished'];
const point = {epoch: 0, step: 1, lr: 2, loss: 3, acc: 4, valLoss: 5, valAcc: 6, norm: 7};

// ---- series

let known = null; // series by id, until something changes

function series() {
  if (known) return known;
  known = new Map();
  for (const r of S.runs.values()) {
    const id = S.grouped ? r.group : r.key;
    const g = S.groups.get(r.group) || {label: r.variant || r.id, hue: r.group, rank: 0, residual: false};
    let s = known.get(id);
    if (!s) {
      known.set(id, s = {id, group: r.group, runs: [], g, label: S.grouped ? g.label : `${g.label}, seed ${r.seed}`,
        hue: S.grouped ? g.hue : r.key, rank: g.rank, residual: g.residual, measured: g.measured});
    }
    s.runs.push(r);
  }
  for (const s of known.values()) {
    s.runs.sort((a, b) => a.seed.length - b.seed.length || (a.seed < b.seed ? -1 : a.seed > b.seed ? 1 : a.started - b.started));
    s.started = Math.max(...s.runs.map(r => r.started));
    s.status = states.find(st => s.runs.some(r => r.status === st)) || 'finished';
    const r = s.runs[0];
    s.first = r;
    if (!S.grouped || s.runs.length === 1) {
      s.mean = r.accuracy; s.sd = null; s.mse = r.mse; s.val = r.val_acc; s.seeds = r.status === 'finished' ? 1 : 0;
      s.n = r.n; s.time = r.seconds;
      if (s.g.seeds === 1) { s.lo = s.g.lo; s.hi = s.g.hi; }
    } else {
      Object.assign(s, {mean: s.g.mean, sd: s.g.sd, mse: s.g.mse, mse_sd: s.g.mse_sd, val: s.g.val, val_sd: s.g.val_sd,
        seeds: s.g.seeds, n: s.g.n, lo: s.g.lo, hi: s.g.hi, time: s.g.time});
      if (s.val == null) {
        const vals = s.runs.map(r => r.val_acc).filter(v => v != null);
        if (vals.length) s.val = vals.reduce((a, b) => a + b) / vals.length;
      }
    }
    s.text = s.runs.map(r => [s.label, r.id, r.folder, r.experiment, r.variant, r.data, r.status, 'seed' + r.seed].join(' '))
      .join(' ').toLowerCase();
  }
  return known;
}

// wanted says whether the filters let s through.
function wanted(s) {
  if (S.status.size && !s.runs.some(r => S.status.has(r.status))) return false;
  if (S.experiment && s.first.experiment !== S.experiment) return false;
  if (S.data && s.first.data !== S.data) return false;
  if (S.folder && s.first.folder !== S.folder) return false;
  for (let word of S.filter.toLowerCase().split(/\s+/).filter(Boolean)) {
    const not = word.length > 1 && word[0] === '-';
    if (not) word = word.slice(1);
    if (matches(s, word) === not) return false;
  }
  return true;
}

function matches(s, word) {
  const limit = word.match(/^(acc|loss|epochs)([<>])([\d.]+)$/);
  if (limit) {
    const v = {acc: 100 * (s.mean ?? s.val ?? NaN), loss: s.first.loss ?? NaN, epochs: s.first.epochs}[limit[1]];
    return limit[2] === '<' ? v < Number(limit[3]) : v > Number(limit[3]);
  }
  const field = word.match(/^(seed|status|experiment|data|folder|id):(.+)$/);
  if (!field) return s.text.includes(word);
  return s.runs.some(r => field[1] === 'seed' ? r.seed === field[2] : r[field[1]].toLowerCase().includes(field[2]));
}

function listed() {
  const all = [...series().values()].filter(wanted);
  const by = {
    newest: (a, b) => (b.status === 'running') - (a.status === 'running') || b.started - a.started || a.rank - b.rank,
    name: (a, b) => a.rank - b.rank || (a.label < b.label ? -1 : 1),
    result: (a, b) => (b.mean ?? b.val ?? -1) - (a.mean ?? a.val ?? -1) || (a.mse ?? 1e9) - (b.mse ?? 1e9),
    status: (a, b) => states.indexOf(a.status) - states.indexOf(b.status) || b.started - a.started,
  }[S.sort];
  return all.sort((a, b) => by(a, b) || (a.id < b.id ? -1 : 1));
}

const picked = () => [...S.selected].map(id => series().get(id)).filter(Boolean)
  .sort((a, b) => line(a).rank - line(b).rank || a.runs[0].seed - b.runs[0].seed || (a.id < b.id ? -1 : 1));

// line is how figures show s among the selected ones, as the server says; until it has, as among all.
function line(s) {
  const l = S.compared && S.compared.lines[s.group];
  return l ? {...l, label: S.grouped ? l.label : `${l.label}, seed ${s.first.seed}`, hue: S.grouped ? l.hue : s.id} : s;
}

// colours gives each selected series its colour. One that stays selected keeps it.
function colours() {
  const all = picked(), hues = all.map(s => line(s).hue);
  for (const h of [...S.hues.keys()]) if (!hues.includes(h)) S.hues.delete(h);
  const taken = new Set(S.hues.values());
  for (const h of hues) {
    if (S.hues.has(h)) continue;
    let i = 0;
    while (taken.has(i)) i++;
    taken.add(i);
    S.hues.set(h, i);
  }
  const skips = all.some(s => line(s).residual);
  return new Map(all.map(s => {
    const i = S.hues.get(line(s).hue), n = S.palette.length;
    const dash = skips && !line(s).residual ? [6, 4] : i >= n ? [2, 3] : undefined;
    return [s.id, {colour: shade(S.palette[i % n]), dash}];
  }));
}

// ---- the stream

let source = null, again = 0, hiddenAt = 0;

function connect() {
  clearTimeout(again);
  if (source) source.close();
  const q = new URLSearchParams();
  for (const s of picked()) for (const r of s.runs) q.append('run', r.key);
  source = new EventSource('api/stream?' + q);
  const mine = source;
  const on = (name, f) => source.addEventListener(name, e => { if (mine === source) f(JSON.parse(e.data)); });
  on('list', takeList);
  on('curve', takeCurve);
  on('ready', () => live('on', 'live'));
  on('end', () => { live('off', 'the server has ended'); source.close(); retry(5000); });
  source.onerror = () => {
    if (mine !== source) return;
    const gone = source.readyState === EventSource.CLOSED;
    live('off', gone ? 'no answer: was the server ended?' : 'reconnecting …');
    if (gone) retry(5000);
  };
}

function retry(ms) {
  clearTimeout(again);
  again = setTimeout(connect, ms);
}

function live(how, text) {
  $('live').className = how;
  $('live').textContent = text;
}

// A hidden page takes no news: a browser has few connections to one server for all of its pages.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    hiddenAt = setTimeout(() => { if (source) source.close(); source = null; live('', 'paused'); }, 5000);
  } else {
    clearTimeout(hiddenAt);
    if (!source) connect();
  }
});

function takeList(l) {
  if (l.whole) {
    S.runs.clear();
    S.groups.clear();
    S.palette = l.palette || S.palette;
    $('dirs').textContent = (l.dirs || []).join('  ');
    $('dirs').title = (l.dirs || []).join('\n');
    document.title = 'dla · ' + (l.dirs || []).join(' ');
  }
  let settled = false, begun = false;
  for (const r of l.runs || []) {
    const was = S.runs.get(r.key);
    if (!l.whole && r.status === 'running' && (!was || was.status !== 'running')) begun = true;
    if (was && was.status !== r.status) settled = true;
    S.runs.set(r.key, r);
  }
  for (const key of l.gone || []) S.runs.delete(key);
  for (const g of l.groups || []) S.groups.set(g.key, g);
  for (const key of l.gone_groups || []) S.groups.delete(key);
  known = null;
  const before = curveKeys();
  if (begun && !S.touched) S.selected.clear(); // nobody has chosen anything else
  if (S.runs.size && (!S.chosen || begun && !S.touched)) choose();
  for (const id of S.selected) if (!series().has(id)) S.selected.delete(id);
  if (curveKeys() !== S.asked) changed(); else if (settled && before) compare();
  dirty();
}

const curveKeys = () => picked().flatMap(s => s.runs.map(r => r.key)).sort().join();

function takeCurve(c) {
  let have = S.curves.get(c.key);
  if (c.from === 0 || !have) S.curves.set(c.key, have = {points: [], n: 0, each: 1});
  if (c.from === 0) have.each = c.each;
  have.points = have.points.concat(c.points);
  have.n = c.n;
  if (have.points.length > 5000) retry(200); // as means over several epochs
  dirty();
}

// choose selects what a reader most likely wants to see: what is being trained, else the newest folder.
function choose() {
  const wish = S.chosen ? [] : new URLSearchParams(location.hash.slice(1)).getAll('s').filter(id => series().has(id));
  S.chosen = true;
  if (wish.length) {
    S.touched = true;
    wish.forEach(id => S.selected.add(id));
    return;
  }
  const all = [...series().values()].filter(wanted).sort((a, b) => b.started - a.started);
  const training = all.filter(s => s.runs.some(r => r.epochs > 0));
  const first = all.find(s => s.status === 'running') || training[0] || all[0];
  if (!first) return;
  const running = all.filter(s => s.status === 'running');
  const mates = running.length > 1 ? running
    : all.filter(s => s.first.folder === first.first.folder && s.first.data === first.first.data && s.first.experiment === first.first.experiment);
  mates.slice(0, 16).forEach(s => S.selected.add(s.id));
  S.selected.add(first.id);
}

// ---- selection

let asking = 0;

// changed is called when other runs are selected.
function changed() {
  S.asked = curveKeys();
  remember();
  dirty();
  clearTimeout(asking);
  asking = setTimeout(() => { connect(); compare(); }, 120);
}

let comparing = 0;

async function compare() {
  const q = new URLSearchParams(), keys = picked().flatMap(s => s.runs.map(r => r.key));
  for (const k of keys) q.append('run', k);
  const mine = ++comparing;
  S.pictures = null;
  if (!keys.length) {
    S.compared = null;
    dirty();
    return;
  }
  const got = await ask('api/compare?' + q);
  if (mine !== comparing || !got) return;
  S.compared = got;
  panelled = '';
  if (S.tab === 'figures') gallery();
  if (S.tab === 'run') details();
  dirty();
}

async function ask(path) {
  try {
    const r = await fetch(path);
    if (r.ok) return await r.json();
  } catch { /* the stream says so too */ }
  return null;
}

function toggle(id, on) {
  S.touched = true;
  if (on) S.selected.add(id); else S.selected.delete(id);
  changed();
}

function remember() {
  const q = new URLSearchParams();
  for (const id of [...S.selected].slice(0, 40)) q.append('s', id);
  if (!S.grouped) q.set('g', 0);
  if (S.filter) q.set('f', S.filter);
  if (S.smooth) q.set('m', S.smooth);
  if (S.x) q.set('x', S.x);
  if (S.logx) q.set('lx', 1);
  if (!S.logy) q.set('ly', 0);
  if (S.tab !== 'results') q.set('t', S.tab);
  if (S.sort !== 'newest') q.set('o', S.sort);
  history.replaceState(null, '', '#' + q);
}

function recall() {
  const q = new URLSearchParams(location.hash.slice(1));
  S.grouped = q.get('g') !== '0';
  S.filter = q.get('f') || '';
  S.smooth = Math.min(.98, Math.max(0, Number(q.get('m')) || 0));
  S.x = q.get('x') === '1' ? 1 : 0;
  S.logx = q.has('lx');
  S.logy = q.get('ly') !== '0';
  S.tab = tabs.some(t => t[0] === q.get('t')) ? q.get('t') : 'results';
  S.sort = [...$('sort').options].some(o => o.value === q.get('o')) ? q.get('o') : 'newest';
  $('grouped').checked = S.grouped;
  $('filter').value = S.filter;
  $('smooth').value = S.smooth;
  $('x').value = S.x;
  $('logx').checked = S.logx;
  $('logy').checked = S.logy;
  $('sort').value = S.sort;
}

// ---- drawing

let waiting = false;

function dirty() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawChips();
    drawList();
    drawView();
  });
}

// options fills a <select> with what there is.
function options(id, all, none) {
  const names = [...new Set(all)].filter(Boolean).sort();
  const sel = $(id), sign = names.join('\n');
  sel.hidden = names.length < 2 && !S[id];
  if (sel.sign === sign) return;
  sel.sign = sign;
  sel.replaceChildren(el('option', {value: '', textContent: none}), ...names.map(n => el('option', {value: n, textContent: n})));
  sel.value = S[id];
}

function drawChips() {
  const count = {};
  for (const r of S.runs.values()) count[r.status] = (count[r.status] || 0) + 1;
  const sign = JSON.stringify([count, [...S.status]]);
  if (drawChips.sign !== sign) {
    drawChips.sign = sign;
    $('chips').replaceChildren(...states.filter(s => count[s]).map(s => {
      const b = el('button', {type: 'button', 'aria-pressed': S.status.has(s), data: {status: s}},
        el('span', {class: 'status ' + s, textContent: s}), el('b', {textContent: count[s]}));
      b.onclick = () => {
        if (!S.status.delete(s)) S.status.add(s);
        dirty();
      };
      return b;
    }));
  }
  const all = [...S.runs.values()];
  options('experiment', all.map(r => r.experiment), 'all experiments');
  options('data', all.map(r => r.data), 'all data');
  options('folder', all.map(r => r.folder), 'all folders');
}

const rows = new Map(); // of the list, by series

function drawList() {
  const all = listed();
  const look = colours();
  const names = S.grouped ? 'networks' : 'runs';
  const counted = S.runs.size === 0 ? '' : `${all.length} of ${series().size} ${names}` + (S.grouped ? `, ${S.runs.size} runs` : '');
  if ($('listed').firstChild.textContent !== counted) $('listed').firstChild.textContent = counted;
  if (S.runs.size === 0) {
    $('runs').replaceChildren(el('p', {class: 'empty'}, 'No runs yet. They appear here when they begin:', el('br'),
      el('code', {textContent: 'dla lab1 resnet --depth 5 --res'})));
    rows.clear();
    return;
  }
  const order = all.map(s => s.id).join();
  for (const s of all) {
    let row = rows.get(s.id);
    if (!row) rows.set(s.id, row = newRow(s.id));
    fillRow(row, s, look.get(s.id));
  }
  if (drawList.order !== order) {
    drawList.order = order;
    const focus = document.activeElement;
    $('runs').replaceChildren(...all.map(s => rows.get(s.id).li));
    if (focus && focus !== document.body && focus !== document.activeElement && $('runs').contains(focus)) focus.focus();
    for (const id of rows.keys()) if (!series().has(id)) rows.delete(id);
  }
}

function newRow(id) {
  const row = {
    tick: el('input', {type: 'checkbox'}), swatch: el('span', {class: 'swatch', 'aria-hidden': 'true'}),
    name: el('button', {type: 'button', tabIndex: -1}), sub: el('div', {class: 'sub'}), value: el('div', {class: 'value'}),
  };
  row.tick.onchange = () => toggle(id, row.tick.checked);
  row.name.onclick = () => open(id);
  row.li = el('li', {data: {id}}, row.tick, el('div', {}, el('div', {class: 'name'}, row.swatch, row.name), row.sub), row.value);
  return row;
}

function fillRow(row, s, look) {
  const on = S.selected.has(s.id);
  const l = on ? line(s) : s;
  const sign = JSON.stringify([s.runs, s.g, on, look, l.label, S.focus === s.id]);
  if (row.sign === sign) return;
  row.sign = sign;
  row.tick.checked = on;
  row.tick.setAttribute('aria-label', `${l.label}, ${s.first.experiment}, ${s.status}`);
  row.name.textContent = l.label || s.first.id;
  row.name.title = `${l.label}\n${s.runs.map(r => r.id).join('\n')}`;
  row.li.className = (on ? 'on ' : '') + (S.focus === s.id ? 'focus' : '');
  row.swatch.hidden = !look;
  if (look) {
    row.swatch.style.borderTopColor = look.colour;
    row.swatch.style.borderTopStyle = look.dash ? 'dashed' : 'solid';
  }
  const r = s.first, bits = [];
  if (s.runs.length > 1) bits.push(`${s.runs.length} seeds`); else bits.push(`seed ${r.seed}`);
  bits.push(r.data + (r.synthetic ? ' (synthetic)' : ''), r.experiment, day(s.started));
  row.sub.textContent = bits.filter(Boolean).join(' · ');
  row.sub.title = r.folder;
  const value = [];
  if (s.status === 'finished' && s.seeds) {
    value.push(el('b', {textContent: result(s)}));
    const failed = s.runs.reduce((n, r) => n + (r.failed || 0), 0);
    value.push(el('div', {class: failed ? 'sub fails' : 'sub', textContent: failed ? `${failed} self-checks fail`
      : s.lo != null ? `${(100 * s.lo).toFixed(2)}–${(100 * s.hi).toFixed(2)}` : seconds(s.time)}));
  } else {
    const counts = states.map(st => [st, s.runs.filter(r => r.status === st).length]).filter(c => c[1]);
    value.push(el('div', {class: 'status ' + s.status,
      textContent: s.runs.length > 1 ? counts.map(c => `${c[1]} ${c[0]}`).join(', ') : s.status}));
    const training = s.runs.filter(r => r.status === 'running').sort((a, b) => (b.left ?? 0) - (a.left ?? 0))[0];
    if (training) {
      const left = training.left != null ? ` · ${seconds(training.left)} left` : '';
      value.push(el('div', {class: 'sub', textContent: `epoch ${training.epochs}${left}`}));
      if (training.share != null) value.push(el('progress', {max: 1, value: training.share}));
    } else value.push(el('div', {class: 'sub', textContent: r.epochs ? `epoch ${Math.max(...s.runs.map(r => r.epochs))}` : ''}));
  }
  row.value.replaceChildren(...value);
}

// result is the main number of s.
function result(s) {
  if (s.mean != null) return (100 * s.mean).toFixed(2) + (s.sd != null ? ' ± ' + (100 * s.sd).toFixed(2) : '') + ' %';
  if (s.mse != null) return 'MSE ' + plain(s.mse);
  return s.first.reached || '';
}

function seconds(v) {
  if (v == null) return '';
  if (v < 90) return `${v < 10 ? v.toFixed(1) : Math.round(v)} s`;
  if (v < 5400) return `${Math.round(v / 60)} min`;
  return `${(v / 3600).toFixed(1)} h`;
}

function day(ms) {
  const d = new Date(ms), now = new Date();
  if (!ms) return '';
  const p = n => String(n).padStart(2, '0');
  const time = `${p(d.getHours())}:${p(d.getMinutes())}`;
  if (d.toDateString() === now.toDateString()) return time;
  const date = d.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'});
  return d.getFullYear() === now.getFullYear() ? `${date} ${time}` : `${date} ${d.getFullYear()}`;
}

// ---- charts

const charts = [
  {name: 'loss', title: 'Training loss', at: point.loss, log: true, about: 'cross-entropy'},
  {name: 'accuracy', title: 'Validation accuracy', at: point.valAcc, percent: true, about: 'accuracy'},
  {name: 'val_loss', title: 'Validation loss', at: point.valLoss, log: true, about: 'cross-entropy'},
  {name: 'train_accuracy', title: 'Training accuracy', at: point.acc, percent: true, about: 'accuracy'},
  {name: 'lr', title: 'Learning rate', at: point.lr, about: 'of the last step of an epoch'},
  {name: 'grad_norm', title: 'Gradient norm', at: point.norm, log: true, about: 'before clipping'},
].map(spec => new Chart(spec));

// curveOf returns the points of s of one kind: of several seeds their mean and range at each x that any has reached.
function curveOf(s, {at, name}, look) {
  const all = s.runs.map(r => S.curves.get(r.key)).filter(Boolean)
    .map(c => c.points.filter(p => p[at] != null)).filter(ps => ps.length);
  if (!all.length) return null;
  const c = {id: s.id, label: line(s).label, measured: ((line(s).measured || {})[name]), ...look};
  if (all.length === 1) {
    c.x = all[0].map(p => p[S.x]);
    c.mean = all[0].map(p => p[at]);
  } else {
    const by = new Map();
    for (const ps of all) for (const p of ps) {
      const v = by.get(p[S.x]);
      if (v) v.push(p[at]); else by.set(p[S.x], [p[at]]);
    }
    c.x = [...by.keys()].sort((a, b) => a - b);
    const vs = c.x.map(x => by.get(x));
    c.mean = vs.map(v => v.reduce((a, b) => a + b) / v.length);
    c.lo = vs.map(v => Math.min(...v));
    c.hi = vs.map(v => Math.max(...v));
  }
  if (S.smooth) {
    if (!c.lo) c.raw = c.mean;
    for (const k of ['mean', 'lo', 'hi']) if (c[k]) c[k] = smoothed(c[k], S.smooth);
  }
  return c;
}

function drawView() {
  const all = picked(), look = colours();
  const runs = all.reduce((n, s) => n + s.runs.length, 0);
  $('picked').textContent = !all.length ? 'Nothing selected'
    : S.grouped ? `${all.length} ${all.length === 1 ? 'network' : 'networks'} · ${runs} ${runs === 1 ? 'run' : 'runs'}`
    : `${runs} ${runs === 1 ? 'run' : 'runs'}`;
  $('smoothed').textContent = S.smooth ? S.smooth.toFixed(2) : 'off';
  const counts = [...new Set(all.map(s => s.runs.length))].sort((a, b) => a - b);
  const seeds = !counts.length || counts[counts.length - 1] === 1 ? '1 seed'
    : (counts.length > 1 ? `${counts[0]} to ${counts[counts.length - 1]}` : counts[0]) + ' seeds each: mean and range';
  const sets = [...new Set(all.map(s => s.first.data))];
  const made = all.filter(s => s.first.synthetic).length ? 'synthetic data' : sets.length > 1 ? 'different data' : '';
  const each = Math.max(1, ...all.flatMap(s => s.runs.map(r => (S.curves.get(r.key) || {each: 1}).each)));
  let any = false;
  for (const chart of charts) {
    const curves = all.map(s => curveOf(s, chart.spec, look.get(s.id))).filter(Boolean);
    const log = chart.spec.log && S.logy ? ', logarithmic' : '';
    const shown = [...new Set(curves.map(c => c.measured).filter(Boolean))];
    const about = [(shown.length === 1 ? shown[0] : shown.find(m => m !== chart.spec.about) || chart.spec.about) + log, sets.slice(0, 3).join(', '), seeds];
    if (S.smooth) about.push('smoothed');
    if (each > 1) about.push(`each point the mean of ${each} epochs`);
    chart.show(curves, {xlabel: S.x ? 'step' : 'epoch', logx: S.logx, logy: S.logy, about: about.filter(Boolean).join(' · '),
      warning: made});
    any = any || curves.length > 0;
  }
  empty.hidden = any;
  empty.textContent = !all.length ? (S.runs.size ? 'Select runs in the list to see their curves.' : '')
    : all.some(s => s.runs.some(r => r.epochs > 0)) ? 'Reading …'
    : all.some(s => s.status === 'running') ? 'No epoch is finished yet; the curves begin with the first.'
    : 'These runs trained nothing: their results are below.';
  const legend = all.slice(0, 40).map(s => el('span', {}, swatch(look.get(s.id)), line(s).label));
  const sign = JSON.stringify(all.slice(0, 40).map(s => [line(s).label, look.get(s.id)]));
  if (drawView.legend !== sign) {
    drawView.legend = sign;
    $('legend').replaceChildren(...legend);
  }
  drawAttention(all);
  drawPanel(all, look);
}

// drawAttention says what is wrong with selected runs, and what to type.
function drawAttention(all) {
  const bad = all.flatMap(s => s.runs).filter(r => !['running', 'finished'].includes(r.status) || (r.status === 'running' && r.detail));
  const sign = JSON.stringify(bad);
  if (drawAttention.sign === sign) return;
  drawAttention.sign = sign;
  $('attention').replaceChildren(...bad.slice(0, 5).map(notice), bad.length > 5 ? el('p', {class: 'note', textContent:
    `${bad.length - 5} more of the selected runs are not finished`}) : '');
}

function notice(r) {
  const n = el('div', {class: 'notice' + (['failed', 'broken'].includes(r.status) ? ' bad' : '')},
    el('span', {class: 'status ' + r.status, textContent: r.status}), el('span', {textContent: r.id}));
  if (r.detail) n.append(el('span', {textContent: r.detail.length > 600 ? r.detail.slice(0, 600) + '…' : r.detail}));
  if (r.resume) n.append(el('code', {textContent: r.resume}), copier(r.resume));
  return n;
}

function copier(text) {
  const b = el('button', {type: 'button', class: 'copy', textContent: 'copy'});
  b.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      b.textContent = 'copied';
    } catch {
      b.textContent = 'select and copy it';
    }
  };
  return b;
}

// ---- what is below the charts

const tabs = [['results', 'Results'], ['settings', 'Settings that differ'], ['figures', 'Figures'], ['run', 'Run']];
let panelled = '';

function drawTabs() {
  const bar = document.querySelector('.tabs');
  bar.replaceChildren(...tabs.map(([id, name]) => {
    const b = el('button', {type: 'button', role: 'tab', id: 'tab-' + id, textContent: name, 'aria-selected': S.tab === id,
      tabIndex: S.tab === id ? 0 : -1, 'aria-controls': 'panel'});
    b.onclick = () => show(id);
    b.onkeydown = e => {
      const d = {ArrowLeft: -1, ArrowRight: 1}[e.key];
      if (!d) return;
      e.preventDefault();
      const i = (tabs.findIndex(t => t[0] === id) + d + tabs.length) % tabs.length;
      show(tabs[i][0]);
      $('tab-' + tabs[i][0]).focus();
    };
    return b;
  }));
}

function show(tab) {
  S.tab = tab;
  panelled = '';
  drawTabs();
  remember();
  if (tab === 'figures') gallery();
  if (tab === 'run') details();
  dirty();
}

function drawPanel(all, look) {
  const make = {results: drawResults, settings: drawSettings, figures: drawFigures, run: drawRun}[S.tab];
  const sign = JSON.stringify([S.tab, all.map(s => [s.id, s.runs, s.g]), [...look], S.compared && S.compared.heads, dark.matches,
    S.pictures && S.pictures.length, S.detail && S.detail.key, S.run]);
  if (panelled === sign) return;
  panelled = sign;
  const at = $('panel').scrollTop;
  $('panel').setAttribute('aria-labelledby', 'tab-' + S.tab);
  $('panel').replaceChildren(...make(all, look).filter(Boolean));
  $('panel').scrollTop = at;
}

// tableOf makes a table: heads are [text, is a number], cells text, elements or {text, best}.
function tableOf(heads, body) {
  return el('div', {class: 'scroll'}, el('table', {},
    el('thead', {}, el('tr', {}, heads.map(([h, num]) => el('th', {class: num ? 'num' : '', textContent: h, scope: 'col'})))),
    el('tbody', {}, body.map(cells => el('tr', {}, cells.map((c, i) => {
      const td = el('td', {class: (heads[i] && heads[i][1] ? 'num' : 'text') + (c && c.best ? ' best' : '')});
      td.append(...(Array.isArray(c) ? c : [c && c.best !== undefined ? c.text : c ?? '']));
      return td;
    }))))));
}

function drawResults(all, look) {
  if (!all.length) return [];
  const best = (key, low) => {
    const vs = all.map(s => s[key]).filter(v => v != null);
    return vs.length > 1 ? (low ? Math.min(...vs) : Math.max(...vs)) : null;
  };
  const pm = (mean, sd, digits, scale) => mean == null ? '' : (scale * mean).toFixed(digits) + (sd != null ? ` ± ${(scale * sd).toFixed(digits)}` : '');
  const cell = (s, key, text, top) => ({text, best: s[key] != null && s[key] === top});
  const [top, topVal, low] = [best('mean'), best('val'), best('mse', true)];
  const columns = [
    [['network', false], s => [swatch(look.get(s.id)), line(s).label]],
    [['status', false], s => el('span', {class: 'status ' + s.status, textContent: s.status})],
    [['seeds', true], s => String(S.grouped ? s.runs.length : s.first.seed)],
    [['epochs', true], s => String(Math.max(...s.runs.map(r => r.epochs))), s => s.runs.some(r => r.epochs)],
    [['val. accuracy %', true], s => cell(s, 'val', pm(s.val, s.val_sd, 2, 100), topVal), s => s.val != null],
    [['test accuracy %', true], s => cell(s, 'mean', pm(s.mean, s.sd, 2, 100), top), s => s.mean != null],
    [['95 % interval', true], s => s.lo == null ? '' : `${(100 * s.lo).toFixed(2)}–${(100 * s.hi).toFixed(2)}`, s => s.lo != null],
    [['test MSE', true], s => cell(s, 'mse', pm(s.mse, s.mse_sd, 5, 1), low), s => s.mse != null],
    [['n', true], s => s.n ? String(s.n) : '', s => s.n],
    [['self-checks', false], s => {
      const failed = s.runs.reduce((n, r) => n + (r.failed || 0), 0), held = s.runs.reduce((n, r) => n + (r.held || 0), 0);
      return !failed && !held ? '' : el('span', {class: failed ? 'fails' : 'holds', textContent: failed ? `${failed} fail` : `${held} hold`});
    }, s => s.runs.some(r => r.held || r.failed)],
    [['wall time', true], s => seconds(s.time), s => s.time != null],
  ].filter(c => !c[2] || all.some(c[2]));
  if (!S.grouped) columns[2][0] = ['seed', true];
  const out = [tableOf(columns.map(c => c[0]), all.map(s => columns.map(c => c[1](s))))];
  if (all.some(s => s.mean != null)) out.push(el('p', {class: 'note', textContent:
    '± is the standard deviation over seeds; the interval is Wilson’s of the mean on n test examples. The best is in bold.'}));
  const c = S.compared;
  if (c && c.note) out.push(el('p', {class: 'note', textContent: c.note}));
  if (c && c.tables.length) out.push(el('h3', {textContent: 'As dla plot --table prints them'}), ...tablesOf(c.tables));
  return out;
}

const tablesOf = all => all.flatMap(t => [t.caption ? el('p', {class: 'note', textContent: t.caption}) : '',
  tableOf(t.heads.map((h, i) => [h, t.right[i]]), t.rows), el('p', {class: 'note'})]);

function drawSettings(all, look) {
  const c = S.compared;
  if (!all.length || !c) return [];
  if (!c.settings.length) return [el('p', {class: 'note', textContent:
    c.heads.length > 1 ? 'The selected runs have the same settings.' : 'Select several networks to see in which settings they differ.'})];
  return [tableOf([['setting', false], ...c.heads.map(h => [h, false])],
    c.settings.map(d => [el('code', {textContent: d.key}), ...d.values.map(v => v === '' ? '–' : v)]))];
}

let gallerying = 0;

async function gallery() {
  const q = new URLSearchParams();
  for (const s of picked()) for (const r of s.runs) q.append('run', r.key);
  const mine = ++gallerying;
  const got = await ask('api/figures?' + q);
  if (mine !== gallerying) return;
  S.pictures = got || [];
  panelled = '';
  dirty();
}

function drawFigures() {
  if (!S.pictures) return [el('p', {class: 'note', textContent: 'Reading …'})];
  if (!S.pictures.length) return [el('p', {class: 'note', textContent:
    'There are no pictures in the folders of these runs. dla plot draws figures of any runs.'})];
  return [el('div', {class: 'gallery'}, S.pictures.map(p => {
    const q = new URLSearchParams({run: p.run, name: p.name});
    if (p.study) q.set('study', 1);
    const name = p.name.replace(/^figures\//, '');
    const b = el('button', {type: 'button', title: 'Large'}, el('img', {src: 'file?' + q, alt: `${name} of ${p.of}`, loading: 'lazy'}));
    b.onclick = () => {
      $('zoom').querySelector('img').src = 'file?' + q;
      $('zoom').querySelector('img').alt = name;
      $('zoom').showModal();
    };
    return el('figure', {}, b, el('figcaption', {}, name, el('br'), p.of));
  }))];
}

// open shows a run of the series.
function open(id) {
  const s = series().get(id);
  if (!s) return;
  S.focus = id;
  S.run = s.first.key;
  if (!S.selected.has(id)) {
    S.selected.add(id);
    changed();
  }
  show('run');
}

let detailing = 0;

async function details() {
  const runs = picked().flatMap(s => s.runs);
  if (!runs.some(r => r.key === S.run)) S.run = runs.length ? runs[0].key : null;
  const mine = ++detailing;
  if (!S.run) {
    S.detail = null;
    return;
  }
  const got = await ask('api/run?run=' + S.run);
  if (mine !== detailing) return;
  S.detail = got;
  panelled = '';
  dirty();
}

function drawRun(all) {
  const d = S.detail, r = S.runs.get(S.run);
  if (!all.length) return [];
  if (!d || !r || d.key !== S.run) return [el('p', {class: 'note', textContent: 'Reading …'})];
  const choice = el('select', {'aria-label': 'Run'}, all.flatMap(s => s.runs.map(r => el('option', {value: r.key,
    textContent: `${line(s).label}${S.grouped ? `, seed ${r.seed}` : ''} · ${r.id}`}))));
  choice.value = S.run;
  choice.onchange = () => { S.run = choice.value; details(); };
  const pairs = (name, all) => all && all.length ? [el('h3', {textContent: name}),
    el('div', {class: 'scroll pairs'}, el('table', {}, el('tbody', {}, all.map(([k, v]) => el('tr', {}, el('td', {textContent: k}),
      el('td', {class: 'text'}, v instanceof Node ? v : String(v)))))))] : [];
  const about = [['status', el('span', {class: 'status ' + r.status, textContent: r.status + (r.detail ? ': ' + r.detail : '')})]];
  if (r.resume) about.push(['resume with', el('span', {}, el('code', {textContent: r.resume}), ' ', copier(r.resume))]);
  if (r.reached) about.push(['result', r.reached + (r.n ? `, n = ${r.n}` : '') + (r.seconds != null ? `, in ${seconds(r.seconds)}` : '')]);
  if (d.note) about.push(['note', d.note]);
  about.push(['folder', el('span', {class: 'mono', textContent: d.dir})], ...(d.about || []).map(([k, v]) =>
    [k, k === 'command' ? el('code', {textContent: v}) : v]));
  return [choice, d.error ? el('p', {class: 'notice bad', textContent: d.error}) : null, ...pairs('About', about),
    ...(d.checks && d.checks.length ? [el('h3', {textContent: 'Self-checks'}), tableOf([['what must hold', false], ['found', false]],
      d.checks.map(c => [el('span', {class: c.word === 'FAILS' ? 'fails' : c.word === 'holds' ? 'holds' : '',
        textContent: (c.word === 'does not apply' ? 'does not apply: ' : '') + c.what}), c.found]))] : []),
    ...(d.tables && d.tables.length ? [el('h3', {textContent: 'Result'}), ...tablesOf(d.tables)] : []),
    ...pairs('Settings', d.settings),
    ...(d.log && d.log.length ? [el('h3', {textContent: 'End of the log'}), el('div', {class: 'scroll'},
      el('pre', {class: 'mono', textContent: d.log.join('\n')}))] : [])];
}

// ---- controls

const empty = el('p', {class: 'empty', hidden: true});
$('charts').append(...charts.map(c => c.root), empty);

const bind = (id, event, f) => $(id).addEventListener(event, e => { f(e.target); remember(); dirty(); });
bind('filter', 'input', t => { S.filter = t.value; });
bind('experiment', 'change', t => { S.experiment = t.value; });
bind('data', 'change', t => { S.data = t.value; });
bind('folder', 'change', t => { S.folder = t.value; });
bind('sort', 'change', t => { S.sort = t.value; });
bind('smooth', 'input', t => { S.smooth = Number(t.value); });
bind('x', 'change', t => { S.x = Number(t.value); });
bind('logx', 'change', t => { S.logx = t.checked; });
bind('logy', 'change', t => { S.logy = t.checked; });
$('grouped').addEventListener('change', e => group(e.target.checked));
$('all').onclick = selectAll;
$('none').onclick = selectNone;
$('help').onclick = () => $('keys').showModal();
$('zoom').onclick = e => { if (e.target === $('zoom')) $('zoom').close(); };
dark.addEventListener('change', dirty);

function selectAll() {
  S.touched = true;
  for (const s of listed().slice(0, 100)) S.selected.add(s.id);
  changed();
}

function selectNone() {
  S.touched = true;
  S.selected.clear();
  changed();
}

// group turns groups on or off; the same runs stay selected.
function group(on) {
  const runs = picked().flatMap(s => s.runs);
  S.grouped = on;
  $('grouped').checked = on;
  known = null;
  S.selected = new Set(runs.map(r => on ? r.group : r.key));
  S.focus = null;
  changed();
}

function move(by) {
  const ticks = [...$('runs').querySelectorAll('input')];
  const i = ticks.indexOf(document.activeElement);
  const to = ticks[i < 0 ? 0 : Math.max(0, Math.min(ticks.length - 1, i + by))];
  if (to) {
    to.focus();
    to.closest('li').scrollIntoView({block: 'nearest'});
  }
}

document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
  const t = e.target, writes = t.matches('input[type=search], select, input[type=range]');
  if (writes) {
    if (t === $('filter') && e.key === 'Escape') { t.value = S.filter = ''; t.blur(); dirty(); }
    else if (t === $('filter') && (e.key === 'ArrowDown' || e.key === 'Enter')) { e.preventDefault(); move(1); }
    return;
  }
  const inList = $('runs').contains(t);
  const keys = {
    '/': () => { $('filter').focus(); $('filter').select(); },
    '?': () => $('keys').showModal(),
    ArrowDown: () => move(1), j: () => move(1), ArrowUp: () => move(-1), k: () => move(-1),
    a: selectAll, x: selectNone, g: () => group(!S.grouped),
    l: () => { S.logy = $('logy').checked = !S.logy; remember(); dirty(); },
    '[': () => smooth(-.1), ']': () => smooth(.1),
  };
  tabs.forEach(([id], i) => { keys[i + 1] = () => show(id); });
  if (inList) keys.Enter = () => open(t.closest('li').dataset.id);
  else if (e.key.startsWith('Arrow') && t !== document.body) return; // scrolls what has the focus
  if (!keys[e.key]) return;
  e.preventDefault();
  keys[e.key]();
});

function smooth(by) {
  S.smooth = Math.min(.98, Math.max(0, Math.round((S.smooth + by) * 100) / 100));
  $('smooth').value = S.smooth;
  remember();
  dirty();
}

recall();
drawTabs();
connect();
