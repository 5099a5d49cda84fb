"""One block of people through the filter, the person on the *last* axis.

Each numpy call then streams over contiguous people, and a block's covariances stay in the cache. Inside, D = P - C
is kept instead of P (C = stationary covariance), because then predict is only a scaling:
P' = C + f f' (P - C)  <=>  D' = f f' D.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fhir_twin.dynamics import fast
from fhir_twin.dynamics.beliefs import CAP, Belief, Filtered, Robust, Trace, Visits
from fhir_twin.dynamics.censoring import truncated_moments
from fhir_twin.dynamics.kernels import filter_few
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.model.twin import Array

FEW = 64  # people up to whom machine code goes one after the other; numpy is made for more


class Block:
    """The arrays of one block of people, person last; lives for one call.

    `excess` is symmetric; only its strips (rows a..b, columns 0..b) are kept up to date, which saves a third of
    the work. A value that was not observed has infinite noise: its gain is then exactly zero."""

    def __init__(
        self,
        start: Belief,
        dynamics: Dynamics,
        design: Array,
        visits: Visits,
        robust: Robust | None,
        trace: bool,
        who: slice,
    ) -> None:
        self.mean = np.array(start.mean[who].T, order="C")  # copies: of one person the transpose is a view
        self.excess = np.array(start.covariance[who].transpose(1, 2, 0), order="C")
        self.excess -= dynamics.stationary[:, :, None]
        self.dynamics, self.robust = dynamics, robust
        times = np.where(np.isnan(visits.times[who]), -np.inf, visits.times[who]).T
        self.clock = np.maximum.accumulate(np.vstack([start.time[who], times]), axis=0)
        self.values = np.array(visits.values[who].transpose(1, 2, 0), order="C")
        missing = np.isnan(self.values)
        self.values[missing] = 0.0
        self.observed = ~missing
        noise = np.broadcast_to(visits.noise, visits.values.shape)[who].transpose(1, 2, 0)
        self.noise = np.ascontiguousarray(np.where(missing, np.inf, noise))
        self.seen = np.array(start.seen[who].T, order="C")
        self.doubt = np.zeros_like(self.seen)
        if start.doubt is not None:
            self.doubt[:] = start.doubt[who].T
        self.bound = None
        if visits.bound is not None:
            self.bound = np.where(missing, 0, visits.bound[who].transpose(1, 2, 0)).astype(np.int8)
        self.design = design
        self.fixed: dict[int, list[tuple[int, Array | None]]] = {}
        self.varying = [(x.row, x.column, np.ascontiguousarray(x.values[who].T)) for x in visits.loadings]
        self.load_c = (design @ dynamics.stationary)[:, :, None]
        self.strips = _strips(self.mean.shape[0])
        self.moving = dynamics.rate > 0
        self.walking = np.flatnonzero(dynamics.walk > 0)
        self.own = np.zeros(self.seen.shape)
        self.squares, self.spreads = np.zeros_like(self.values), np.ones_like(self.values)
        self.noted = np.zeros((7 if trace else 0, *self.values.shape))  # see `_note`
        self.ph, self.gain, self.shift = (np.empty_like(self.mean) for _ in range(3))
        width = max(b - a for a, b in self.strips)
        self.scratch = np.empty_like(self.excess[:width])  # small: stays in the cache

    def run(self) -> Filtered:
        kernel = fast.loaded(filter_few) if self.mean.shape[1] <= FEW and self.bound is None else None
        if kernel is not None:
            self._compiled(kernel)
        else:
            anyone = np.asarray(self.observed.any(axis=2))
            for visit in range(len(self.values)):
                self._predict(self.clock[visit + 1] - self.clock[visit])
                for row in np.flatnonzero(anyone[visit]):
                    self._update(visit, int(row))
        covariance = self._whole() + self.dynamics.stationary[:, :, None]
        belief = Belief(
            np.ascontiguousarray(self.mean.T),
            np.ascontiguousarray(covariance.transpose(2, 0, 1)),
            self.clock[-1].copy(),
            np.ascontiguousarray(self.seen.T),
            np.ascontiguousarray(self.doubt.T),
        )
        done = self._trace() if len(self.noted) else None
        return Filtered(belief, self._log_likelihood(), np.ascontiguousarray(self.own.T), done)

    def _compiled(self, kernel: Callable[..., None]) -> None:
        """All visits as machine code (`filter_few`): the operations of `_predict` and `_update`, bit for bit."""
        years = np.ascontiguousarray(np.diff(self.clock, axis=0))
        decay = np.exp(-self.dynamics.rate[:, None] * years[:, None, :])
        loads = np.zeros((len(self.varying), *years.shape))
        first, column, weight, varying = [0], list[int](), list[float](), list[int]()
        for row in range(len(self.design)):
            for c, x in self._terms(row):
                column.append(c)
                weight.append(1.0 if x is None else float(x[0]))
                varying.append(-1)
            for place, (r, c, values) in enumerate(self.varying):
                if r == row:
                    column.append(c)
                    weight.append(0.0)
                    varying.append(place)
                    loads[place] = values
            first.append(len(column))
        noted = self.noted if len(self.noted) else np.zeros((7, *self.values.shape))
        noted[6] = 1.0
        rule = self.robust or Robust()
        kernel(
            *(
                self.mean,
                self.excess,
                np.repeat([b for _, b in self.strips], [b - a for a, b in self.strips]),
            ),
            *(np.ascontiguousarray(decay), years, self.dynamics.walk),
            np.ascontiguousarray(self.load_c[:, :, 0]),
            *(np.array(first), np.array(column), np.array(weight), np.array(varying), loads),
            *(self.values, self.noise, self.observed, self.seen, self.doubt),
            *(self.robust is not None, rule.gate, rule.nu, CAP, self.own, self.squares, self.spreads, noted),
        )

    def _predict(self, years: Array) -> None:
        """D' = f f' D; a walk adds its variance to the diagonal."""
        if self.moving.any() and years.any():
            f = np.exp(-self.dynamics.rate[:, None] * years)
            self.mean *= f
            for a, b in self.strips:
                part = self.excess[a:b, :b]
                if self.moving[a:b].any():
                    part *= f[a:b, None]
                if self.moving[:b].any():
                    part *= f[None, :b]
        for i in self.walking:
            self.excess[i, i] += self.dynamics.walk[i] * years

    def _update(self, visit: int, row: int) -> None:
        terms = self._terms(row) + [(c, x[visit]) for r, c, x in self.varying if r == row]
        ph = self._load(terms, self.load_c[row])  # P h, (m, people)
        forecast, signal = _sum(self.mean, terms), _sum(ph, terms)  # h'm, h'P h
        innovation = self.values[visit, row] - forecast
        spread = raw = signal + self.noise[visit, row]
        self._judge_spread(visit, row, innovation, raw)
        weight, jump = None, None
        if self.robust is not None:
            weight, jump = self._judge(visit, row, innovation, spread)
            if jump is not None:
                level = terms[0][0]
                signal = signal + jump  # before `ph` changes: of one term, the signal is a row of it
                self.excess[level, level] += jump
                ph[level] += jump
            spread = signal + self.noise[visit, row] / weight
        move, shrink = innovation, None
        if self.bound is not None and self.bound[visit, row].any():
            move, shrink = _censor(self.bound[visit, row], innovation, spread)
        inverse = 1.0 / spread  # exactly zero where nothing was observed
        weighted = innovation * inverse
        np.multiply(weighted, innovation, out=self.squares[visit, row])
        self.spreads[visit, row] = spread
        if len(self.noted):
            self._note(visit, row, forecast, signal, raw, weight, jump, move, shrink)
        gain = np.multiply(ph, inverse, out=self.gain)
        self.seen[row] += self.observed[visit, row]
        self.mean += np.multiply(gain, move, out=self.shift)
        if shrink is not None:
            gain *= shrink
        for a, b in self.strips:
            change = np.multiply(gain[a:b, None], ph[None, :b], out=self.scratch[: b - a, :b])
            self.excess[a:b, :b] -= change

    def _terms(self, row: int) -> list[tuple[int, Array | None]]:
        """(state, coefficient) pairs that this biomarker sees at all times; None stands for one."""
        if row not in self.fixed:
            h = self.design[row]
            self.fixed[row] = [(int(c), None if h[c] == 1.0 else h[c : c + 1]) for c in np.flatnonzero(h)]
        return self.fixed[row]

    def _load(self, terms: list[tuple[int, Array | None]], constant: Array) -> Array:
        """(C + D) h from the strips: row c left of the diagonal block's end, column c below it."""
        out = self.ph
        for position, (c, x) in enumerate(terms):
            b = next(b for a, b in self.strips if a <= c < b)
            base = constant if position == 0 else out
            for part, piece in ((slice(0, b), self.excess[c, :b]), (slice(b, None), self.excess[b:, c])):
                np.add(base[part], piece if x is None else piece * x, out=out[part])
        if not terms:
            out[:] = constant
        return out

    def _whole(self) -> Array:
        """Both halves of `excess`."""
        whole = self.excess
        for a, b in self.strips:
            whole[a:b, b:] = whole[b:, a:b].swapaxes(0, 1)
        return whole

    def _judge_spread(self, visit: int, row: int, innovation: Array, spread: Array) -> None:
        """The squared forecast error counts once the person has a history of the biomarker; a bound never does."""
        counts = self.observed[visit, row] & (self.seen[row] > 0)
        if self.bound is not None:
            counts &= self.bound[visit, row] == 0
        if counts.any():
            self.own[row] += np.where(counts, np.minimum(innovation * innovation / spread, CAP), 0.0)

    def _judge(self, visit: int, row: int, innovation: Array, spread: Array) -> tuple[Array, Array | None]:
        """Student-t weight beyond the gate, and the variance by which a confirmed change opens the level.

        The first value of a person has no personal forecast to be far from; a bound is never an outlier."""
        assert self.robust is not None
        squared = innovation * innovation / spread
        far = (squared > self.robust.gate**2) & (self.seen[row] > 0)
        if self.bound is not None:
            far &= self.bound[visit, row] == 0
        if not far.any():
            self.doubt[row][self.observed[visit, row]] = 0
            return np.ones_like(squared), None
        side = np.where(far, np.sign(innovation), 0).astype(np.int64)
        confirmed = far & (side == self.doubt[row])
        self.doubt[row] = np.where(confirmed, 0, np.where(self.observed[visit, row], side, self.doubt[row]))
        weight = np.where(far & ~confirmed, (self.robust.nu + 1.0) / (self.robust.nu + squared), 1.0)
        return weight, np.where(confirmed, innovation * innovation, 0.0) if confirmed.any() else None

    def _log_likelihood(self) -> Array:
        """sum of log N(z; 0, S) over the exact values."""
        exact = self.observed if self.bound is None else self.observed & (self.bound == 0)
        if self.bound is not None:
            self.squares[~exact] = 0.0
        self.spreads[~exact] = 1.0
        logs = np.log(np.prod(self.spreads, axis=1))  # one logarithm per visit: log of the product
        logs += np.log(2.0 * np.pi) * exact.sum(axis=1)
        return np.asarray(-0.5 * (logs.sum(axis=0) + self.squares.sum(axis=(0, 1))), dtype=np.float64)

    def _note(
        self,
        visit: int,
        row: int,
        forecast: Array,
        signal: Array,
        raw: Array,
        weight: Array | None,
        jump: Array | None,
        move: Array,
        shrink: Array | None,
    ) -> None:
        """What `_trace` needs: forecast, signal, spread before the gate, weight, jump, move, and what a bound took."""
        noted = (
            forecast,
            signal,
            raw,
            1.0 if weight is None else weight,
            0.0 if jump is None else jump,
            move,
        )
        for target, values in zip(self.noted, noted, strict=False):
            target[visit, row] = values
        self.noted[6, visit, row] = 1.0 if shrink is None else shrink

    def _trace(self) -> Trace:
        forecast, signal, raw, weight, jump, move, shrink = self.noted
        observed = self.observed
        with np.errstate(divide="ignore", invalid="ignore"):  # where nothing was observed
            gain = signal / self.spreads
            density = -0.5 * (np.log(2.0 * np.pi * self.spreads) + self.squares)
        if self.bound is not None:
            density = np.where(self.bound == 0, density, 0.0)
        found = (gain * shrink, forecast, forecast + gain * move, 1.0 - weight, np.sqrt(raw), density, jump)
        return Trace(*(np.where(observed, each, np.nan).transpose(2, 0, 1) for each in found))


def _strips(states: int) -> list[tuple[int, int]]:
    step = max(2, -(-states // 4))
    return [(a, min(a + step, states)) for a in range(0, states, step)]


def _sum(rows: Array, terms: list[tuple[int, Array | None]]) -> Array:
    """sum of rows[column] x coefficient; None stands for one."""
    total: Array | None = None
    for column, x in terms:
        term = rows[column] if x is None else rows[column] * x
        total = term if total is None else total + term
    return np.zeros(rows.shape[1:]) if total is None else total


def _censor(bound: NDArray[np.int8], innovation: Array, spread: Array) -> tuple[Array, Array]:
    """Bounds by moment matching: z ~ N(0, S) cut at the bound gives E[z], Var[z]; then m += K E[z] and
    P -= K (Ph)' (1 - Var[z]/S). Exact values keep their innovation and shrink 1."""
    cut = bound != 0
    sd = np.sqrt(np.where(cut, spread, 1.0))  # what was not observed has infinite spread
    mean, variance = truncated_moments(innovation / sd, bound)
    return np.where(cut, mean * sd, innovation), np.where(cut, 1.0 - variance, 1.0)
