"""The science of DeepDriveMD: the protein model, its dynamics, the autoencoder, outliers, selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("openmm")
pytest.importorskip("torch")
pytest.importorskip("sklearn")

from workbench import task
from workbench.gallery.deepdrivemd import contacts, order, outliers, protein, select, simulate, vae
from workbench.model.errors import WorkbenchError


@pytest.fixture(scope="module")
def trajectory() -> Any:
    """200 frames of unfolded and partly folded structures."""
    return simulate.segment(None, 20_000, seed=3, every=100, temperature=320.0)["frames"]


def rotated(x: Any, seed: int) -> Any:
    """`x` (35, 3) turned and moved at random, never mirrored."""
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    if np.linalg.det(turn) < 0:
        turn[:, 0] *= -1
    return x @ turn.T + random.normal(size=3)


# --- the model --------------------------------------------------------------------------------------------------------


def test_the_native_structure_is_hp35_with_its_67_contacts() -> None:
    pairs, distance = protein.native_contacts()
    assert protein.native().shape == (35, 3)
    assert len(pairs) == len(distance) == 67
    assert (pairs[:, 1] - pairs[:, 0] >= 3).all() and (distance < protein.CONTACT_NM).all()


def test_the_native_state_measures_as_native() -> None:
    frames = np.stack([rotated(protein.native(), seed) for seed in range(5)])
    assert protein.q(frames) == pytest.approx(1.0)
    assert protein.rmsd(frames) == pytest.approx(0.0, abs=1e-6)
    assert protein.rg(frames) == pytest.approx(protein.rg(protein.native()[None])[0])


def test_rmsd_agrees_with_superposition_and_tells_mirror_images_apart(trajectory: Any) -> None:
    from scipy.spatial.transform import Rotation

    native = protein.native() - protein.native().mean(axis=0)
    for frame in trajectory[::40]:
        x = frame - frame.mean(axis=0)
        _, distance = Rotation.align_vectors(native, x)
        assert protein.rmsd(frame[None])[0] == pytest.approx(distance / np.sqrt(35), rel=1e-5)
    mirrored = protein.native() * [-1, 1, 1]
    assert protein.rmsd(mirrored[None])[0] > 0.1


def test_the_native_state_is_a_deep_minimum() -> None:
    native = protein.potential_energy(protein.native())
    assert np.isfinite(native) and native < -67 * protein.EPSILON * 0.8
    assert protein.potential_energy(protein.extended()) > native + 100


def test_walls_written_as_bonds_are_the_nonbonded_force_they_replace(trajectory: Any) -> None:
    import openmm as mm

    plain = mm.System()
    for _ in range(protein.RESIDUES):
        plain.addParticle(protein.MASS)
    wall = mm.CustomNonbondedForce(f"{protein.EPSILON}*({protein.WALL_NM}/r)^12")
    near = {(int(i), int(j)) for i, j in protein.native_contacts()[0]}
    for i in range(protein.RESIDUES):
        wall.addParticle([])
        for j in range(i + 1, protein.RESIDUES):
            if j < i + 4 or (i, j) in near:
                wall.addExclusion(i, j)
    plain.addForce(wall)
    other = mm.Context(plain, mm.VerletIntegrator(0.001), mm.Platform.getPlatform("Reference"))
    ours = mm.System()
    for _ in range(protein.RESIDUES):
        ours.addParticle(protein.MASS)
    ours.addForce(mm.XmlSerializer.clone(protein.system().getForce(4)))
    mine = mm.Context(ours, mm.VerletIntegrator(0.001), mm.Platform.getPlatform("Reference"))
    for frame in trajectory[::50]:
        energies = []
        for context in (other, mine):
            context.setPositions(frame.astype(np.float64))
            energies.append(context.getState(getEnergy=True).getPotentialEnergy()._value)
        assert energies[0] == pytest.approx(energies[1], rel=1e-9)


# --- dynamics ---------------------------------------------------------------------------------------------------------


def test_a_segment_is_a_function_of_its_arguments() -> None:
    one, two = (simulate.segment(None, 1000, seed=7, every=200, order=["q", "rmsd"]) for _ in range(2))
    other = simulate.segment(None, 1000, seed=8, every=200)
    assert one["frames"].shape == (5, 35, 3) and one["frames"].dtype == np.float32
    assert (one["frames"] == two["frames"]).all() and one["metrics"] == two["metrics"]
    assert not np.allclose(one["frames"], other["frames"])
    assert one["steps"] == 1000 and not one["stopped"] and one["cpu_s"] > 0
    assert np.isfinite([protein.potential_energy(f) for f in one["frames"]]).all()


def test_it_starts_from_the_given_frame_and_stays_near_it_when_cold() -> None:
    native = protein.native()
    done = simulate.segment(native, 2000, seed=1, every=200, temperature=5.0)
    assert done["start"] == pytest.approx(native, abs=1e-6)
    assert protein.rmsd(done["frames"]).max() < 0.05
    assert protein.q(done["frames"]).min() > 0.95


def test_heat_unfolds() -> None:
    hot = simulate.segment(None, 1000, seed=2, every=500)
    assert protein.q(hot["frames"]).max() < 0.6


def test_a_stopped_segment_keeps_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, False, True])
    monkeypatch.setattr(task, "should_stop", lambda: next(answers))
    done = simulate.segment(protein.native(), 2000, seed=1, every=200)
    whole = iter([False] * 10)
    monkeypatch.setattr(task, "should_stop", lambda: next(whole))
    full = simulate.segment(protein.native(), 2000, seed=1, every=200)
    assert done["stopped"] and done["steps"] == 600 and len(done["frames"]) == 3
    assert (done["frames"] == full["frames"][:3]).all()


def test_the_agents_list_ends_the_simulations_that_are_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "parameters", lambda: {"give_way": [2]})
    monkeypatch.setattr(task, "index", lambda: 2)
    gone = simulate.segment(protein.native(), 1000, seed=1, every=200, order=["q"])
    assert gone["stopped"] and gone["steps"] == 0 and gone["frames"].shape == (0, 35, 3) and gone["metrics"] == {}
    monkeypatch.setattr(task, "index", lambda: 1)
    assert not simulate.segment(protein.native(), 1000, seed=1, every=200)["stopped"]


def test_a_steered_temperature_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = simulate.segment(protein.native(), 4000, seed=1, every=200, temperature=50.0)
    monkeypatch.setattr(task, "parameters", lambda: {"temperature": 450.0})
    hot = simulate.segment(protein.native(), 4000, seed=1, every=200, temperature=50.0)
    assert protein.rmsd(hot["frames"])[-1] > 3 * protein.rmsd(cold["frames"])[-1]


def test_reports_hold_what_was_asked_for_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, float]] = []
    done: list[float] = []
    monkeypatch.setattr(task, "report", lambda **m: seen.append(m))
    monkeypatch.setattr(task, "progress", done.append)
    result = simulate.segment(protein.native(), 1000, seed=1, every=200, order=["rg"])
    assert seen and all(set(m) == {"rg"} for m in seen)
    assert done == sorted(done) and done[-1] == 1.0
    assert seen[-1] == result["metrics"]
    seen.clear()
    simulate.segment(protein.native(), 1000, seed=1, every=200, order=[])
    assert all(m == {} for m in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 100}, "steps=100 must be a positive multiple"),
        ({"steps": 300}, "steps=300 must be a positive multiple"),
        ({"steps": 400, "temperature": -1.0}, "temperature=-1.0 K must be above zero"),
    ],
)
def test_senseless_segments_are_refused(options: dict[str, Any], message: str) -> None:
    steps = options.pop("steps")
    with pytest.raises(WorkbenchError, match=message):
        simulate.segment(protein.native(), steps, seed=1, every=200, **options)


def test_a_blown_up_simulation_says_so() -> None:
    wild = protein.native() * 1.0
    wild[5] = wild[20] + 1e-6
    with pytest.raises(WorkbenchError, match="blew up"):
        simulate.segment(wild, 1000, seed=1, every=200)


def test_seeds_for_openmm_are_never_zero_and_differ() -> None:
    seeds = {simulate.seed_for(a, b) for a in range(40) for b in range(40)}
    assert len(seeds) == 1600 and min(seeds) > 0 and max(seeds) < 2**31


# --- order parameters and contact maps --------------------------------------------------------------------------------


def test_only_the_order_parameters_asked_for_are_measured(trajectory: Any) -> None:
    assert order.parse("q,rmsd") == ("q", "rmsd") and order.parse(["rg", "rg", "none"]) == ("rg",)
    assert order.parse("none") == order.parse(None) == order.parse("") == ()
    assert order.measure(trajectory, ()) == {}
    values = order.measure(trajectory, ("rg", "q"))
    assert list(values) == ["rg", "q"] and all(v.shape == (len(trajectory),) for v in values.values())
    with pytest.raises(WorkbenchError, match="'rmsd', which is not measured"):
        order.badness(values, "rmsd")
    with pytest.raises(WorkbenchError, match="'energy' is not an order parameter; choose among q, rmsd, rg"):
        order.parse("energy")


def test_badness_falls_towards_the_native_state(trajectory: Any) -> None:
    frames = np.concatenate([trajectory, protein.native()[None]])
    values = order.measure(frames, order.NAMES)
    for name in ("q", "rmsd"):
        assert int(order.badness(values, name).argmin()) == len(trajectory)


def test_contact_maps_survive_packing(trajectory: Any) -> None:
    frames = trajectory[:20].astype(np.float64)
    d = np.linalg.norm(frames[:, :, None] - frames[:, None], axis=-1)
    images = contacts.images(contacts.pack(frames))
    assert images.shape == (20, 1, 36, 36) and images.dtype == np.float32
    assert (images[:, 0, :35, :35] == (d < protein.CONTACT_NM)).all()
    assert images[:, 0, 35].sum() == images[:, 0, :, 35].sum() == 0
    assert contacts.pack(frames).nbytes == 20 * 75


# --- the autoencoder --------------------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_continues_where_it_stopped(trajectory: Any) -> None:
    images = contacts.images(contacts.pack(trajectory))
    first = vae.train(images, None, epochs=6, seed=1)
    assert len(first["losses"]) == 6 and first["losses"][-1] < 0.9 * first["losses"][0]
    more = vae.train(images, first, epochs=6, seed=2)
    assert len(more["losses"]) == 12 and more["losses"][:6] == first["losses"]
    assert more["losses"][6] < first["losses"][0] * 0.95 and more["losses"][-1] < first["losses"][-1]
    assert more["updates"] == 2 * first["updates"] and more["cpu_s"] > first["cpu_s"]


def test_training_is_repeatable_and_does_not_change_what_it_starts_from(trajectory: Any) -> None:
    images = contacts.images(contacts.pack(trajectory[:64]))
    start = vae.train(images, None, epochs=1, seed=1)
    kept = {k: v.copy() for k, v in start["weights"].items()}
    one, two = (vae.train(images, start, epochs=2, seed=5) for _ in range(2))
    other = vae.train(images, start, epochs=2, seed=6)
    assert all((one["weights"][k] == two["weights"][k]).all() for k in kept)
    assert any((one["weights"][k] != other["weights"][k]).any() for k in kept)
    assert all((start["weights"][k] == kept[k]).all() for k in kept)


def test_the_state_is_plain_arrays(trajectory: Any) -> None:
    state = vae.train(contacts.images(contacts.pack(trajectory[:64])), None, epochs=1, seed=1)
    assert all(type(v) is np.ndarray for v in state["weights"].values())
    assert all(type(v) is np.ndarray for half in state["moments"].values() for v in half)
    latent = vae.embed(contacts.images(contacts.pack(trajectory[:64])), state)
    assert latent.shape == (64, vae.LATENT) and np.isfinite(latent).all()
    assert vae.embed(np.zeros((0, 1, 36, 36), np.float32), state).shape == (0, vae.LATENT)


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for text, threads in (("2", 2), ("1", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        vae.use_threads()
        assert torch.get_num_threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    vae.use_threads()
    assert torch.get_num_threads() == 1


# --- outliers and selection -------------------------------------------------------------------------------------------


def test_planted_outliers_are_found() -> None:
    random = np.random.default_rng(11)
    latent = random.normal(size=(300, 8))
    planted = [17, 150, 299]
    latent[planted] += np.array([[9.0], [-9.0], [12.0]])
    score = outliers.scores(latent)
    assert sorted(outliers.strongest(score, 3).tolist()) == planted
    assert np.median(score) == pytest.approx(-1.0, abs=0.15)
    assert outliers.scores(latent[:2]).tolist() == [-1.0, -1.0]


def test_each_mode_chooses_by_its_own_ingredients() -> None:
    score = np.array([-1.0, -5.0, -1.1, -4.0, -3.0])
    bad = np.array([0.1, 0.9, 0.2, 0.3, 0.8])
    assert select.choose("lof", 2, score=score).tolist() == [1, 3]
    assert select.choose("rmsd", 2, bad=bad).tolist() == [0, 2]
    assert select.choose("both", 2, score=score, bad=bad).tolist() == [0, 2]  # fewer frames than candidates
    many = np.concatenate([np.full(100, -1.0), np.linspace(-9, -2, select.CANDIDATES)])
    ranks = np.concatenate([np.zeros(100), np.linspace(1.0, 0.5, select.CANDIDATES)])
    chosen = select.choose("both", 3, score=many, bad=ranks)
    assert (chosen >= 100).all(), "an inlier was chosen, however good its rank"
    assert chosen[0] == len(many) - 1, "among outliers the best rank comes first"
    for mode, missing in (("lof", "outlier scores"), ("rmsd", "an order parameter"), ("both", "outlier scores")):
        with pytest.raises(WorkbenchError, match=missing):
            select.choose(mode, 1)
    with pytest.raises(WorkbenchError, match="'plain' does not choose"):
        select.choose("plain", 1, score=score, bad=bad)


def test_who_gives_way() -> None:
    # Frames 0..7 gathered, 8..11 are what the running simulations started from.
    score = np.array([-1, -1, -1, -1, -1.2, -1.2, -3, -3, -0.9, -4, -0.95, -5])
    bad = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 0.3, 0.9, 0.25, 0.6, 0.31])
    running, chosen = np.arange(8, 12), np.array([6, 7])
    arguments: dict[str, Any] = {"running": running, "chosen": chosen, "score": score, "bad": bad}
    assert select.unproductive("plain", **arguments) == []
    assert select.unproductive("lof", **arguments) == [0, 2]  # no longer outliers, the most ordinary first
    assert select.unproductive("rmsd", **arguments) == [0, 2]  # clearly worse than every new start, the worst first
    assert select.unproductive("both", **arguments) == [0, 2]
    assert select.unproductive("both", **{**arguments, "bad": np.where(np.arange(12) == 8, 0.2, bad)}) == [2]
    assert select.unproductive("rmsd", **{**arguments, "running": np.arange(8, 9)}) == []  # never more than half
    assert select.unproductive("rmsd", **{**arguments, "chosen": chosen[:0]}) == []
