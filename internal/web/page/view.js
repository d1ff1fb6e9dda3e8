'use strict';
// What is shown of the selected series: their curves, and below them results, settings, figures and one run.

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
  const all = s.runs
    .map(r => S.curves.get(r.key))
    .filter(Boolean)
    .map(c => c.points.filter(p => p[at] != null))
    .filter(ps => ps.length);
  if (!all.length) return null;
  const c = {id: s.id, label: line(s).label, measured: (line(s).measured || {})[name], ...look};
  if (all.length === 1) {
    c.x = all[0].map(p => p[S.x]);
    c.mean = all[0].map(p => p[at]);
  } else {
    const by = new Map();
    for (const ps of all)
      for (const p of ps) {
        const v = by.get(p[S.x]);
        if (v) v.push(p[at]);
        else by.set(p[S.x], [p[at]]);
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
  const all = picked(),
    look = colours();
  const runs = all.reduce((n, s) => n + s.runs.length, 0);
  $('picked').textContent = !all.length
    ? 'Nothing selected'
    : S.grouped
      ? `${all.length} ${all.length === 1 ? 'network' : 'networks'} · ${runs} ${runs === 1 ? 'run' : 'runs'}`
      : `${runs} ${runs === 1 ? 'run' : 'runs'}`;
  $('smoothed').textContent = S.smooth ? S.smooth.toFixed(2) : 'off';
  const counts = [...new Set(all.map(s => s.runs.length))].sort((a, b) => a - b);
  const seeds = !S.grouped
    ? 'one line a run'
    : !counts.length || counts[counts.length - 1] === 1
      ? '1 seed'
      : (counts.length > 1 ? `${counts[0]} to ${counts[counts.length - 1]}` : counts[0]) +
        ' seeds each: mean and range';
  const sets = [...new Set(all.map(s => s.first.data))];
  const made = all.filter(s => s.first.synthetic).length ? 'synthetic data' : sets.length > 1 ? 'different data' : '';
  const each = Math.max(1, ...all.flatMap(s => s.runs.map(r => (S.curves.get(r.key) || {each: 1}).each)));
  let any = false;
  for (const chart of charts) {
    const curves = all.map(s => curveOf(s, chart.spec, look.get(s.id))).filter(Boolean);
    const log = chart.spec.log && S.logy ? ', logarithmic' : '';
    const shown = [...new Set(curves.map(c => c.measured).filter(Boolean))];
    const about = [
      (shown.length === 1 ? shown[0] : shown.find(m => m !== chart.spec.about) || chart.spec.about) + log,
      sets.slice(0, 3).join(', '),
      seeds,
    ];
    if (S.smooth) about.push('smoothed');
    if (each > 1) about.push(`each point the mean of ${each} epochs`);
    chart.show(curves, {
      xlabel: S.x ? 'step' : 'epoch',
      logx: S.logx,
      logy: S.logy,
      about: about.filter(Boolean).join(' · '),
      warning: made,
    });
    any = any || curves.length > 0;
  }
  empty.hidden = any;
  empty.textContent = !all.length
    ? S.runs.size
      ? 'Select runs in the list to see their curves.'
      : ''
    : all.some(s => s.runs.some(r => r.epochs > 0))
      ? 'Reading …'
      : all.some(s => s.status === 'running')
        ? 'No epoch is finished yet; the curves begin with the first.'
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
  const bad = all
    .flatMap(s => s.runs)
    .filter(r => !['running', 'trained', 'finished'].includes(r.status) || (r.status === 'running' && r.detail));
  const sign = JSON.stringify(bad);
  if (drawAttention.sign === sign) return;
  drawAttention.sign = sign;
  $('attention').replaceChildren(
    ...bad.slice(0, 5).map(notice),
    bad.length > 5
      ? el('p', {class: 'note', textContent: `${bad.length - 5} more of the selected runs are not finished`})
      : '',
  );
}

function notice(r) {
  const n = el(
    'div',
    {class: 'notice' + (['failed', 'broken'].includes(r.status) ? ' bad' : '')},
    el('span', {class: 'status ' + r.status, textContent: r.status}),
    el('span', {textContent: r.id}),
  );
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

const tabs = [
  ['results', 'Results'],
  ['settings', 'Settings that differ'],
  ['figures', 'Figures'],
  ['run', 'Run'],
];
let panelled = '';

function drawTabs() {
  const bar = document.querySelector('.tabs');
  bar.replaceChildren(
    ...tabs.map(([id, name]) => {
      const b = el('button', {
        type: 'button',
        role: 'tab',
        id: 'tab-' + id,
        textContent: name,
        'aria-selected': S.tab === id,
        tabIndex: S.tab === id ? 0 : -1,
        'aria-controls': 'panel',
      });
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
    }),
  );
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
  const sign = JSON.stringify([
    S.tab,
    all.map(s => [s.id, s.runs, s.g]),
    [...look],
    S.compared && S.compared.heads,
    dark.matches,
    S.pictures && S.pictures.length,
    S.detail && S.detail.key,
    S.run,
  ]);
  if (panelled === sign) return;
  panelled = sign;
  const at = $('panel').scrollTop;
  $('panel').setAttribute('aria-labelledby', 'tab-' + S.tab);
  $('panel').replaceChildren(...make(all, look).filter(Boolean));
  $('panel').scrollTop = at;
}

// tableOf makes a table: heads are [text, is a number], cells text, elements or {text, best}.
function tableOf(heads, body) {
  return el(
    'div',
    {class: 'scroll'},
    el(
      'table',
      {},
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          heads.map(([h, num]) => el('th', {class: num ? 'num' : '', textContent: h, scope: 'col'})),
        ),
      ),
      el(
        'tbody',
        {},
        body.map(cells =>
          el(
            'tr',
            {},
            cells.map((c, i) => {
              const td = el('td', {class: (heads[i] && heads[i][1] ? 'num' : 'text') + (c && c.best ? ' best' : '')});
              td.append(...(Array.isArray(c) ? c : [c && c.best !== undefined ? c.text : (c ?? '')]));
              return td;
            }),
          ),
        ),
      ),
    ),
  );
}

function drawResults(all, look) {
  if (!all.length) return [];
  const best = (key, low) => {
    const vs = all.map(s => s[key]).filter(v => v != null);
    return vs.length > 1 ? (low ? Math.min(...vs) : Math.max(...vs)) : null;
  };
  const pm = (mean, sd, digits, scale) =>
    mean == null ? '' : (scale * mean).toFixed(digits) + (sd != null ? ` ± ${(scale * sd).toFixed(digits)}` : '');
  const cell = (s, key, text, top) => ({text, best: s[key] != null && s[key] === top});
  const [top, topVal, low] = [best('mean'), best('val'), best('mse', true)];
  const columns = [
    [['network', false], s => [swatch(look.get(s.id)), line(s).label]],
    [['status', false], s => el('span', {class: 'status ' + s.status, textContent: s.status})],
    [['seeds', true], s => String(S.grouped ? s.runs.length : s.first.seed)],
    [['epochs', true], s => String(Math.max(...s.runs.map(r => r.epochs))), s => s.runs.some(r => r.epochs)],
    [['val. accuracy %', true], s => cell(s, 'val', pm(s.val, s.val_sd, 2, 100), topVal), s => s.val != null],
    [['test accuracy %', true], s => cell(s, 'mean', pm(s.mean, s.sd, 2, 100), top), s => s.mean != null],
    [
      ['95 % interval', true],
      s => (s.lo == null ? '' : `${(100 * s.lo).toFixed(2)}–${(100 * s.hi).toFixed(2)}`),
      s => s.lo != null,
    ],
    [['test MSE', true], s => cell(s, 'mse', pm(s.mse, s.mse_sd, 5, 1), low), s => s.mse != null],
    [['n', true], s => (s.n ? String(s.n) : ''), s => s.n],
    [
      ['self-checks', false],
      s => {
        const failed = s.runs.reduce((n, r) => n + (r.failed || 0), 0),
          held = s.runs.reduce((n, r) => n + (r.held || 0), 0);
        return !failed && !held
          ? ''
          : el('span', {class: failed ? 'fails' : 'holds', textContent: failed ? `${failed} fail` : `${held} hold`});
      },
      s => s.runs.some(r => r.held || r.failed),
    ],
    [['wall time', true], s => seconds(s.time), s => s.time != null],
  ].filter(c => !c[2] || all.some(c[2]));
  if (!S.grouped) columns[2][0] = ['seed', true];
  const out = [
    tableOf(
      columns.map(c => c[0]),
      all.map(s => columns.map(c => c[1](s))),
    ),
  ];
  if (all.some(s => s.mean != null))
    out.push(
      el('p', {
        class: 'note',
        textContent:
          '± is the standard deviation over seeds; the interval is Wilson’s of the mean on n test examples. ' +
          'The best is in bold.',
      }),
    );
  const c = S.compared;
  if (c && c.note) out.push(el('p', {class: 'note', textContent: c.note}));
  if (c && c.tables.length) out.push(el('h3', {textContent: 'As dla plot --table prints them'}), ...tablesOf(c.tables));
  return out;
}

const tablesOf = all =>
  all.flatMap(t => [
    t.caption ? el('p', {class: 'note', textContent: t.caption}) : '',
    tableOf(
      t.heads.map((h, i) => [h, t.right[i]]),
      t.rows,
    ),
    el('p', {class: 'note'}),
  ]);

function drawSettings(all, look) {
  const c = S.compared;
  if (!all.length || !c) return [];
  if (!c.settings.length)
    return [
      el('p', {
        class: 'note',
        textContent:
          c.heads.length > 1
            ? 'The selected runs have the same settings.'
            : 'Select several networks to see in which settings they differ.',
      }),
    ];
  return [
    tableOf(
      [['setting', false], ...c.heads.map(h => [h, false])],
      c.settings.map(d => [
        el('code', {textContent: d.key}),
        ...d.values.map(v =>
          v === '' ? '–' : /^[0-9a-f]{40,}$/.test(v) ? el('span', {textContent: v.slice(0, 12) + '…', title: v}) : v,
        ),
      ]),
    ),
  ];
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
  if (!S.pictures.length)
    return [
      el('p', {
        class: 'note',
        textContent: 'There are no pictures in the folders of these runs. dla plot draws figures of any runs.',
      }),
    ];
  return [
    el(
      'div',
      {class: 'gallery'},
      S.pictures.map(p => {
        const q = new URLSearchParams({run: p.run, name: p.name});
        if (p.study) q.set('study', 1);
        const name = p.name.replace(/^figures\//, '');
        const b = el(
          'button',
          {type: 'button', title: 'Large'},
          el('img', {src: 'file?' + q, alt: `${name} of ${p.of}`, loading: 'lazy'}),
        );
        b.onclick = () => {
          $('zoom').querySelector('img').src = 'file?' + q;
          $('zoom').querySelector('img').alt = name;
          $('zoom').showModal();
        };
        return el('figure', {}, b, el('figcaption', {}, name, el('br'), p.of));
      }),
    ),
  ];
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
  document.querySelector('.tabs').scrollIntoView({block: 'start'});
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
  const d = S.detail,
    r = S.runs.get(S.run);
  if (!all.length) return [];
  if (!d || !r || d.key !== S.run) return [el('p', {class: 'note', textContent: 'Reading …'})];
  const choice = el(
    'select',
    {'aria-label': 'Run'},
    all.flatMap(s =>
      s.runs.map(r =>
        el('option', {value: r.key, textContent: `${line(s).label}${S.grouped ? `, seed ${r.seed}` : ''} · ${r.id}`}),
      ),
    ),
  );
  choice.value = S.run;
  choice.onchange = () => {
    S.run = choice.value;
    details();
  };
  const pairs = (name, all) =>
    all && all.length
      ? [
          el('h3', {textContent: name}),
          el(
            'div',
            {class: 'scroll pairs'},
            el(
              'table',
              {},
              el(
                'tbody',
                {},
                all.map(([k, v]) =>
                  el(
                    'tr',
                    {},
                    el('td', {textContent: k}),
                    el('td', {class: 'text'}, v instanceof Node ? v : String(v)),
                  ),
                ),
              ),
            ),
          ),
        ]
      : [];
  const about = [
    ['status', el('span', {class: 'status ' + r.status, textContent: r.status + (r.detail ? ': ' + r.detail : '')})],
  ];
  if (r.resume) about.push(['resume with', el('span', {}, el('code', {textContent: r.resume}), ' ', copier(r.resume))]);
  if (r.reached)
    about.push([
      'result',
      r.reached + (r.n ? `, n = ${r.n}` : '') + (r.seconds != null ? `, in ${seconds(r.seconds)}` : ''),
    ]);
  if (d.note) about.push(['remark', d.note]);
  if (r.tags) about.push(['tags', r.tags.join(', ')]);
  if (r.note) about.push(['note', r.note]);
  about.push(
    ['folder', el('span', {class: 'mono', textContent: d.dir})],
    ...(d.about || []).map(([k, v]) => [k, k === 'command' ? el('code', {textContent: v}) : v]),
  );
  return [
    choice,
    d.error ? el('p', {class: 'notice bad', textContent: d.error}) : null,
    ...pairs('About', about),
    ...(d.checks && d.checks.length
      ? [
          el('h3', {textContent: 'Self-checks'}),
          tableOf(
            [
              ['what must hold', false],
              ['found', false],
            ],
            d.checks.map(c => [
              el('span', {
                class: c.word === 'FAILS' ? 'fails' : c.word === 'holds' ? 'holds' : '',
                textContent: (c.word === 'does not apply' ? 'does not apply: ' : '') + c.what,
              }),
              c.found,
            ]),
          ),
        ]
      : []),
    ...(d.tables && d.tables.length ? [el('h3', {textContent: 'Result'}), ...tablesOf(d.tables)] : []),
    ...pairs('Settings', d.settings),
    ...(d.log && d.log.length
      ? [
          el('h3', {textContent: 'End of the log'}),
          el('div', {class: 'scroll'}, el('pre', {class: 'mono', textContent: d.log.join('\n')})),
        ]
      : []),
  ];
}
