"""The filter is exact: dense Gaussian conditioning, statsmodels, order, batching (issue 5, "done when")."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fhir_twin.dynamics.kalman import Belief, Loading, Visits, kalman_filter
from fhir_twin.dynamics.state_space import Dynamics, propagate, transition


def problem(seed: int, people: int = 4, visits: int = 7, k: int = 3):
    """A random joint model: walking levels, correlated OU fluctuations, one slope seen through its time."""
    rng = np.random.default_rng(seed)
    m = 2 * k + 1
    a, b = rng.normal(size=(2, k, k))
    stationary, walk, rate = np.zeros((m, m)), np.zeros(m), np.zeros(m)
    stationary[k : 2 * k, k : 2 * k] = a @ a.T + np.eye(k)
    rate[k : 2 * k], walk[:k] = rng.uniform(0.8, 1.2, k), rng.uniform(0, 0.5, k)
    dynamics = Dynamics(rate, stationary, walk)
    start = stationary.copy()
    start[:k, :k] = b @ b.T + np.eye(k)
    start[-1, -1] = 0.3
    design = np.hstack([np.eye(k), np.eye(k), np.zeros((k, 1))])
    times = np.sort(rng.uniform(0, 5, (people, visits)), axis=1)
    values = rng.normal(size=(people, visits, k))
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    noise = rng.uniform(0.1, 1.0, values.shape)
    slope = Loading(1, m - 1, times)
    mean = rng.normal(size=m)
    belief = Belief(
        np.tile(mean, (people, 1)),
        np.tile(start, (people, 1, 1)),
        np.zeros(people),
        np.zeros((people, k), dtype=np.int64),
    )
    return belief, dynamics, design, Visits(times, values, noise, None, (slope,))


def dense(belief: Belief, dynamics: Dynamics, design, visits: Visits, person: int):
    """The joint Gaussian of all states and values, conditioned in one step."""
    times, m = visits.times[person], belief.mean.shape[1]
    at = np.append(times, times[-1])
    moments = [propagate(dynamics, belief.mean[person], belief.covariance[person], np.array(t)) for t in at]
    joint = np.zeros((len(at) * m,) * 2)
    for i, start in enumerate(at):
        for j in range(i, len(at)):
            f, _ = transition(dynamics, np.array(at[j] - start))
            block = f[:, None] * moments[i][1]
            joint[j * m : (j + 1) * m, i * m : (i + 1) * m] = block
            joint[i * m : (i + 1) * m, j * m : (j + 1) * m] = block.T
    k = design.shape[0]
    h = np.zeros((len(times) * k, len(at) * m))
    for i, t in enumerate(times):
        load = design.copy()
        for extra in visits.loadings:
            load[extra.row, extra.column] = t
        h[i * k : (i + 1) * k, i * m : (i + 1) * m] = load
    seen = ~np.isnan(visits.values[person].ravel())
    h, y = h[seen], visits.values[person].ravel()[seen]
    mu = np.concatenate([x[0] for x in moments])
    s = h @ joint @ h.T + np.diag(visits.noise[person].ravel()[seen])
    gain = np.linalg.solve(s, h @ joint[:, -m:]).T
    mean = mu[-m:] + gain @ (y - h @ mu)
    covariance = joint[-m:, -m:] - gain @ h @ joint[:, -m:]
    return mean, covariance, multivariate_normal(h @ mu, s).logpdf(y)


@pytest.mark.parametrize("seed", range(25))
def test_equals_dense_gaussian_conditioning(seed: int) -> None:
    belief, dynamics, design, visits = problem(seed)
    done = kalman_filter(belief, dynamics, design, visits)
    for person in range(len(belief.mean)):
        mean, covariance, log_likelihood = dense(belief, dynamics, design, visits, person)
        assert np.abs(done.belief.mean[person] - mean).max() < 1e-8
        assert np.abs(done.belief.covariance[person] - covariance).max() < 1e-8
        assert abs(done.log_likelihood[person] - log_likelihood) < 1e-8


def test_equals_statsmodels_on_a_common_model() -> None:
    """Local level + AR(1) (an OU process on an even grid) + noise, with missing values, in statsmodels."""
    mlemodel = pytest.importorskip("statsmodels.tsa.statespace.mlemodel")
    rng = np.random.default_rng(11)
    steps, tau, sigma, walk, noise, dt = 60, 1.4, 0.9, 0.2, 0.5, 0.25
    y = rng.normal(size=steps).cumsum() * 0.3 + rng.normal(size=steps)
    y[rng.uniform(size=steps) < 0.3] = np.nan
    f = np.exp(-dt / tau)
    model = mlemodel.MLEModel(y, k_states=2)
    model["design"] = np.array([[1.0, 1.0]])
    model["transition"] = np.diag([1.0, f])
    model["selection"] = np.eye(2)
    model["state_cov"] = np.diag([walk * dt, sigma**2 * (1 - f**2)])
    model["obs_cov"] = np.array([[noise]])
    model.ssm.initialize_known(np.zeros(2), np.diag([2.0, sigma**2]))
    model.loglikelihood_burn = 0
    theirs = model.ssm.filter()
    dynamics = Dynamics(np.array([0.0, 1 / tau]), np.diag([0.0, sigma**2]), np.array([walk, 0.0]))
    start = Belief(
        np.zeros((1, 2)), np.diag([2.0, sigma**2])[None], np.zeros(1), np.zeros((1, 1), dtype=np.int64)
    )
    visits = Visits(np.arange(steps)[None] * dt, y[None, :, None], np.array([noise]))
    ours = kalman_filter(start, dynamics, np.array([[1.0, 1.0]]), visits)
    last = int(np.flatnonzero(~np.isnan(y))[-1])
    assert last >= steps - 3
    np.testing.assert_allclose(ours.belief.mean[0], theirs.filtered_state[:, -1], atol=1e-8)
    np.testing.assert_allclose(ours.belief.covariance[0], theirs.filtered_state_cov[:, :, -1], atol=1e-8)
    np.testing.assert_allclose(ours.log_likelihood[0], theirs.llf, atol=1e-8)


def test_batch_equals_one_by_one() -> None:
    belief, dynamics, design, visits = problem(3, people=300)
    together = kalman_filter(belief, dynamics, design, visits)
    for person in (0, 17, 255, 256, 299):
        one = slice(person, person + 1)
        alone = kalman_filter(
            Belief(belief.mean[one], belief.covariance[one], belief.time[one], belief.seen[one]),
            dynamics,
            design,
            Visits(
                visits.times[one],
                visits.values[one],
                visits.noise[one],
                None,
                tuple(Loading(x.row, x.column, x.values[one]) for x in visits.loadings),
            ),
        )
        np.testing.assert_allclose(alone.belief.mean[0], together.belief.mean[person], rtol=0, atol=1e-12)
        np.testing.assert_allclose(alone.belief.covariance[0], together.belief.covariance[person], atol=1e-12)


def test_order_of_values_within_a_visit_does_not_matter() -> None:
    belief, dynamics, design, visits = problem(5)
    turned = np.array([2, 0, 1])
    loadings = tuple(
        Loading(int(np.flatnonzero(turned == x.row)[0]), x.column, x.values) for x in visits.loadings
    )
    other = kalman_filter(
        belief,
        dynamics,
        design[turned],
        Visits(visits.times, visits.values[..., turned], visits.noise[..., turned], None, loadings),
    )
    one = kalman_filter(belief, dynamics, design, visits)
    np.testing.assert_allclose(other.belief.mean, one.belief.mean, atol=1e-10)
    np.testing.assert_allclose(other.belief.covariance, one.belief.covariance, atol=1e-10)


def test_a_visit_without_values_changes_nothing() -> None:
    """NaN = not observed, for values and for whole visits (padding)."""
    belief, dynamics, design, visits = problem(7)
    empty = np.full((len(belief.mean), 1, design.shape[0]), np.nan)
    padded = Visits(
        np.column_stack([visits.times, np.full(len(belief.mean), np.nan)]),
        np.concatenate([visits.values, empty], axis=1),
        np.concatenate([visits.noise, np.ones_like(empty)], axis=1),
        None,
        tuple(
            Loading(x.row, x.column, np.column_stack([x.values, np.zeros(len(belief.mean))]))
            for x in visits.loadings
        ),
    )
    one, two = (kalman_filter(belief, dynamics, design, v) for v in (visits, padded))
    np.testing.assert_array_equal(one.belief.mean, two.belief.mean)
    np.testing.assert_array_equal(one.belief.time, two.belief.time)


def test_splitting_a_gap_changes_nothing() -> None:
    """Exact discretisation: one step of 3 years = steps of 1 and 2 years (semigroup property)."""
    belief, dynamics, _, _ = problem(9)
    once = propagate(dynamics, belief.mean, belief.covariance, np.full(len(belief.mean), 3.0))
    half = propagate(dynamics, belief.mean, belief.covariance, np.full(len(belief.mean), 1.0))
    twice = propagate(dynamics, *half, np.full(len(belief.mean), 2.0))
    np.testing.assert_allclose(once[0], twice[0], atol=1e-12)
    np.testing.assert_allclose(once[1], twice[1], atol=1e-12)
