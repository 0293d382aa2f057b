"""The faces of the package and of its rooms: what others may use, by name. A change here is a change for users."""

from __future__ import annotations

from importlib import import_module

import pytest

from robustbench_lite.engine import attacks
from tests.test_house import LEVEL, PACKAGE

FACES = {
    "": """
        Results __version__ attacks certify datasets defenses generators load models run sparse_coding
    """,
    "api": """
        PlotView Results TableView certify load run
    """,
    "cli": """
        main
    """,
    "datasets": """
        DataSource Samples datasets load
    """,
    "defenses": """
        BitDepth Defense DefenseGAN JPEG Median RandomResizePad RandomizedSmoothing defenses
    """,
    "engine": """
        Access Attack AttackResult BACKWARD CONTROL Card Composition Crafted FORWARD Fitted Fitting GoalName Job Ledger
        NO_MEMORY Oracle Outcome PERTURBATION Pass Promise Protocol REASONS Scorer SetAttack Sources State
        StepAttack TARGETS Trial Verdicts Written ZERO_GRADIENT attacks checked_images checked_labels
        checked_members doubts_about finite fitting interior logits_of look looked misleading pairs pooled run
    """,
    "figures": """
        Axis ContactSheet Drawing Figure Gallery Line PALETTE Panel Panels STYLE Strip Tile atoms_figure element
        errors_figure figures
    """,
    "gate": """
        Baseline Gate Limits Report Rule Verdict baseline_of check gate_of lines_of read_baseline render_report
        scores_of summary write_baseline
    """,
    "generators": """
        Architecture Card Coverage Generator Judge Mixture Objective Recipe Training architectures available data_of
        inception_scores load loaded mixtures objectives scores_of trained
    """,
    "guards": """
        Stopped UnlockableError auto_batch_size blamed chunked contents deterministic excerpt exclusive installed
        is_interrupt is_out_of_memory limited no_programs place real recalled regular remember returned seeded
        theirs told trace uncollected undisturbed where
    """,
    "models": """
        Card Classifier ModelSource load models
    """,
    "peers": """
        ART AdvLib Call Foolbox OfficialAutoAttack Peer TorchAttacks peers
    """,
    "physical": """
        BACKGROUND_NUMBERS Camera Drawn Mesh OBJECTS OVER Photographed Placement Poses STATIONARY Scene Shots
        approach expose made outline painted paste read_obj stop_sign to_corners unit
    """,
    "pytest_plugin": """
        robustness robustness_run
    """,
    "report": """
        page site
    """,
    "results": """
        CELLS Caveat Change Curve ENOUGH Estimate Evaluation Flags Reals Results Row SAMPLES SCHEMA_VERSION Size
        Store Threat WORDS WorstCase allowed bootstrap_mean bootstrap_ratio called class_names clopper_pearson
        common earliest explained holm labels_of machine mcnemar mean_of_views median names_of newcombe
        optimality permuted read robust runs sign_test size_column size_of through versions wilson worst_case_of
        worst_cases
    """,
    "runner": """
        Assets Cell CellReport Observer Options Preflight Silent attack contact_sheet device_named experiments
        in_memory prepare run_suite
    """,
    "sparse_coding": """
        MODELS PURSUITS Design Dictionary Layers Measured Promise Pursuit PursuitName Setup Signals Under
        adversarial_noise basis_pursuit cnn designs energy incoherent layered_basis_pursuit
        layered_basis_pursuit_promises layered_thresholding measure normalised optimality_gap orthogonal
        patch_sparsity random_noise shrunk sparse stability stability_bounds stripe_sparsity sweep threshold
        thresholding_levels thresholding_promises unique
    """,
    "suite": """
        AttackEntry DataEntry Objects Suite assignment load parse read schema_text
    """,
    "tables": """
        Changes Column Row Shot Side Table Value changes chosen constant constants count end grouped html label
        left_out named number sentence share sides split spread stability_table tables transposed unsaid where without
        without_intervals
    """,
    "threat": """
        Ball Draw Goal Norm Setting Views climb clip content_id dual_size float_ids keys nearest_within per_row
        pixel_id pixel_ids project project_within put rounding sample shortest_within size steepest
        steepest_within stretched_within tie unique_ids
    """,
    "transforms": """
        Distribution Fill Interpolation Limits Operations PARAMETERS Range within
    """,
    "trust": """
        Certificate Check Doubt Finding calibrated certify checks doubts findings key_of
    """,
}


@pytest.mark.parametrize("room", FACES, ids=lambda room: room or "package")
def test_a_face_shows_what_is_written_here(room):
    face = import_module(f"robustbench_lite.{room}".rstrip("."))
    assert sorted(face.__all__) == sorted(FACES[room].split())
    assert face.__doc__ and all(hasattr(face, name) for name in face.__all__)


def test_every_room_has_a_face():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(FACES) - {""} | {"attacks"} and rooms <= set(LEVEL)


def test_the_face_of_the_attacks_is_every_attack():
    """By the names of the classes; a new file with the decorator needs no edit of the face, nor of this test."""
    face = import_module("robustbench_lite.attacks")
    own = "Attack AttackResult Card Composition Draw Goal Number Oracle Promise SetAttack State StepAttack attacks"
    assert set(face.__all__) == {*own.split(), *(attacks[name].__name__ for name in attacks)}
