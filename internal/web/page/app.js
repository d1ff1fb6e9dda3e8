'use strict';
// The page: what it is told by api/stream, what is selected, and its controls. list.js draws the list, view.js the
// rest.

// ---- the stream

let source = null,
  again = 0,
  hiddenAt = 0;

function connect() {
  clearTimeout(again);
  if (source) source.close();
  const q = new URLSearchParams();
  for (const s of picked()) for (const r of s.runs) q.append('run', r.key);
  source = new EventSource('api/stream?' + q);
  const mine = source;
  const on = (name, f) =>
    source.addEventListener(name, e => {
      if (mine === source) f(JSON.parse(e.data));
    });
  on('list', takeList);
  on('curve', takeCurve);
  on('ready', () => live('on', 'live'));
  on('end', () => {
    live('off', 'the server has ended');
    source.close();
    retry(5000);
  });
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
    hiddenAt = setTimeout(() => {
      if (source) source.close();
      source = null;
      live('', 'paused');
    }, 5000);
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
    if (l.cut) $('dirs').textContent += ` (only ${l.cut} of the folders in them)`;
    $('dirs').title = (l.dirs || []).join('\n');
    document.title = 'dla · ' + (l.dirs || []).join(' ');
  }
  let settled = false,
    begun = false;
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
  if (S.runs.size && (!S.chosen || (begun && !S.touched))) choose();
  for (const id of S.selected) if (!series().has(id)) S.selected.delete(id);
  if (curveKeys() !== S.asked) changed();
  else if (settled && before) compare();
  dirty();
}

const curveKeys = () =>
  picked()
    .flatMap(s => s.runs.map(r => r.key))
    .sort()
    .join();

function takeCurve(c) {
  let have = S.curves.get(c.key);
  if (c.from === 0 || !have) S.curves.set(c.key, (have = {points: [], n: 0, each: 1}));
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
  const mates =
    running.length > 1
      ? running
      : all.filter(
          s =>
            s.first.folder === first.first.folder &&
            s.first.data === first.first.data &&
            s.first.experiment === first.first.experiment,
        );
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
  asking = setTimeout(() => {
    connect();
    compare();
  }, 120);
}

let comparing = 0;

async function compare() {
  const q = new URLSearchParams(),
    keys = picked().flatMap(s => s.runs.map(r => r.key));
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
  } catch {
    /* the stream says so too */
  }
  return null;
}

function toggle(id, on) {
  S.touched = true;
  if (on) S.selected.add(id);
  else S.selected.delete(id);
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
  S.smooth = Math.min(0.98, Math.max(0, Number(q.get('m')) || 0));
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

// ---- controls

const empty = el('p', {class: 'empty', hidden: true});
$('charts').append(...charts.map(c => c.root), empty);

const bind = (id, event, f) =>
  $(id).addEventListener(event, e => {
    f(e.target);
    remember();
    dirty();
  });
bind('filter', 'input', t => {
  S.filter = t.value;
});
bind('experiment', 'change', t => {
  S.experiment = t.value;
});
bind('data', 'change', t => {
  S.data = t.value;
});
bind('folder', 'change', t => {
  S.folder = t.value;
});
bind('sort', 'change', t => {
  S.sort = t.value;
});
bind('smooth', 'input', t => {
  S.smooth = Number(t.value);
});
bind('x', 'change', t => {
  S.x = Number(t.value);
});
bind('logx', 'change', t => {
  S.logx = t.checked;
});
bind('logy', 'change', t => {
  S.logy = t.checked;
});
$('grouped').addEventListener('change', e => group(e.target.checked));
$('all').onclick = selectAll;
$('none').onclick = selectNone;
$('help').onclick = () => $('keys').showModal();
$('zoom').onclick = e => {
  if (e.target === $('zoom')) $('zoom').close();
};
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
  S.selected = new Set(runs.map(r => (on ? r.group : r.key)));
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
  const t = e.target,
    writes = t.matches('input[type=search], select, input[type=range]');
  if (writes) {
    if (t === $('filter') && e.key === 'Escape') {
      t.value = S.filter = '';
      t.blur();
      dirty();
    } else if (t === $('filter') && (e.key === 'ArrowDown' || e.key === 'Enter')) {
      e.preventDefault();
      move(1);
    }
    return;
  }
  const inList = $('runs').contains(t);
  const keys = {
    '/': () => {
      $('filter').focus();
      $('filter').select();
    },
    '?': () => $('keys').showModal(),
    ArrowDown: () => move(1),
    j: () => move(1),
    ArrowUp: () => move(-1),
    k: () => move(-1),
    a: selectAll,
    x: selectNone,
    g: () => group(!S.grouped),
    l: () => {
      S.logy = $('logy').checked = !S.logy;
      remember();
      dirty();
    },
    '[': () => smooth(-0.1),
    ']': () => smooth(0.1),
  };
  tabs.forEach(([id], i) => {
    keys[i + 1] = () => show(id);
  });
  if (inList) keys.Enter = () => open(t.closest('li').dataset.id);
  else if (e.key.startsWith('Arrow') && t !== document.body) return; // scrolls what has the focus
  if (!keys[e.key]) return;
  e.preventDefault();
  keys[e.key]();
});

function smooth(by) {
  S.smooth = Math.min(0.98, Math.max(0, Math.round((S.smooth + by) * 100) / 100));
  $('smooth').value = S.smooth;
  remember();
  dirty();
}

recall();
drawTabs();
connect();
