'use strict';
// What the page knows, and its list of runs. A series is what the list has a row for: a group of runs that differ by
// seed alone, or with groups off a run.

const $ = id => document.getElementById(id);
const S = {
  runs: new Map(),
  groups: new Map(),
  curves: new Map(),
  palette: ['#0072b2'],
  selected: new Set(),
  focus: null,
  chosen: false,
  touched: false,
  hues: new Map(),
  grouped: true,
  filter: '',
  status: new Set(),
  experiment: '',
  data: '',
  folder: '',
  sort: 'newest',
  smooth: 0,
  x: 0,
  logx: false,
  logy: true,
  tab: 'results',
  run: null,
  compared: null,
  detail: null,
  pictures: null,
};

const states = ['running', 'stale', 'failed', 'broken', 'interrupted', 'paused', 'trained', 'finished'];
const point = {epoch: 0, step: 1, lr: 2, loss: 3, acc: 4, valLoss: 5, valAcc: 6, norm: 7};

let known = null; // series by id, until something changes

function series() {
  if (known) return known;
  known = new Map();
  for (const r of S.runs.values()) {
    const id = S.grouped ? r.group : r.key;
    const g = S.groups.get(r.group) || {label: r.variant || r.id, hue: r.group, rank: 0, residual: false};
    let s = known.get(id);
    if (!s) {
      known.set(
        id,
        (s = {
          id,
          group: r.group,
          runs: [],
          g,
          label: S.grouped ? g.label : `${g.label}, seed ${r.seed}`,
          hue: S.grouped ? g.hue : r.key,
          rank: g.rank,
          residual: g.residual,
          measured: g.measured,
        }),
      );
    }
    s.runs.push(r);
  }
  for (const s of known.values()) {
    s.runs.sort(
      (a, b) => a.seed.length - b.seed.length || (a.seed < b.seed ? -1 : a.seed > b.seed ? 1 : a.started - b.started),
    );
    s.started = Math.max(...s.runs.map(r => r.started));
    s.status = states.find(st => s.runs.some(r => r.status === st)) || 'finished';
    const r = s.runs[0];
    s.first = r;
    if (!S.grouped || s.runs.length === 1) {
      s.mean = r.accuracy;
      s.sd = null;
      s.mse = r.mse;
      s.val = r.val_acc;
      s.seeds = r.status === 'finished' ? 1 : 0;
      s.n = r.n;
      s.time = r.seconds;
      if (s.g.seeds === 1) {
        s.lo = s.g.lo;
        s.hi = s.g.hi;
      }
    } else {
      Object.assign(s, {
        mean: s.g.mean,
        sd: s.g.sd,
        mse: s.g.mse,
        mse_sd: s.g.mse_sd,
        val: s.g.val,
        val_sd: s.g.val_sd,
        seeds: s.g.seeds,
        n: s.g.n,
        lo: s.g.lo,
        hi: s.g.hi,
        time: s.g.time,
      });
      if (s.val == null) {
        const vals = s.runs.map(r => r.val_acc).filter(v => v != null);
        if (vals.length) s.val = vals.reduce((a, b) => a + b) / vals.length;
      }
    }
    s.text = s.runs
      .flatMap(r => [r.id, r.folder, r.experiment, r.variant, r.data, r.status, 'seed' + r.seed, r.note, ...hashes(r)])
      .concat(s.label)
      .join(' ')
      .toLowerCase();
  }
  return known;
}

// hashes returns the tags of a run as the list shows them.
function hashes(r) {
  return (r.tags || []).map(t => '#' + t);
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
  const field = word.match(/^(seed|status|experiment|data|folder|id|tag):(.+)$/);
  if (!field) return s.text.includes(word);
  if (field[1] === 'tag') return s.runs.some(r => (r.tags || []).some(t => t.toLowerCase() === field[2]));
  return s.runs.some(r => (field[1] === 'seed' ? r.seed === field[2] : r[field[1]].toLowerCase().includes(field[2])));
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

const picked = () =>
  [...S.selected]
    .map(id => series().get(id))
    .filter(Boolean)
    .sort((a, b) => line(a).rank - line(b).rank || a.runs[0].seed - b.runs[0].seed || (a.id < b.id ? -1 : 1));

// line is how figures show s among the selected ones, as the server says; until it has, as among all.
function line(s) {
  const l = S.compared && S.compared.lines[s.group];
  return l ? {...l, label: S.grouped ? l.label : `${l.label}, seed ${s.first.seed}`, hue: S.grouped ? l.hue : s.id} : s;
}

// colours gives each selected series its colour. One that stays selected keeps it.
function colours() {
  const all = picked(),
    hues = all.map(s => line(s).hue);
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
  return new Map(
    all.map(s => {
      const i = S.hues.get(line(s).hue),
        n = S.palette.length;
      const dash = skips && !line(s).residual ? [6, 4] : i >= n ? [2, 3] : undefined;
      return [s.id, {colour: shade(S.palette[i % n]), dash}];
    }),
  );
}

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
  const sel = $(id),
    sign = names.join('\n');
  sel.hidden = names.length < 2 && !S[id];
  if (sel.sign === sign) return;
  sel.sign = sign;
  sel.replaceChildren(
    el('option', {value: '', textContent: none}),
    ...names.map(n => el('option', {value: n, textContent: n})),
  );
  sel.value = S[id];
}

function drawChips() {
  const count = {};
  for (const r of S.runs.values()) count[r.status] = (count[r.status] || 0) + 1;
  const sign = JSON.stringify([count, [...S.status]]);
  if (drawChips.sign !== sign) {
    drawChips.sign = sign;
    $('chips').replaceChildren(
      ...states
        .filter(s => count[s])
        .map(s => {
          const b = el(
            'button',
            {type: 'button', 'aria-pressed': S.status.has(s), data: {status: s}},
            el('span', {class: 'status ' + s, textContent: s}),
            el('b', {textContent: count[s]}),
          );
          b.onclick = () => {
            if (!S.status.delete(s)) S.status.add(s);
            dirty();
          };
          return b;
        }),
    );
  }
  const all = [...S.runs.values()];
  options(
    'experiment',
    all.map(r => r.experiment),
    'all experiments',
  );
  options(
    'data',
    all.map(r => r.data),
    'all data',
  );
  options(
    'folder',
    all.map(r => r.folder),
    'all folders',
  );
}

const rows = new Map(); // of the list, by series

function drawList() {
  const all = listed();
  const look = colours();
  const names = S.grouped ? 'networks' : 'runs';
  const counted =
    S.runs.size === 0 ? '' : `${all.length} of ${series().size} ${names}` + (S.grouped ? `, ${S.runs.size} runs` : '');
  if ($('listed').firstChild.textContent !== counted) $('listed').firstChild.textContent = counted;
  if (S.runs.size === 0) {
    $('runs').replaceChildren(
      el(
        'p',
        {class: 'empty'},
        'No runs yet. They appear here when they begin:',
        el('br'),
        el('code', {textContent: 'dla lab1 resnet --depth 5 --res'}),
      ),
    );
    rows.clear();
    return;
  }
  const order = all.map(s => s.id).join();
  for (const s of all) {
    let row = rows.get(s.id);
    if (!row) rows.set(s.id, (row = newRow(s.id)));
    fillRow(row, s, look.get(s.id));
  }
  if (drawList.order !== order) {
    drawList.order = order;
    const focus = document.activeElement;
    $('runs').replaceChildren(...all.map(s => rows.get(s.id).li));
    if (focus && focus !== document.body && focus !== document.activeElement && $('runs').contains(focus))
      focus.focus();
    for (const id of rows.keys()) if (!series().has(id)) rows.delete(id);
  }
}

function newRow(id) {
  const row = {
    tick: el('input', {type: 'checkbox'}),
    swatch: el('span', {class: 'swatch', 'aria-hidden': 'true'}),
    name: el('button', {type: 'button', tabIndex: -1}),
    sub: el('div', {class: 'sub'}),
    value: el('div', {class: 'value'}),
  };
  row.tick.onchange = () => toggle(id, row.tick.checked);
  row.name.onclick = () => open(id);
  row.li = el(
    'li',
    {data: {id}},
    row.tick,
    el('div', {}, el('div', {class: 'name'}, row.swatch, row.name), row.sub),
    row.value,
  );
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
  const r = s.first,
    bits = [];
  if (s.runs.length > 1) bits.push(`${s.runs.length} seeds`);
  else if (S.grouped) bits.push(`seed ${r.seed}`);
  bits.push(r.data + (r.synthetic ? ' (synthetic)' : ''), r.experiment, day(s.started));
  bits.push(...new Set(s.runs.flatMap(hashes)));
  row.sub.textContent = bits.filter(Boolean).join(' · ');
  row.sub.title = r.folder;
  const value = [];
  if (s.status === 'finished' && s.seeds) {
    value.push(el('b', {textContent: result(s)}));
    const failed = s.runs.reduce((n, r) => n + (r.failed || 0), 0);
    value.push(
      el('div', {
        class: failed ? 'sub fails' : 'sub',
        textContent: failed
          ? `${failed} self-checks fail`
          : s.lo != null
            ? `${(100 * s.lo).toFixed(2)}–${(100 * s.hi).toFixed(2)}`
            : seconds(s.time),
      }),
    );
  } else {
    const counts = states.map(st => [st, s.runs.filter(r => r.status === st).length]).filter(c => c[1]);
    value.push(
      el('div', {
        class: 'status ' + s.status,
        textContent: s.runs.length > 1 ? counts.map(c => `${c[1]} ${c[0]}`).join(', ') : s.status,
      }),
    );
    const training = s.runs.filter(r => r.status === 'running').sort((a, b) => (b.left ?? 0) - (a.left ?? 0))[0];
    if (training) {
      const left = training.left != null ? ` · ${seconds(training.left)} left` : '';
      value.push(el('div', {class: 'sub', textContent: `epoch ${training.epochs}${left}`}));
      if (training.share != null) value.push(el('progress', {max: 1, value: training.share}));
    } else {
      const reached = r.epochs ? [`epoch ${Math.max(...s.runs.map(r => r.epochs))}`] : [];
      if (s.val != null) reached.push(`val. ${percent(s.val)}`);
      value.push(el('div', {class: 'sub', textContent: reached.join(', ')}));
    }
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
  const d = new Date(ms),
    now = new Date();
  if (!ms) return '';
  const p = n => String(n).padStart(2, '0');
  const time = `${p(d.getHours())}:${p(d.getMinutes())}`;
  if (d.toDateString() === now.toDateString()) return time;
  const date = d.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'});
  return d.getFullYear() === now.getFullYear() ? `${date} ${time}` : `${date} ${d.getFullYear()}`;
}
