'use strict';
// Charts of lines in the style of the program's figures (internal/plot): a title, what is shown beneath it, a light
// horizontal grid, mean and range over seeds, and a label at the end of each line.

const dark = matchMedia('(prefers-color-scheme: dark)');

// el makes an element. What it holds is text or elements, never markup: records come from anywhere.
function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k === 'class') e.className = v;
    else if (k === 'data') Object.assign(e.dataset, v);
    else if (k in e) e[k] = v;
    else e.setAttribute(k, v);
  }
  for (const c of children.flat()) if (c != null && c !== false) e.append(c);
  return e;
}

// shade makes a colour of the figures, which are on white, bright enough for a dark page.
function shade(hex) {
  if (!dark.matches) return hex;
  let rgb = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  const light = c =>
    c
      .map(v => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  while (light(rgb) < 0.27) rgb = rgb.map(v => v + (255 - v) * 0.08);
  return '#' + rgb.map(v => Math.round(v).toString(16).padStart(2, '0')).join('');
}

const cssVar = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// logTicks are round numbers between lo and hi: powers of ten if there are enough, else with multiples between them.
function logTicks(lo, hi) {
  const decades = Math.log10(hi / lo);
  const mults = decades > 3.5 ? [1] : decades < 0.8 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 5];
  const ticks = [];
  for (let e = Math.floor(Math.log10(lo)); e <= Math.log10(hi); e++)
    for (const m of mults) {
      const v = Number((m * 10 ** e).toPrecision(3));
      if (v >= lo && v <= hi) ticks.push(v);
    }
  return ticks;
}

function plain(v) {
  if (v == null || Number.isNaN(v)) return '–';
  const a = Math.abs(v);
  if (a !== 0 && (a < 1e-3 || a >= 1e7)) return Number(v.toPrecision(3)).toExponential();
  return String(Number(v.toPrecision(4)));
}
const percent = (v, digits = 2) => (v == null ? '–' : (100 * v).toFixed(digits) + ' %');

// spread moves ascending positions as little as possible so that neighbours are gap apart, between lo and hi.
function spread(y, gap, lo, hi) {
  const cs = [];
  for (const v of y) {
    cs.push({sum: v, n: 1, first: v});
    while (cs.length > 1) {
      const a = cs[cs.length - 2],
        b = cs[cs.length - 1];
      if (a.first + gap * a.n <= b.first) break;
      const m = {sum: a.sum + b.sum - gap * a.n * b.n, n: a.n + b.n};
      m.first = m.sum / m.n;
      cs.splice(-2, 2, m);
    }
    const c = cs[cs.length - 1];
    c.first = Math.max(lo, Math.min(c.first, hi - gap * (c.n - 1)));
  }
  const out = [];
  let at = lo - gap;
  for (const c of cs) for (let k = 0; k < c.n; k++) out.push((at = Math.max(at + gap, c.first + gap * k)));
  return out;
}

// smoothed is the exponential mean of what came so far, without the pull of the first value towards 0.
function smoothed(values, weight) {
  if (!weight) return values;
  let sum = 0,
    norm = 0;
  return values.map(v => {
    if (v == null) return v;
    sum = weight * sum + (1 - weight) * v;
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}

// Chart draws curves: [{id, label, colour, dash, x, mean, lo, hi, raw}].
class Chart {
  constructor(spec) {
    this.spec = spec;
    this.title = el('h3', {textContent: spec.title});
    this.about = el('p', {class: 'about'});
    this.wide = el('button', {
      type: 'button',
      textContent: '⤢',
      title: 'Large, or small',
      'aria-label': spec.title + ': large',
      'aria-pressed': 'false',
    });
    this.wide.onclick = () => {
      const on = this.root.classList.toggle('wide');
      this.wide.setAttribute('aria-pressed', on);
    };
    this.plot = el('div', {class: 'plot', tabindex: 0, role: 'img'});
    this.tip = el('div', {class: 'tip', hidden: true});
    this.plot.append(this.tip);
    this.root = el(
      'section',
      {class: 'chart', data: {chart: spec.name}},
      this.title,
      this.about,
      el('div', {class: 'actions'}, this.wide),
      this.plot,
    );
    this.plot.onkeydown = e => this.key(e);
    this.plot.onmouseenter = () => {
      this.over = true;
    };
    this.plot.onmouseleave = () => {
      this.over = false;
      this.tip.hidden = true;
    };
    this.plot.onblur = () => {
      this.tip.hidden = true;
      this.at = null;
    };
    new ResizeObserver(() => this.resize()).observe(this.plot);
  }

  // show draws curves; opt has xlabel, logx, logy, about and warning.
  show(curves, opt) {
    this.curves = curves;
    this.opt = opt;
    this.root.hidden = curves.length === 0;
    this.about.title = opt.about;
    this.about.replaceChildren(opt.warning ? el('strong', {textContent: opt.warning + ' · '}) : '', opt.about);
    if (curves.length === 0) return;
    this.plot.setAttribute(
      'aria-label',
      this.spec.title +
        ': ' +
        curves
          .slice(0, 12)
          .map(c => {
            const last = c.mean.findLast(v => v != null);
            return c.label + ' ' + this.word(last);
          })
          .join('; '),
    );
    const log = this.logy();
    const usable = v => v != null && (!log || v > 0);
    const xs = [...new Set(curves.flatMap(c => c.x))].filter(x => !opt.logx || x > 0).sort((a, b) => a - b);
    const place = new Map(xs.map((x, i) => [x, i]));
    const data = [xs],
      series = [{}],
      bands = [];
    this.which = [null]; // curve of each series of means
    const column = (c, values) => {
      const col = new Array(xs.length).fill(null);
      c.x.forEach((x, i) => {
        const at = place.get(x);
        if (at !== undefined && usable(values[i])) col[at] = values[i];
      });
      return col;
    };
    for (const c of curves) {
      if (c.lo) {
        for (const side of [c.lo, c.hi]) {
          data.push(column(c, side));
          series.push({stroke: 'transparent', width: 0, points: {show: false}, spanGaps: true});
          this.which.push(null);
        }
        bands.push({series: [series.length - 1, series.length - 2], fill: c.colour + '24'});
      }
      if (c.raw) {
        data.push(column(c, c.raw));
        series.push({stroke: c.colour + '40', width: 1, points: {show: false}, spanGaps: true});
        this.which.push(null);
      }
    }
    for (const c of curves) {
      const col = column(c, c.mean);
      const alone = col.reduce((n, v) => n + (v != null), 0) === 1;
      data.push(col);
      series.push({
        stroke: c.colour,
        width: 2,
        dash: c.dash,
        spanGaps: true,
        points: {show: alone, size: 7, fill: c.colour, stroke: c.colour},
      });
      this.which.push(c);
    }
    const shape = JSON.stringify([series, bands, opt.logx, log, dark.matches, opt.xlabel, curves.map(c => c.label)]);
    if (this.u && shape === this.shape) {
      const zoom = this.zoomed && {min: this.u.scales.x.min, max: this.u.scales.x.max};
      this.u.setData(data, !zoom);
      if (zoom) this.u.setScale('x', zoom);
      return;
    }
    this.shape = shape;
    this.zoomed = false;
    if (this.u) this.u.destroy();
    this.make(data, series, bands);
  }

  logy() {
    return Boolean(this.spec.log && this.opt.logy);
  }

  word(v) {
    return this.spec.percent ? percent(v) : plain(v);
  }

  make(data, series, bands) {
    const grey = cssVar('--grey'),
      light = cssVar('--light'),
      log = this.logy(),
      opt = this.opt;
    const font = '12px ' + getComputedStyle(document.body).fontFamily;
    this.font = font;
    const digits = step => {
      // that tell ticks apart
      let v = step * (this.spec.percent ? 100 : 1),
        n = 0;
      for (; n < 8 && Math.abs(v - Math.round(v)) > 1e-6 * v; n++) v *= 10;
      return n;
    };
    const label = (v, step) =>
      v === 0 && !this.spec.percent
        ? '0'
        : this.spec.percent
          ? percent(v, digits(step))
          : log || Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-3)
            ? plain(v)
            : v.toFixed(digits(step));
    const whole = [];
    for (let m = 1; m < 1e12; m *= 10) whole.push(m, 2 * m, 5 * m);
    const x = {
      stroke: grey,
      font,
      grid: {show: false},
      ticks: {stroke: grey, width: 1, size: 4},
      size: 22,
      gap: 3,
      label: opt.xlabel,
      labelFont: font,
      labelSize: 18,
      labelGap: 0,
      values: (u, all) => all.map(v => (v == null ? '' : v >= 1e5 ? (v / 1000).toLocaleString('en') + 'k' : String(v))),
    };
    if (opt.logx) Object.assign(x, {splits: (u, i, lo, hi) => logTicks(lo, hi), filter: (u, all) => all});
    else x.incrs = whole;
    const y = {
      stroke: grey,
      font,
      gap: 5,
      grid: {stroke: light, width: 1},
      ticks: {show: false},
      size: (u, values) => 14 + Math.max(0, ...(values || []).map(v => this.measure(v))),
      values: (u, all, i, space, step) => all.map(v => (v == null ? '' : label(v, step))),
    };
    if (log) Object.assign(y, {splits: (u, i, lo, hi) => logTicks(lo, hi), filter: (u, all) => all});
    const range = (u, lo, hi) => {
      if (lo == null || hi == null) return log ? [0.1, 1] : [0, 1];
      if (log) return [lo / 1.15, hi * 1.15];
      const pad = (hi - lo) * 0.06 || Math.max(1e-3, Math.abs(hi) * 0.05);
      return [lo - pad, this.spec.percent ? Math.min(1, hi + pad) : hi + pad];
    };
    const xrange = (u, lo, hi) =>
      lo === hi && lo != null ? (opt.logx ? [lo / 2, lo * 2] : [lo - 0.5, lo + 0.5]) : [lo, hi];
    this.u = new uPlot(
      {
        width: this.plot.clientWidth || 400,
        height: this.plot.clientHeight || 260,
        padding: [8, () => this.room(), 0, 2],
        legend: {show: false},
        cursor: {
          y: false,
          sync: {key: 'dla', setSeries: false},
          drag: {x: true, y: false, dist: 6},
          points: {size: 6, show: (u, i) => (this.which[i] ? undefined : el('i'))},
        },
        scales: {x: {time: false, distr: opt.logx ? 3 : 1, range: xrange}, y: {distr: log ? 3 : 1, range}},
        axes: [x, y],
        series,
        bands,
        hooks: {
          draw: [u => this.labels(u)],
          setCursor: [u => this.hover(u)],
          setSelect: [
            () => {
              this.zoomed = true;
            },
          ],
        },
      },
      data,
      this.plot,
    );
    this.u.over.addEventListener('dblclick', () => {
      this.zoomed = false;
    });
  }

  resize() {
    const w = this.plot.clientWidth,
      h = this.plot.clientHeight;
    if (this.u && w && h && (w !== this.u.width || h !== this.u.height)) this.u.setSize({width: w, height: h});
  }

  measure(text) {
    const ctx = (Chart.ruler ||= document.createElement('canvas').getContext('2d'));
    ctx.font = this.font;
    return ctx.measureText(text).width;
  }

  // room is the width of the labels at the ends of lines; on a narrow chart there are none.
  room() {
    if (this.plot.clientWidth < 400 || this.curves.length > 24) return 14;
    return Math.min(0.36 * this.plot.clientWidth, 30 + Math.max(...this.curves.map(c => this.measure(c.label))));
  }

  labels(u) {
    const room = this.room();
    if (room <= 14) return;
    const dpr = devicePixelRatio,
      ctx = u.ctx,
      box = u.bbox;
    const ends = [];
    this.which.forEach((c, i) => {
      if (!c) return;
      let last = u.data[i].length - 1;
      while (last >= 0 && (u.data[i][last] == null || u.data[0][last] > u.scales.x.max)) last--;
      if (last < 0) return;
      const y = u.valToPos(u.data[i][last], 'y', true);
      if (y >= box.top - 1 && y <= box.top + box.height + 1)
        ends.push({c, y, x: u.valToPos(u.data[0][last], 'x', true)});
    });
    ends.sort((a, b) => a.y - b.y);
    const ys = spread(
      ends.map(e => e.y),
      14.5 * dpr,
      box.top + 4 * dpr,
      box.top + box.height,
    );
    ctx.save();
    ctx.font = this.font.replace(/^[\d.]+/, s => s * dpr);
    ctx.textBaseline = 'middle';
    ctx.textAlign = 'left';
    ctx.setLineDash([]);
    const left = box.left + box.width + 20 * dpr;
    ends.forEach((e, i) => {
      ctx.strokeStyle = ctx.fillStyle = e.c.colour;
      ctx.lineWidth = 0.6 * dpr;
      ctx.beginPath();
      ctx.moveTo(e.x + 3 * dpr, e.y);
      ctx.lineTo(left - 3 * dpr, ys[i]);
      ctx.stroke();
      let text = e.c.label;
      const most = (room - 24) * dpr;
      for (let n = text.length; n > 4 && ctx.measureText(text).width > most; n--) {
        // what tells names apart is at their ends
        const head = Math.floor(n * 0.4);
        text = e.c.label.slice(0, head) + '…' + e.c.label.slice(e.c.label.length - (n - head));
      }
      ctx.fillText(text, left, ys[i]);
    });
    ctx.restore();
  }

  // near is the place of the value of a line that is nearest to idx, among those about there.
  near(col, xs, idx) {
    if (col[idx] != null) return idx;
    for (let d = 1; d < 12; d++)
      for (const i of [idx - d, idx + d])
        if (col[i] != null && Math.abs(xs[i] - xs[idx]) <= 0.02 * (xs[xs.length - 1] - xs[0])) return i;
    return -1;
  }

  hover(u) {
    const idx = u.cursor.idx;
    if (!(this.over || document.activeElement === this.plot) || idx == null || u.cursor.left < 0) {
      this.tip.hidden = true;
      return;
    }
    const rows = [];
    this.which.forEach((c, i) => {
      if (!c) return;
      const at = this.near(u.data[i], u.data[0], idx);
      if (at < 0) return;
      const k = c.x.indexOf(u.data[0][at]);
      rows.push({c, v: u.data[i][at], lo: c.lo && c.lo[k], hi: c.hi && c.hi[k]});
    });
    if (!rows.length) {
      this.tip.hidden = true;
      return;
    }
    rows.sort((a, b) => b.v - a.v);
    const y = u.cursor.top >= 0 ? u.cursor.top : 0;
    let nearest = rows[0];
    for (const r of rows)
      if (Math.abs(u.valToPos(r.v, 'y') - y) < Math.abs(u.valToPos(nearest.v, 'y') - y)) nearest = r;
    const most = 14,
      from = Math.max(0, Math.min(rows.length - most, rows.indexOf(nearest) - most / 2));
    const shown = rows.slice(from, from + most).map(r =>
      el(
        'div',
        {class: r === nearest ? 'near' : ''},
        swatch(r.c),
        el('span', {class: 'label', textContent: r.c.label}),
        el('span', {
          class: 'num',
          textContent:
            this.word(r.v) + (r.lo != null && r.lo !== r.hi ? ` (${this.word(r.lo)} to ${this.word(r.hi)})` : ''),
        }),
      ),
    );
    if (rows.length > shown.length) shown.push(el('div', {textContent: `${rows.length - shown.length} more`}));
    this.tip.replaceChildren(el('h4', {textContent: `${this.opt.xlabel} ${u.data[0][idx]}`}), ...shown);
    this.tip.hidden = false;
    const left = u.cursor.left + u.bbox.left / devicePixelRatio,
      w = this.tip.offsetWidth,
      h = this.tip.offsetHeight;
    this.tip.style.left = (left + 14 + w < this.plot.clientWidth ? left + 14 : Math.max(0, left - 14 - w)) + 'px';
    this.tip.style.top = Math.max(-30, Math.min(y, this.plot.clientHeight - h)) + 'px';
  }

  key(e) {
    const u = this.u;
    if (!u) return;
    if (e.key === 'Escape') {
      this.zoomed = false;
      u.setData(u.data, true);
      this.tip.hidden = true;
    } else if (e.key === 'ArrowLeft' || e.key === 'ArrowRight') {
      const n = u.data[0].length;
      const at = this.at ?? u.cursor.idx ?? (e.key === 'ArrowLeft' ? n : -1);
      this.at = Math.max(0, Math.min(n - 1, at + (e.key === 'ArrowLeft' ? -1 : 1)));
      u.setCursor({left: u.valToPos(u.data[0][this.at], 'x'), top: 0});
    } else return;
    e.preventDefault();
    e.stopPropagation();
  }
}

// swatch is a piece of the line of c.
function swatch(c) {
  const s = el('span', {class: 'swatch', 'aria-hidden': 'true'});
  s.style.borderTopColor = c.colour;
  s.style.borderTopStyle = c.dash ? 'dashed' : 'solid';
  return s;
}
